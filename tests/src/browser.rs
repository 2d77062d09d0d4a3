//! A real browser that a test leads over pages: it presses and fills in what a screen reader would name.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::tools;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/browser/browser.mjs");
/// Longer than the browser itself waits for anything.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A Chromium without a window.
pub struct Browser {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    screens: PathBuf,
    origin: String,
    _process: Child,
}

/// How somebody looks at pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The language that they read, as a tag.
    pub language: &'static str,
    /// How wide their window is, in pixels of CSS.
    pub width: u32,
    /// Whether they want light letters on a dark ground.
    pub dark: bool,
    /// Whether their browser runs scripts.
    pub scripts: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self { language: "en", width: 1000, dark: false, scripts: true }
    }
}

/// What is on the screen.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    /// The whole address, with its fragment.
    pub url: String,
    /// The title of the window.
    pub title: String,
    /// The first heading.
    pub heading: String,
    /// All words.
    pub text: String,
    /// Whether it is to be read without moving it sideways.
    pub fits: bool,
}

impl Browser {
    /// Starts one that looks at the pages of `origin` and at no others; `None`, with a note, where Chromium, Node or its
    /// packages cannot be had. They are kept in `folder`. Pictures go to `screens`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(folder: &Path, screens: &Path, origin: &str) -> anyhow::Result<Option<Self>> {
        let Some(program) = tools::node(folder, Path::new(PROGRAM)).await? else { return Ok(None) };
        std::fs::create_dir_all(screens)?;
        let mut process = Command::new("node")
            .arg(program)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Not killed: the browser would outlive it. It closes the browser and ends when there are no more orders.
            .spawn()?;
        let orders = process.stdin.take().context("its orders")?;
        let answers = BufReader::new(process.stdout.take().context("its answers")?).lines();
        let mut browser = Self {
            orders,
            answers,
            screens: screens.to_owned(),
            origin: origin.to_owned(),
            _process: process,
        };
        let ready = browser.answer().await?;
        if let Some(missing) = ready["missing"].as_str() {
            writeln!(std::io::stderr(), "NOT RUN: {missing} is not installed")?;
            return Ok(None);
        }
        browser.order(json!({ "order": "start", "origin": origin })).await?;
        Ok(Some(browser))
    }

    /// Forgets everything: nobody was ever here.
    ///
    /// # Errors
    /// If the browser fails.
    pub async fn fresh(&mut self, reader: Reader) -> anyhow::Result<()> {
        let Reader { language, width, dark, scripts } = reader;
        let order = json!({
            "order": "fresh", "language": language, "width": width, "dark": dark, "scripts": scripts,
        });
        self.order(order).await.map(|_| ())
    }

    /// Goes to a page of the origin.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub async fn go(&mut self, path: &str) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.origin);
        self.order(json!({ "order": "go", "url": url })).await.map(|_| ())
    }

    /// Writes into the field of this name, in place of what stands there.
    ///
    /// # Errors
    /// If there is none.
    pub async fn fill(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        self.order(json!({ "order": "fill", "name": name, "text": text })).await.map(|_| ())
    }

    /// Presses the button of this name, and waits for the next page.
    ///
    /// # Errors
    /// If there is none, or no page follows.
    pub async fn press(&mut self, name: &str) -> anyhow::Result<()> {
        self.order(json!({ "order": "press", "name": name })).await.map(|_| ())
    }

    /// Follows the link of this name.
    ///
    /// # Errors
    /// If there is none, or it leads nowhere.
    pub async fn follow(&mut self, name: &str) -> anyhow::Result<()> {
        self.order(json!({ "order": "follow", "name": name })).await.map(|_| ())
    }

    /// Waits until the address begins like this.
    ///
    /// # Errors
    /// If it does not come to it.
    pub async fn arrived(&mut self, prefix: &str) -> anyhow::Result<Seen> {
        self.order(json!({ "order": "arrived", "prefix": prefix })).await?;
        self.seen().await
    }

    /// Waits until the page has this heading: where a script of it goes on by itself.
    ///
    /// # Errors
    /// If it does not come to it.
    pub async fn reads(&mut self, heading: &str) -> anyhow::Result<Seen> {
        self.order(json!({ "order": "reads", "heading": heading })).await?;
        self.seen().await
    }

    /// Waits until this stands on the screen.
    ///
    /// # Errors
    /// If it does not.
    pub async fn says(&mut self, text: &str) -> anyhow::Result<()> {
        self.order(json!({ "order": "says", "text": text })).await.map(|_| ())
    }

    /// Has an authenticator of passkeys at hand, which shows its owner without asking anybody.
    ///
    /// # Errors
    /// If the browser fails.
    pub async fn authenticator(&mut self) -> anyhow::Result<()> {
        self.order(json!({ "order": "authenticator" })).await.map(|_| ())
    }

    /// What is on the screen.
    ///
    /// # Errors
    /// If the browser fails.
    pub async fn seen(&mut self) -> anyhow::Result<Seen> {
        Ok(serde_json::from_value(self.order(json!({ "order": "seen" })).await?)?)
    }

    /// What stands in the field of this name.
    ///
    /// # Errors
    /// If there is none.
    pub async fn value(&mut self, name: &str) -> anyhow::Result<String> {
        let answer = self.order(json!({ "order": "value", "name": name })).await?;
        Ok(answer["value"].as_str().context("a value")?.to_owned())
    }

    /// Takes pictures of what is on the screen (wide and light, narrow and dark), sees that the narrow one fits, and has both
    /// checked: what accessibility lacks, what the policy of the page stopped, and what it asked for elsewhere.
    ///
    /// # Errors
    /// If anything of it is not in order.
    pub async fn check(&mut self, name: &str) -> anyhow::Result<()> {
        let mut faults = Vec::new();
        for (form, width, dark) in [("wide", 1000, false), ("narrow", 320, true)] {
            self.order(json!({ "order": "size", "width": width, "dark": dark })).await?;
            let path = self.screens.join(format!("{name}-{form}.png"));
            self.order(json!({ "order": "shot", "path": path })).await?;
            if !self.seen().await?.fits {
                faults.push(format!("{form}: it is wider than the window"));
            }
            let told = self.order(json!({ "order": "faults" })).await?;
            faults.extend(told["faults"].as_array().into_iter().flatten().map(|it| format!("{form}: {it}")));
        }
        self.order(json!({ "order": "size", "width": 1000, "dark": false })).await?;
        anyhow::ensure!(faults.is_empty(), "{name}: {faults:#?}");
        Ok(())
    }

    async fn order(&mut self, order: Value) -> anyhow::Result<Value> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        let answer = self.answer().await?;
        match answer["failed"].as_str() {
            Some(failed) => anyhow::bail!("{failed}"),
            None => Ok(answer),
        }
    }

    async fn answer(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(ANSWERS_WITHIN, self.answers.next_line()).await??;
        Ok(serde_json::from_str(&line.context("the browser has ended")?)?)
    }
}
