//! Authenticators that others made: codes of pyotp, and passkeys whose messages python-fido2 writes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::person::{Organisation, SignedIn};
use tests::stack::{PUBLIC_URL, Stack};
use tests::tools;
use tokio::sync::OnceCell;

use super::Test;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/authenticator");

/// The Python that has them; installed once for all tests of a run.
async fn python() -> anyhow::Result<Option<PathBuf>> {
    static INSTALLED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let install = async || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authenticator");
        tools::python(&folder, &Path::new(FOLDER).join("requirements.txt")).await
    };
    Ok(INSTALLED.get_or_try_init(install).await?.clone())
}

/// What a program of theirs says.
fn says(python: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let program = format!("{FOLDER}/{program}");
    let arguments: Vec<&str> = [program.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    let said = tools::run(python.to_str().context("a path")?, &arguments)?.context("it is installed")?;
    Ok(serde_json::from_str(&said)?)
}

#[tokio::test]
async fn an_authenticator_of_others_reads_our_seed_and_shows_codes_that_we_take() -> Test {
    let Some(python) = python().await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let session = acme.sign_in(&acme.join("ann").await?).await?;
    let offered = acme.post(&session.access, "/v1/auth/totp", &Value::Null).await?;
    let shown = says(&python, "totp.py", &[offered.json["uri"].as_str().context("an address")?])?;
    let read = json!({ "account": "ann@example.com", "issuer": "acme (quipu.example)", "digits": 6, "interval": 30 });
    for (name, value) in read.as_object().context("fields")? {
        assert_eq!(&shown[name], value, "{shown}");
    }
    assert_eq!(shown["secret"], offered.json["secret"]);
    let code = json!({ "code": shown["code"] });
    let enrolled = acme.post(&session.access, "/v1/auth/totp/confirm", &code).await?;
    assert_eq!(enrolled.status, StatusCode::OK, "{}", enrolled.text);
    Ok(())
}

#[tokio::test]
async fn passkeys_whose_messages_others_write_are_added_and_sign_in() -> Test {
    let Some(python) = python().await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut session = acme.sign_in(&ann).await?;
    let folder = tempfile::tempdir()?;
    for algorithm in ["-7", "-8"] {
        let key = folder.path().join(algorithm);
        let key = key.to_str().context("a path")?;
        let options = acme.post(&session.access, "/v1/auth/passkeys/options", &Value::Null).await?;
        let made = says(&python, "passkey.py", &[PUBLIC_URL, key, &options.text, "make", algorithm])?;
        let added = acme.post(&session.access, "/v1/auth/passkeys", &made).await?;
        assert_eq!(added.status, StatusCode::CREATED, "{algorithm} {}", added.text);
        let options =
            acme.post("", "/v1/auth/passkey-sign-in/options", &json!({ "tenant_slug": "acme" })).await?;
        let signed = says(&python, "passkey.py", &[PUBLIC_URL, key, &options.text, "sign", "acme"])?;
        let signed_in = SignedIn::of(&acme.post("", "/v1/auth/passkey-sign-in", &signed).await?)?;
        assert_eq!(signed_in.claims()?["sub"], json!(ann.user), "{algorithm}");
        // Whoever has one shows it before they add another.
        session = signed_in;
    }
    Ok(())
}
