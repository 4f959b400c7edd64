//! Which versions of a package a program was built with, where its `Cargo.lock` is still at hand.

/// The text of the nearest `Cargo.lock`, in the current folder or one above it: a program that is being developed is started
/// there.
pub(crate) fn nearest() -> Option<String> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join("Cargo.lock")).ok())
}

/// The versions of a package.
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
