//! `throughline doctor` does not change the data directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::SystemTime,
};

use crate::support::binary;

/// Returns the content and the modification time of each file of a directory, and of the directory itself.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).chain([dir.to_path_buf()]);
    let state = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        let content = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        (path, (content, metadata.modified().unwrap()))
    };
    paths.map(state).collect()
}

/// Runs the doctor without a running server, with `temp` as the directory for temporary files.
fn doctor(data_dir: &Path, temp: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(["doctor", "--listen=127.0.0.1:0", "--otlp-listen=127.0.0.1:0", "--grpc-listen=off", "--data-dir"]);
    command.arg(data_dir).env_clear().env("TMPDIR", temp).stdin(Stdio::null()).output().unwrap()
}

/// Creates a data directory with a span in it, by a command that exits when the span is stored.
fn import(data_dir: &Path, temp: &Path) {
    let file = temp.join("traces.json");
    let span = r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"kept","kind":1,
        "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000"}"#;
    fs::write(&file, format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#)).unwrap();
    let mut command = Command::new(binary());
    let output = command.arg("import").arg(&file).arg("--data-dir").arg(data_dir).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(file).unwrap();
}

#[test]
fn the_doctor_does_not_change_a_data_directory() {
    let temp = tempfile::tempdir().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    import(&data_dir, temp.path());
    let before = snapshot(&data_dir);
    assert!(before.keys().any(|path| path.ends_with("traces.db")), "{:?}", before.keys());
    let output = doctor(&data_dir, temp.path());
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}");
    assert!(before == snapshot(&data_dir), "the doctor changed the data directory: {table}");
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
