//! The layers of settings: flag, environment variable, configuration file, default.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::binary;

/// Runs a health check, whose error has the address if no server listens there.
fn healthcheck(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.arg("healthcheck").args(flags).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

fn address(flags: &[&str], variables: &[(&str, &str)]) -> String {
    let stderr = String::from_utf8(healthcheck(flags, variables).stderr).unwrap();
    let rest = stderr.split("no server listens on ").nth(1).unwrap_or_else(|| panic!("{stderr}"));
    rest.split(": ").next().unwrap().trim().to_owned()
}

fn written(dir: &Path, text: &str) -> String {
    let path = dir.join("throughline.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_flag_takes_precedence_over_the_variable_and_the_variable_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "listen = '127.0.0.1:1'\n");
    let file = ("THROUGHLINE_CONFIG", path.as_str());
    let variable = ("THROUGHLINE_LISTEN", "127.0.0.1:2");
    assert_eq!(address(&["--config", &path], &[]), "127.0.0.1:1");
    assert_eq!(address(&[], &[file]), "127.0.0.1:1");
    assert_eq!(address(&[], &[file, variable]), "127.0.0.1:2");
    assert_eq!(address(&["--listen=127.0.0.1:3"], &[file, variable]), "127.0.0.1:3");
    assert_eq!(address(&["--listen=127.0.0.1:3"], &[("THROUGHLINE_CONFIG", " "), variable]), "127.0.0.1:3");
    assert_eq!(address(&[], &[file, ("THROUGHLINE_LISTEN", "")]), "127.0.0.1:1");
}

#[test]
fn an_invalid_file_has_the_exit_code_of_an_invalid_setting() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "\n[[sink]]\nname = 'a'\nurl = 'http://a.test'\nheader = { x = 's3cr3t' }\n");
    for output in [healthcheck(&["--config", &path], &[]), healthcheck(&[], &[("THROUGHLINE_CONFIG", path.as_str())])] {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        for part in ["--config / THROUGHLINE_CONFIG", path.as_str(), "line 5", "`header`", "`headers`"] {
            assert!(stderr.contains(part), "{part}: {stderr}");
        }
        assert!(!stderr.contains("s3cr3t"), "{stderr}");
    }
}
