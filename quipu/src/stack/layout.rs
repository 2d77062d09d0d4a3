//! Where everything of a private stack lies on disk: one folder, by default `.local`, with mode 0700 or 0711.
//!
//! Downloaded servers (`py/`) are shared by the stack of `quipu up` and the servers of the tests, which live in a
//! folder of their own below it.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The folder of one stack.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    fetched: PathBuf,
}

impl Layout {
    /// Makes the folder and returns it by its absolute path.
    pub fn begin(root: &Path) -> anyhow::Result<Self> {
        make_private_dir(root)?;
        let root =
            root.canonicalize().with_context(|| format!("the folder {} cannot be opened", root.display()))?;
        let fetched = root.join("py");
        let layout = Self { root, fetched };
        make_private_dir(&layout.logs())?;
        Ok(layout)
    }

    /// A folder below this one for another, separate stack that shares the fetched servers.
    pub fn nested(&self, name: &str) -> anyhow::Result<Self> {
        let nested = Self::begin(&self.root.join(name))?;
        Ok(Self { fetched: self.fetched.clone(), ..nested })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Servers fetched by pip.
    pub fn fetched(&self) -> &Path {
        &self.fetched
    }

    /// PostgreSQL's data.
    pub fn postgres_data(&self) -> PathBuf {
        self.root.join("pg")
    }

    /// NATS's streams.
    pub fn nats_data(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// The configuration of NATS, which holds its password.
    pub fn nats_config(&self) -> PathBuf {
        self.root.join("nats.conf")
    }

    /// Signing keys of the services.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Passwords.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    /// What runs.
    pub fn run_file(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// How to reach what runs, and as whom.
    pub fn context(&self) -> PathBuf {
        self.root.join("context.json")
    }

    /// Who was erased. It is not a part of PostgreSQL's data, so that no backup of those brings an older one back.
    pub fn erasures(&self) -> PathBuf {
        self.root.join("erasures.jsonl")
    }

    /// Held for as long as a supervisor lives.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }

    /// Logs of servers and services.
    pub fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The log of one part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// Everything that `quipu reset` deletes and that exists; never the fetched servers.
    pub fn disposable(&self) -> Vec<PathBuf> {
        [
            self.postgres_data(),
            self.root.join("pg.partial"),
            self.nats_data(),
            self.nats_config(),
            self.nats_config().with_extension("pid"),
            self.keys(),
            self.secrets(),
            self.run_file(),
            self.context(),
            self.erasures(),
            self.logs(),
        ]
        .into_iter()
        .filter(|path| path.exists())
        .collect()
    }
}

/// Makes a folder that only its owner reads; one that is there already is left as it is.
pub(crate) fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the folder {} cannot be made", path.display()))
}

/// Replaces a file as a whole, readable by its owner only: a reader sees the old content or the new one.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("the file {} cannot be written", path.display()))
}

/// The last lines of a log, for a message that explains a failure.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text =
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let skipped = all.len().saturating_sub(lines);
    all.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}
