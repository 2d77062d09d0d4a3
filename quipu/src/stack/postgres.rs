//! A private PostgreSQL: found or fetched, made, started, recognised, stopped.
//!
//! It listens on 127.0.0.1 alone, with a password for everybody, and it is never mistaken for another server: the
//! system identifier that the server names is compared with the one in our data folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use sqlx::{Connection as _, PgConnection};
use tokio::process::Command;

use super::fetch;
use super::layout::{Layout, tail, write_private};
use super::ports::free_port;
use super::processes::{ProcessMark, Stopped, on_path, runs};
use super::run_file::PostgresRun;
use super::secrets::Secrets;
use super::unprivileged::Unprivileged;

/// The release that everything is developed and measured on.
const MAJOR_WANTED: u32 = 18;
/// The oldest release that the migrations run on.
const MAJOR_OLDEST: u32 = 15;
const START_ATTEMPTS_MAX: u32 = 6;
/// Above the greatest process id of any Linux.
const NO_PID: &str = "2147483646";
const FAST_STOP_WITHIN: Duration = Duration::from_secs(60);

/// Which releases of PostgreSQL are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresAge {
    /// 18 or newer.
    Current,
    /// 15 to 17 too.
    OldToo,
}

impl PostgresAge {
    pub(crate) fn oldest(self) -> u32 {
        match self {
            Self::Current => MAJOR_WANTED,
            Self::OldToo => MAJOR_OLDEST,
        }
    }
}

/// The programs of one PostgreSQL release and the way to run them.
pub(crate) struct Programs {
    bin: PathBuf,
    major: u32,
    run_as: Unprivileged,
}

impl Programs {
    /// The first of: PG_BIN, the search path, the usual folders from the newest release down, a fetched one.
    pub(crate) async fn obtain(layout: &Layout, age: PostgresAge) -> anyhow::Result<Self> {
        let run_as = Unprivileged::find().await?;
        if let Some(bin) = std::env::var_os("PG_BIN").map(PathBuf::from) {
            let major = major_of(&bin).await.with_context(|| {
                format!("PG_BIN={} does not hold initdb, pg_ctl and postgres", bin.display())
            })?;
            anyhow::ensure!(
                major >= age.oldest(),
                "PG_BIN={} is PostgreSQL {major}, too old: {}",
                bin.display(),
                age_hint(major)
            );
            return Ok(Self { bin, major, run_as });
        }
        for bin in usual_folders() {
            if let Some(major) = major_of(&bin).await
                && major >= age.oldest()
            {
                return Ok(Self { bin, major, run_as });
            }
        }
        fetch::servers(layout).await?;
        let bin = fetch::postgres_bin(layout);
        let major = major_of(&bin).await.context(
            "the fetched PostgreSQL does not start on this machine: install PostgreSQL 18 and name its folder of \
             programs by PG_BIN",
        )?;
        Ok(Self { bin, major, run_as })
    }

    async fn run(&self, program: &str, arguments: &[&OsStr]) -> anyhow::Result<Output> {
        let path = self.bin.join(program);
        let mut command = self.run_as.command(path.as_os_str());
        command.args(arguments).stdin(Stdio::null()).current_dir("/");
        // Settings of the caller's PostgreSQL must not reach ours.
        for name in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGOPTIONS", "PGPASSWORD"] {
            command.env_remove(name);
        }
        command.output().await.with_context(|| format!("{} cannot be started", path.display()))
    }
}

/// Starts the server of this layout, or recognises the one that runs already.
pub(crate) async fn start(
    layout: &Layout,
    programs: &Programs,
    secrets: &Secrets,
    previous: Option<&PostgresRun>,
) -> anyhow::Result<PostgresRun> {
    let data = layout.postgres_data();
    if let Some((process, port)) = running(&data)? {
        let run = identify(layout, secrets, process, port).await?;
        let started_at = previous
            .filter(|known| known.process == run.process)
            .map_or(run.started_at, |known| known.started_at);
        return Ok(PostgresRun { started_at, ..run });
    }
    make_cluster(layout, programs, secrets).await?;
    let mut preferred = previous.map(|run| run.port);
    for attempt in 1..=START_ATTEMPTS_MAX {
        let port = free_port(preferred, &[])?;
        write_settings(&data, port, programs.run_as, layout)?;
        let log = layout.log("postgres");
        let arguments: [&OsStr; 8] = [
            "-w".as_ref(),
            "-t".as_ref(),
            "60".as_ref(),
            "-D".as_ref(),
            data.as_os_str(),
            "-l".as_ref(),
            log.as_os_str(),
            "start".as_ref(),
        ];
        let output = programs.run("pg_ctl", &arguments).await?;
        if output.status.success() {
            let (process, port) = running(&data)?.context("PostgreSQL ended as soon as it had started")?;
            return identify(layout, secrets, process, port).await;
        }
        let said = tail(&log, 12);
        let passing = said.contains("could not bind") || said.contains("pre-existing shared memory block");
        anyhow::ensure!(
            passing && attempt < START_ATTEMPTS_MAX,
            "PostgreSQL did not start; {} ends with:\n{said}",
            log.display()
        );
        // Either somebody took the port in between, or processes of a killed server have yet to end.
        preferred = None;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    anyhow::bail!("PostgreSQL did not start; see {}", layout.log("postgres").display())
}

/// Stops the server of this layout, however it was started: transactions are rolled back, what is committed is on
/// disk. The signal is the one that `pg_ctl -m fast stop` sends; it needs no program and no right to run one.
pub(crate) async fn stop(layout: &Layout) -> Stopped {
    let Ok(Some(process)) = postmaster(&layout.postgres_data()) else { return Stopped::WasGone };
    process.interrupt();
    if process.gone_within(FAST_STOP_WITHIN).await {
        return Stopped::Gracefully;
    }
    // An immediate shutdown: the next start recovers from the log, and nothing committed is lost.
    process.quit();
    process.gone_within(Duration::from_secs(10)).await;
    Stopped::ByForce
}

/// Whether the server that the run file names runs and is ours.
pub(crate) async fn verify(layout: &Layout, secrets: &Secrets, run: &PostgresRun) -> anyhow::Result<()> {
    anyhow::ensure!(run.process.is_alive(), "PostgreSQL (pid {}) does not run any more", run.process.pid);
    let now = identify(layout, secrets, run.process.clone(), run.port).await?;
    anyhow::ensure!(
        now.system_identifier == run.system_identifier,
        "the PostgreSQL on port {} is not the one that was started here",
        run.port
    );
    Ok(())
}

/// A URL for the superuser of a private server.
pub(crate) fn superuser_url(secrets: &Secrets, port: u16, database: &str) -> String {
    format!("postgres://postgres:{}@127.0.0.1:{port}/{database}", secrets.superuser)
}

async fn identify(
    layout: &Layout,
    secrets: &Secrets,
    process: ProcessMark,
    port: u16,
) -> anyhow::Result<PostgresRun> {
    let url = superuser_url(secrets, port, "postgres");
    let mut connection = PgConnection::connect(&url)
        .await
        .with_context(|| format!("PostgreSQL on port {port} does not let us in"))?;
    let (system_identifier, version): (String, String) = sqlx::query_as(
        "select system_identifier::text, current_setting('server_version') from pg_control_system()",
    )
    .fetch_one(&mut connection)
    .await
    .with_context(|| format!("PostgreSQL on port {port} does not say which one it is"))?;
    connection.close().await?;
    anyhow::ensure!(
        system_identifier == identifier_on_disk(&layout.postgres_data())?,
        "the PostgreSQL on port {port} does not serve {}: another server answers there",
        layout.postgres_data().display()
    );
    Ok(PostgresRun { process, port, version, started_at: Utc::now(), system_identifier, restarts: 0 })
}

/// The system identifier is the first field of the control file, in every release.
fn identifier_on_disk(data: &Path) -> anyhow::Result<String> {
    let path = data.join("global/pg_control");
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let first = bytes.first_chunk::<8>().with_context(|| format!("{} is damaged", path.display()))?;
    Ok(u64::from_ne_bytes(*first).to_string())
}

/// The postmaster of this data folder and its port.
fn running(data: &Path) -> anyhow::Result<Option<(ProcessMark, u16)>> {
    let Some(process) = postmaster(data)? else { return Ok(None) };
    let text = std::fs::read_to_string(pid_file(data))?;
    let port = text.lines().nth(3).and_then(|line| line.trim().parse().ok());
    let port =
        port.with_context(|| format!("PostgreSQL (pid {}) is still starting: try again", process.pid))?;
    Ok(Some((process, port)))
}

/// The postmaster of this data folder.
fn postmaster(data: &Path) -> anyhow::Result<Option<ProcessMark>> {
    let path = pid_file(data);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let process = first.trim().parse().ok().and_then(ProcessMark::of);
    if let Some(process) = process
        && runs(process.pid, "postgres", data)
    {
        return Ok(Some(process));
    }
    // PostgreSQL would refuse to start if the number now belongs to another program, or to a zombie that nobody
    // collects, as in many containers. The rest of the file stays: by the shared memory that it names PostgreSQL
    // sees whether processes of the killed server still run.
    if first.trim() != NO_PID {
        std::fs::write(&path, format!("{NO_PID}\n{rest}"))
            .with_context(|| format!("{} is stale and cannot be changed", path.display()))?;
    }
    Ok(None)
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

async fn make_cluster(layout: &Layout, programs: &Programs, secrets: &Secrets) -> anyhow::Result<()> {
    let data = layout.postgres_data();
    if let Ok(made_by) = std::fs::read_to_string(data.join("PG_VERSION")) {
        anyhow::ensure!(
            made_by.trim() == programs.major.to_string(),
            "the data in {} are of PostgreSQL {}, but the programs found are {}: name the right ones by PG_BIN, or \
             give the data up with `quipu reset --yes`",
            data.display(),
            made_by.trim(),
            programs.major
        );
        return Ok(());
    }
    // Made under another name, so that an interrupted initdb leaves nothing that looks like data.
    let partial = layout.root().join("pg.partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    super::layout::make_private_dir(&partial)?;
    programs.run_as.hand_over(&partial, layout.root())?;
    let password_file = layout.root().join("pg.password");
    write_private(&password_file, secrets.superuser.as_bytes())?;
    programs.run_as.hand_over(&password_file, layout.root())?;
    let mut password_argument = std::ffi::OsString::from("--pwfile=");
    password_argument.push(&password_file);
    let mut arguments: Vec<&OsStr> = vec![
        "-D".as_ref(),
        partial.as_os_str(),
        "-U".as_ref(),
        "postgres".as_ref(),
        "-A".as_ref(),
        "scram-sha-256".as_ref(),
        "-E".as_ref(),
        "UTF8".as_ref(),
        "--data-checksums".as_ref(),
        &password_argument,
    ];
    // The built-in provider sorts the same on every machine and after every upgrade of the C library.
    if programs.major >= 17 {
        arguments
            .extend(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"].map(OsStr::new));
    } else {
        arguments.push("--locale=C.UTF-8".as_ref());
    }
    let output = programs.run("initdb", &arguments).await;
    std::fs::remove_file(&password_file)?;
    let output = output?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "PostgreSQL's data could not be made: {}", said.trim());
    let settings = partial.join("postgresql.conf");
    let mut text = std::fs::read_to_string(&settings)?;
    text.push_str("\ninclude_if_exists = 'quipu.conf'\n");
    std::fs::write(&settings, text)?;
    std::fs::rename(&partial, &data).with_context(|| format!("{} cannot be made", data.display()))
}

fn write_settings(data: &Path, port: u16, run_as: Unprivileged, layout: &Layout) -> anyhow::Result<()> {
    let path = data.join("quipu.conf");
    let settings = format!(
        "# Written anew at every start.\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         password_encryption = 'scram-sha-256'\n\
         max_connections = 200\n\
         shared_buffers = '256MB'\n\
         max_wal_size = '4GB'\n\
         min_wal_size = '512MB'\n\
         checkpoint_timeout = '15min'\n\
         random_page_cost = 1.1\n\
         jit = off\n\
         client_connection_check_interval = '1s'\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         log_line_prefix = '%m [%p] %q%u@%d '\n\
         log_lock_waits = on\n"
    );
    write_private(&path, settings.as_bytes())?;
    run_as.hand_over(&path, layout.root())?;
    let log = layout.log("postgres");
    std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
    run_as.hand_over(&log, layout.root())
}

fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(program) = on_path("postgres").and_then(|path| path.canonicalize().ok())
        && let Some(folder) = program.parent()
    {
        folders.push(folder.to_owned());
    }
    let mut installed: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(major) = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok()) {
                installed.push((major, entry.path().join("bin")));
            }
        }
    }
    installed.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    folders.extend(installed.into_iter().map(|(_, folder)| folder));
    folders
}

async fn major_of(bin: &Path) -> Option<u32> {
    if !["initdb", "pg_ctl", "postgres"].iter().all(|program| bin.join(program).is_file()) {
        return None;
    }
    let output = Command::new(bin.join("postgres")).arg("--version").output().await.ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// From a line such as `postgres (PostgreSQL) 18.6 (Debian 18.6-1)`.
fn parse_major(line: &str) -> Option<u32> {
    let version = line.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn age_hint(major: u32) -> &'static str {
    if major >= MAJOR_OLDEST {
        "pass --allow-old-postgres, or leave PG_BIN out to have 18 fetched"
    } else {
        "15 is the oldest that works, 18 is what is tested; leave PG_BIN out to have 18 fetched"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_packager_s_line() {
        assert_eq!(parse_major("postgres (PostgreSQL) 18.6\n"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(parse_major("something else"), None);
    }
}
