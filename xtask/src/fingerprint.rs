//! The inputs and the output of a build, to find out whether it is up to date.
//!
//! A fingerprint is a listing (path, size, time of modification) and not a digest, so that it can name the file that changed.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, Result};

/// Folders of build output, which are no inputs.
const PRODUCTS: [&str; 3] = ["dist", "node_modules", "target"];

/// A listing of files with one heading line, comparable with an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// Lists `inputs` (files or folders below `root`, without build output in them) and everything in `output`. `heading` has the inputs
    /// that are not files, such as the profile. A file that does not exist is omitted, so creating it is a change.
    pub(crate) fn take(root: &Path, heading: &str, inputs: &[&str], output: &Path) -> Result<Self> {
        let mut text = format!("{heading}\n");
        for input in inputs {
            list(root, &root.join(input), &PRODUCTS, &mut text)?;
        }
        list(root, output, &[], &mut text)?;
        Ok(Self(text))
    }

    /// Reads the fingerprint that `write` wrote to `file`. Returns `None` if there is none.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        fs::read_to_string(file).ok().map(Self)
    }

    /// Writes the fingerprint to `file`.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, &self.0).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Returns the first path that was changed, added or removed since `earlier`, or the heading if that changed.
    pub(crate) fn difference<'a>(&'a self, earlier: &'a Self) -> Option<&'a str> {
        let ours = self.0.lines().find(|line| !earlier.0.lines().any(|other| other == *line));
        let theirs = || earlier.0.lines().find(|line| !self.0.lines().any(|other| other == *line));
        ours.or_else(theirs).map(|line| line.split('\t').next().unwrap_or(line))
    }
}

fn list(root: &Path, path: &Path, leave_out: &[&str], text: &mut String) -> Result<()> {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    if meta.is_dir() {
        for entry in entries(path)? {
            let name = entry.file_name().unwrap_or_default();
            if !leave_out.iter().any(|product| name == *product) {
                list(root, &entry, leave_out, text)?;
            }
        }
    } else {
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let name = path.strip_prefix(root).unwrap_or(path).display();
        writeln!(text, "{name}\t{}\t{modified}", meta.len())?;
    }
    Ok(())
}

/// Returns the entries of a folder, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = read.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            tree.write("src/lib.rs", "one");
            tree.write("src/dist/old.js", "left out of the inputs");
            tree.write("out/page.js", "built");
            tree
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn fingerprint(&self, heading: &str) -> Fingerprint {
            Fingerprint::take(self.0.path(), heading, &["src", "absent.toml"], &self.0.path().join("out")).unwrap()
        }
    }

    #[test]
    fn unchanged_files_have_no_difference() {
        let tree = Tree::new();
        let file = tree.0.path().join("state/fingerprint");
        tree.fingerprint("release").write(&file).unwrap();
        assert_eq!(tree.fingerprint("release").difference(&Fingerprint::read(&file).unwrap()), None);
    }

    #[test]
    fn every_kind_of_change_is_reported() {
        let tree = Tree::new();
        let before = tree.fingerprint("release");
        assert_eq!(tree.fingerprint("dev").difference(&before), Some("dev"));

        tree.write("src/lib.rs", "three");
        assert_eq!(tree.fingerprint("release").difference(&before).map(slashes), Some("src/lib.rs".to_owned()));

        let before = tree.fingerprint("release");
        tree.write("absent.toml", "");
        assert_eq!(tree.fingerprint("release").difference(&before), Some("absent.toml"));

        let before = tree.fingerprint("release");
        fs::remove_file(tree.0.path().join("out/page.js")).unwrap();
        assert_eq!(tree.fingerprint("release").difference(&before).map(slashes), Some("out/page.js".to_owned()));
    }

    #[test]
    fn a_changed_time_of_modification_is_a_change() {
        let tree = Tree::new();
        let before = tree.fingerprint("release");
        let file = fs::File::options().write(true).open(tree.0.path().join("src/lib.rs")).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert!(tree.fingerprint("release").difference(&before).is_some());
    }

    #[test]
    fn build_output_among_the_inputs_is_ignored() {
        let tree = Tree::new();
        let before = tree.fingerprint("release");
        tree.write("src/dist/new.js", "");
        assert_eq!(tree.fingerprint("release").difference(&before), None);
    }

    fn slashes(path: &str) -> String {
        path.replace('\\', "/")
    }
}
