//! A stand-in for wasm-opt that copies its input.
//!
//! `data-wasm-opt` in the pages that Trunk builds makes Trunk call wasm-opt in a release build, and Trunk has no option or
//! environment variable that says otherwise: where there is none it downloads one, or fails offline. So where wasm-opt
//! cannot be had, this program is put on Trunk's `PATH` under that name.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

const NAME: &str = "wasm-opt";

/// Puts a copy of this program called wasm-opt into `folder`; the folder.
pub(super) fn install(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let copy = folder.join(format!("{NAME}{}", env::consts::EXE_SUFFIX));
    fs::copy(env::current_exe()?, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(folder.to_owned())
}

/// Acts as wasm-opt if this program was called by that name.
pub(crate) fn main() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    if Path::new(&arguments.next()?).file_stem()? != NAME {
        return None;
    }
    Some(match act(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn act(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let (mut input, mut output) = (None, None);
    for argument in arguments {
        match argument.to_str() {
            Some("--version") => {
                println!("{NAME} version 0 (copies its input)");
                return Ok(());
            }
            Some(flag) if flag.starts_with("--output=") => {
                output = flag.strip_prefix("--output=").map(PathBuf::from);
            }
            Some(flag) if flag.starts_with('-') => {}
            _ => input = Some(PathBuf::from(argument)),
        }
    }
    let (input, output) = (input.context("no input is named")?, output.context("no --output= is given")?);
    fs::copy(&input, &output).with_context(|| format!("cannot copy {} to {}", input.display(), output.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_comes_out_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.wasm"), folder.path().join("out.wasm"));
        fs::write(&input, b"\0asm").unwrap();
        let flag = OsString::from(format!("--output={}", output.display()));
        act([flag, "-Oz".into(), input.into(), "--enable-bulk-memory".into()].into_iter()).unwrap();
        assert_eq!(fs::read(output).unwrap(), b"\0asm");
    }

    #[test]
    fn an_input_has_to_be_named() {
        assert!(act([OsString::from("--output=x")].into_iter()).is_err());
    }
}
