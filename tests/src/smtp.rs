//! Mail servers that deliver nothing: one of other people's making, which says what arrived as their parser reads it,
//! and one of ours that answers as badly as a test wants.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::stack::listener;
use crate::tools;

const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A certificate for 127.0.0.1 and the authority that gave it, which nobody else believes.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Makes one; `None`, with a note, if openssl is not installed.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make() -> anyhow::Result<Option<Self>> {
        let this = Self { folder: tempfile::tempdir()? };
        std::fs::write(this.path("names"), "subjectAltName=IP:127.0.0.1\n")?;
        let [ca, ca_key, request, key, certificate, names] =
            ["ca.pem", "ca.key", "request", "key", "certificate", "names"]
                .map(|name| this.path(name).display().to_string());
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut first =
            vec!["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca];
        first.extend(curve);
        if tools::run("openssl", &first)?.is_none() {
            return Ok(None);
        }
        let mut second = vec!["req", "-subj", "/CN=server", "-keyout", &key, "-out", &request];
        second.extend(curve);
        tools::run("openssl", &second)?;
        let third = [
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-extfile",
            &names,
            "-out",
            &certificate,
        ];
        tools::run("openssl", &third)?;
        Ok(Some(this))
    }

    /// What those read that shall believe it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// aiosmtpd, which prints what it takes.
pub struct Sink {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    /// It ends when this does.
    _stdin: ChildStdin,
    _child: Child,
}

/// How a sink protects its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkTls {
    /// From the first byte.
    Immediate,
    /// After STARTTLS, and nothing before.
    StartTls,
}

impl Sink {
    /// Starts one that talks in the clear; `None`, with a note, if aiosmtpd is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn plain() -> anyhow::Result<Option<Self>> {
        Self::start(&[]).await
    }

    /// Starts one that wants TLS and `user:password`; `None`, with a note, if aiosmtpd is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn protected(authority: &Authority, tls: SinkTls, login: &str) -> anyhow::Result<Option<Self>> {
        let tls = match tls {
            SinkTls::Immediate => "immediate",
            SinkTls::StartTls => "starttls",
        };
        let (certificate, key) = (authority.path("certificate"), authority.path("key"));
        let [certificate, key] = [certificate, key].map(|it| it.display().to_string());
        Self::start(&["--tls", tls, "--certificate", &certificate, "--key", &key, "--login", login]).await
    }

    async fn start(arguments: &[&str]) -> anyhow::Result<Option<Self>> {
        let there =
            Command::new("python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().await;
        if !there.is_ok_and(|it| it.success()) {
            writeln!(std::io::stderr(), "NOT RUN: python3 has no aiosmtpd")?;
            return Ok(None);
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/smtp-sink.py");
        let mut child = Command::new("python3")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("its output")?;
        let stdin = child.stdin.take().context("its input")?;
        let mut sink = Self { port: 0, lines: BufReader::new(stdout).lines(), _stdin: stdin, _child: child };
        sink.port = u16::try_from(sink.next().await?["port"].as_u64().context("a port")?)?;
        Ok(Some(sink))
    }

    /// The next letter.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn next(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(ANSWERS_WITHIN, self.lines.next_line()).await;
        let line = line.context("nothing came")??.context("the sink ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// How a [`RudeServer`] ends a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It takes it and says so.
    Takes,
    /// It says this to the recipient, and reads no letter.
    Refuses(&'static str),
    /// It takes it, and the connection breaks before it says so.
    TakesSilently,
}

/// A server of ours. It knows no TLS; it takes letters, or does what the list of its manners says for the next ones.
pub struct RudeServer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<Mutex<RudeState>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct RudeState {
    manners: VecDeque<Manner>,
    letters: Vec<String>,
    commands: Vec<String>,
}

impl RudeServer {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(manners: impl IntoIterator<Item = Manner>) -> anyhow::Result<Self> {
        let (listener, address) = listener().await?;
        let state = Arc::new(Mutex::new(RudeState {
            manners: manners.into_iter().collect(),
            ..RudeState::default()
        }));
        let served = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&served);
                // A client that hangs up is none of its business.
                tokio::spawn(async move { talk(connection, &state).await.ok() });
            }
        });
        Ok(Self { port: address.port(), state, accepting })
    }

    /// Every letter that it has taken, as it came.
    #[must_use]
    pub fn letters(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).letters.clone()
    }

    /// Every command that it was given, without arguments.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).commands.clone()
    }
}

impl Drop for RudeServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn talk(connection: TcpStream, state: &Mutex<RudeState>) -> anyhow::Result<()> {
    let state = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let (read, mut write) = connection.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 rude\r\n").await?;
    let mut manner = Manner::Takes;
    while let Some(line) = lines.next_line().await? {
        let command = line.split(' ').next().unwrap_or_default().to_uppercase();
        state().commands.push(command.clone());
        let answer = match command.as_str() {
            "MAIL" => {
                manner = state().manners.pop_front().unwrap_or(Manner::Takes);
                "250 go on"
            }
            "RCPT" => match manner {
                Manner::Refuses(answer) => answer,
                Manner::Takes | Manner::TakesSilently => "250 go on",
            },
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut letter = String::new();
                while let Some(line) = lines.next_line().await?.filter(|it| it != ".") {
                    letter.push_str(&line);
                    letter.push('\n');
                }
                state().letters.push(letter);
                if manner == Manner::TakesSilently {
                    return Ok(());
                }
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 rude",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
