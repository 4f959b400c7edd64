//! The versions of a package in the program's `Cargo.lock`, if the file is available.

/// Returns the text of the nearest `Cargo.lock`, in the current directory or one of its parents: a program in
/// development is usually started there.
pub(crate) fn nearest() -> Option<String> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join("Cargo.lock")).ok())
}

/// Returns the versions of a package in a lock file.
pub(crate) fn versions(lock: &str, package: &str) -> Vec<String> {
    let value = |line: &str, key: &str| -> Option<String> {
        let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        Some(rest.trim().trim_matches('"').to_owned())
    };
    let mut lines = lock.lines();
    let mut versions = Vec::new();
    while let Some(line) = lines.next() {
        if value(line, "name").is_some_and(|name| name == package) {
            versions.extend(lines.next().and_then(|line| value(line, "version")));
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_found() {
        let lock = "version = 4\n\n[[package]]\nname = \"opentelemetry\"\nversion = \"0.31.0\"\n\n[[package]]\n\
                    name = \"opentelemetry-otlp\"\nversion = \"0.33.1\"\n\n[[package]]\nname = \"opentelemetry\"\n\
                    version = \"0.33.1\"\n";
        assert_eq!(versions(lock, "opentelemetry"), ["0.31.0", "0.33.1"]);
        assert_eq!(versions(lock, "opentelemetry-otlp"), ["0.33.1"]);
        assert!(versions(lock, "tracing").is_empty());
    }
}
