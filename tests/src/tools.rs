//! Programs of others that check our work, where they are installed.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Where programs of a build for `./dev coverage` write down what they did: the one variable that also those are given that
/// get nothing else of ours. Without it they would write into the folder that they are in.
#[must_use]
pub fn counts() -> Option<(&'static str, OsString)> {
    const NAME: &str = "LLVM_PROFILE_FILE";
    std::env::var_os(NAME).map(|path| (NAME, path))
}

/// Runs a program and answers with what it says; `None`, with a note, if it is not installed.
///
/// # Errors
/// If it fails.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => Ok(Some(String::from_utf8(output.stdout)?)),
        Ok(output) => {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            anyhow::bail!("{program} {arguments:?}: {}\n{out}\n{err}", output.status)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            writeln!(std::io::stderr(), "NOT RUN: {program} is not installed")?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
