//! `throughline doctor` only reads the data directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::SystemTime,
};

use crate::support::{Bench, binary};

/// The content and the time of change of each file of a directory, and of the directory itself.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).chain([dir.to_path_buf()]);
    let state = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        let content = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        (path, (content, metadata.modified().unwrap()))
    };
    paths.map(state).collect()
}

/// Runs the doctor where no server listens, with `temp` as the directory for temporary files.
fn doctor(data_dir: &Path, temp: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(["doctor", "--listen=127.0.0.1:0", "--trusted-listen=127.0.0.1:0", "--grpc-listen=off", "--data-dir"]);
    command.arg(data_dir).env_clear().env("TMPDIR", temp).stdin(Stdio::null()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_changes_nothing_in_a_data_directory() {
    let temp = tempfile::tempdir().unwrap();
    let bench = Bench::start();
    let data_dir = bench.data_dir().to_path_buf();
    let copy = tempfile::tempdir().unwrap();
    let copied = copy.path().join("data");
    let mut backup = Command::new(binary());
    backup.arg("backup").arg(&copied).env_clear().arg("--data-dir").arg(&data_dir);
    assert!(backup.output().unwrap().status.success());
    drop(bench);

    let before = snapshot(&copied);
    assert!(before.keys().any(|path| path.ends_with("traces.db")), "{:?}", before.keys());
    let output = doctor(&copied, temp.path());
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}");
    assert!(before == snapshot(&copied), "the doctor changed the data directory: {table}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "temporary files are left");
}

#[test]
fn the_doctor_does_not_create_a_data_directory() {
    let temp = tempfile::tempdir().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let output = doctor(&parent.path().join("data"), temp.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}
