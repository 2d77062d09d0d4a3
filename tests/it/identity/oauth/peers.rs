//! The provider, as libraries that others wrote see it: openid-client for Node, authlib for Python.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::person::Organisation;
use tests::relying::{BACK, Relying, shop};
use tests::stack::{PUBLIC_URL, Stack};
use tests::tab::Tab;
use tests::tools;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::identity::device;

type Test = anyhow::Result<()>;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/relying-party/relying-party.mjs");
const AUTHLIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/authlib-client");
const SAYS_WITHIN: Duration = Duration::from_secs(60);

async fn said(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<Value> {
    let line = tokio::time::timeout(SAYS_WITHIN, lines.next_line()).await??;
    Ok(serde_json::from_str(&line.context("it ended; see what it wrote")?)?)
}

#[tokio::test]
async fn a_client_that_others_wrote_finds_signs_in_refreshes_and_gives_back() -> Test {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relying-party");
    let Some(program) = tools::node(&folder, Path::new(PROGRAM)).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let secret = shop.secret.as_deref().context("a secret")?;
    let mut process = Command::new("node")
        .arg(program)
        .args([PUBLIC_URL, &stack.command_url, &shop.client_id, secret, BACK])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = process.stdin.take().context("its input")?;
    let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
    let begin = said(&mut lines).await?;
    let begin =
        begin["authorize"].as_str().and_then(|it| it.strip_prefix(PUBLIC_URL)).context("where to go")?;
    let mut tab = Tab::at(&stack.command_url)?;
    let back = shop.walk(&mut tab, &ann, begin).await?;
    input.write_all(format!("{back}\n").as_bytes()).await?;
    let code = said(&mut lines).await?;
    device::allow(&shop, &ann, code["userCode"].as_str().context("a code")?).await?;
    input.write_all(b"decided\n").await?;
    let learnt = said(&mut lines).await?;
    let user = ann.user.to_string();
    let logout = learnt["logout"].as_str().context("a way out")?;
    assert!(logout.starts_with(&format!("{PUBLIC_URL}/oauth2/logout?")), "{logout}");
    assert_eq!(tab.get(logout.strip_prefix(PUBLIC_URL).context("ours")?).await?.status.as_u16(), 303);
    let expected = json!({
        "sub": user, "amr": ["pwd"], "email": ann.email, "active": true, "scope": "email openid profile",
        "activeAfter": false, "itself": "ledger.read-accounts reports:read", "device": user, "logout": logout,
    });
    assert_eq!(learnt, expected);
    Ok(())
}

#[tokio::test]
async fn authlib_signs_in_refreshes_asks_gives_back_and_acts_for_itself() -> Test {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authlib-client");
    let requirements = Path::new(AUTHLIB).join("requirements.txt");
    let Some(python) = tools::python(&folder, &requirements).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let secret = shop.secret.as_deref().context("a secret")?;
    let mut process = Command::new(python)
        .arg(Path::new(AUTHLIB).join("client.py"))
        .args([PUBLIC_URL, &stack.command_url, &shop.client_id, secret, BACK])
        .env_remove("PYTHONPATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = process.stdin.take().context("its input")?;
    let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
    let begin = said(&mut lines).await?;
    let begin =
        begin["authorize"].as_str().and_then(|it| it.strip_prefix(PUBLIC_URL)).context("where to go")?;
    let back = shop.walk(&mut Tab::at(&stack.command_url)?, &ann, begin).await?;
    input.write_all(format!("{back}\n").as_bytes()).await?;
    let expected = json!({
        "sub": ann.user.to_string(), "email": ann.email, "same": true, "rotated": true,
        "scope": "email openid profile", "active": true, "activeAfter": false,
        "itself": "ledger.read-accounts", "hasRefresh": false,
        "replayed": "invalid_grant", "tooMuch": "invalid_scope", "otherState": "mismatching_state",
    });
    assert_eq!(said(&mut lines).await?, expected);
    Ok(())
}
