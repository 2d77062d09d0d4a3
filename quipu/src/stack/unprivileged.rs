//! PostgreSQL refuses to run as root, and containers often have nobody else. How its programs are started then.
//!
//! In order: a user namespace in which root is mapped to an ordinary user (needs no other user and no change of
//! owner, and works below a closed home folder); `setpriv` to the user nobody; `runuser` to the user postgres. The
//! last two need every folder above the data to be traversable by that user.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use super::processes::on_path;

const NOBODY: u32 = 65534;

/// The way in which a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprivileged {
    /// We are not root.
    Directly,
    /// Root outside, nobody inside.
    UserNamespace,
    /// As the user nobody.
    Setpriv,
    /// As the user postgres, whose id is given.
    Runuser(u32),
}

impl Unprivileged {
    /// Finds a way that works on this machine.
    pub async fn find() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Directly);
        }
        for way in [Self::UserNamespace, Self::Setpriv] {
            if succeeds(way.command(OsStr::new("true"))).await {
                return Ok(way);
            }
        }
        if let Some(uid) = postgres_user().await
            && succeeds(Self::Runuser(uid).command(OsStr::new("true"))).await
        {
            return Ok(Self::Runuser(uid));
        }
        anyhow::bail!(
            "PostgreSQL refuses to run as root, and neither unshare nor setpriv nor runuser works here: run as an \
             ordinary user, or name a running server by DATABASE_URL"
        )
    }

    /// A command that runs the program in this way.
    pub fn command(self, program: &OsStr) -> Command {
        let mut command = match self {
            Self::Directly => return Command::new(program),
            Self::UserNamespace => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--user", "--map-user=65534", "--map-group=65534", "--"]);
                unshare
            }
            Self::Setpriv => {
                let mut setpriv = Command::new("setpriv");
                setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                setpriv
            }
            Self::Runuser(_) => {
                let mut runuser = Command::new("runuser");
                runuser.args(["-u", "postgres", "--"]);
                runuser
            }
        };
        command.arg(program);
        command
    }

    /// Hands a file or folder to the user that the program will run as, and opens the folders above it as far as
    /// `root`, so that the user can reach it.
    pub fn hand_over(self, path: &Path, root: &Path) -> anyhow::Result<()> {
        let uid = match self {
            Self::Directly | Self::UserNamespace => return Ok(()),
            Self::Setpriv => NOBODY,
            Self::Runuser(uid) => uid,
        };
        let hand_over = || -> std::io::Result<()> {
            chown(path, Some(uid), None)?;
            for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
                let folder_is = std::fs::metadata(folder)?;
                // PostgreSQL's own folder stays closed.
                if folder_is.uid() != uid {
                    let mode = folder_is.permissions().mode() | 0o011;
                    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode))?;
                }
            }
            Ok(())
        };
        hand_over().with_context(|| format!("{} cannot be given to the database's user", path.display()))
    }
}

async fn succeeds(mut command: Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

async fn postgres_user() -> Option<u32> {
    let id = on_path("id")?;
    let output = Command::new(id).args(["-u", "postgres"]).output().await.ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
