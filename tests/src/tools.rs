//! Programs of others that check our work, where they are installed.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

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

/// A Python with the packages that a file of requirements pins, in a folder that is kept for the next run; `None`, with a
/// note, where they cannot be had.
///
/// # Errors
/// If the requirements cannot be read, or what was installed cannot be noted down.
pub async fn python(folder: &Path, requirements: &Path) -> anyhow::Result<Option<PathBuf>> {
    let _alone = alone(folder).await?;
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    let wanted = std::fs::read_to_string(requirements)?;
    if std::fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
        return Ok(Some(python));
    }
    let folder = folder.to_str().context("a path")?;
    let requirements = requirements.to_str().context("a path")?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        requirements,
    ];
    let venv = ["-m", "venv", "--clear", folder];
    if !installs(Path::new("python3"), &venv).await? || !installs(&python, &pip).await? {
        return Ok(None);
    }
    std::fs::write(installed, wanted)?;
    Ok(Some(python))
}

/// A folder with a program for Node and the packages that its lock file pins, kept for the next run; `None`, with a note, where
/// they cannot be had.
///
/// # Errors
/// If the program cannot be read or copied.
pub async fn node(folder: &Path, program: &Path) -> anyhow::Result<Option<PathBuf>> {
    let _alone = alone(folder).await?;
    let source = program.parent().context("a folder")?;
    let installed = folder.join("installed.json");
    let wanted = std::fs::read_to_string(source.join("package-lock.json"))?;
    let copy = folder.join(program.file_name().context("a file")?);
    bring(program, &copy)?;
    for name in ["package.json", "package-lock.json"] {
        bring(&source.join(name), &folder.join(name))?;
    }
    if std::fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
        return Ok(Some(copy));
    }
    let prefix = folder.to_str().context("a path")?;
    let arguments =
        ["ci", "--ignore-scripts", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", prefix];
    if !installs(Path::new("npm"), &arguments).await? {
        return Ok(None);
    }
    std::fs::write(installed, wanted)?;
    Ok(Some(copy))
}

/// Makes the folder, and keeps everybody else from installing into it until what is returned is dropped, other processes too:
/// whoever installs begins by taking away what is there.
async fn alone(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder)?;
    let lock = File::create(folder.with_extension("lock"))?;
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await?.map_err(Into::into)
}

/// Copies a file unless it is there: a program of another test may be reading it.
fn bring(file: &Path, to: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read(file)?;
    if !std::fs::read(to).is_ok_and(|it| it == wanted) {
        std::fs::write(to, wanted)?;
    }
    Ok(())
}

/// Whether a program that installs something could do so; otherwise with a note. What a registry refuses for a moment, npm and
/// pip ask for again.
async fn installs(program: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let output = tokio::process::Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let failure = match output {
        Ok(output) if output.status.success() => return Ok(true),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', " / "),
        Err(error) => error.to_string(),
    };
    writeln!(std::io::stderr(), "NOT RUN: {} cannot install packages: {failure}", program.display())?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packages_that_many_want_at_once_are_installed_once() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("oidc-provider");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/oidc-provider/provider.mjs");
        let wanting = || async {
            let Some(_) = node(&folder, &program).await? else { return Ok(None) };
            // npm writes it when it has installed everything.
            let installed = std::fs::metadata(folder.join("node_modules/.package-lock.json"))?;
            anyhow::Ok(Some(installed.modified()?))
        };
        let installed = futures_util::future::try_join_all((0..4).map(|_| wanting())).await?;
        assert!(installed.iter().all(|at| *at == installed[0]), "{installed:?}");
        Ok(())
    }
}
