//! Checks that the product does not mention the demo: no file in `crates/` contains its name, tests and prose included.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::SKIPPED;
use crate::fingerprint::entries;

/// The name of the demo, concatenated so that this file does not contain it.
const DEMO: &str = concat!("crud", "dur");

/// Extensions of text files.
const TEXT: [&str; 14] =
    ["css", "html", "js", "json", "jsonl", "md", "mjs", "rs", "snap", "sql", "svg", "toml", "txt", "yaml"];

/// Checks every text file of the product.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    collect(root, &root.join("crates"), &mut problems)?;
    Ok(problems)
}

fn collect(root: &Path, folder: &Path, problems: &mut Vec<String>) -> Result<()> {
    for path in entries(folder)? {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            // The second is the built page of the inspector.
            if SKIPPED.iter().any(|skipped| path.ends_with(skipped)) || name == "crates/inspector-server/ui" {
                continue;
            }
            collect(root, &path, problems)?;
        } else if path.extension().is_some_and(|end| TEXT.iter().any(|text| end == *text)) {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            problems.extend(named(&name, &text));
        }
    }
    Ok(())
}

/// Reports the lines of a file that mention the demo, and its path if that does.
fn named(path: &str, text: &str) -> Vec<String> {
    let has = |text: &str| text.to_lowercase().contains(DEMO);
    let lines = text.lines().enumerate().filter(|(_, line)| has(line));
    let lines = lines.map(|(number, _)| format!("{path}:{}: the product must not mention the demo", number + 1));
    let of_the_path = has(path).then(|| format!("{path}: the product must not mention the demo"));
    of_the_path.into_iter().chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_reported_in_any_case_and_in_paths() {
        let text = format!("fine\n//! As in {}.\n", DEMO.to_uppercase());
        assert_eq!(
            named("crates/x/src/lib.rs", &text),
            ["crates/x/src/lib.rs:2: the product must not mention the demo"]
        );
        assert_eq!(named(&format!("crates/x/src/{DEMO}.rs"), "").len(), 1);
        assert!(named("crates/x/README.md", "an application\n").is_empty());
    }

    #[test]
    fn every_folder_of_the_product_except_build_output_is_searched() {
        let root = tempfile::tempdir().unwrap();
        for file in ["crates/a/README.md", "crates/a/tests/it/main.rs", "crates/a/examples/b/index.html"] {
            write(root.path(), file);
        }
        for file in ["crates/a/target/x.rs", "crates/inspector-server/ui/index.html", "crates/a/a.png", "e2e/x.rs"] {
            write(root.path(), file);
        }
        let found = check(root.path()).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
    }

    fn write(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{DEMO}\n")).unwrap();
    }
}
