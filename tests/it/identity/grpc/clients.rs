//! Clients of other languages, with and without the protocol at hand.

use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::Context as _;
use rpc::server::auth_service_server::SERVICE_NAME as AUTH;
use serde_json::{Value, json};
use tests::database::tenant;
use tests::stack::Stack;
use tests::tools;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{PATIENCE, TRACE, Test};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_language_learns_the_protocol_from_the_server_and_understands_its_refusals()
-> Test {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/grpc-client");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-client");
    let Some(python) = tools::python(&folder, &tool.join("requirements.txt")).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let told = asked(&stack, Command::new(python).arg(tool.join("client.py")), &[]).await?;

    let services = told["services"].as_array().context("services")?;
    for name in [AUTH, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(services.iter().any(|it| it == name), "{name} is not among {services:?}");
    }
    assert_eq!(told["health"], "SERVING");
    let stranger = &told["without a token"];
    assert_eq!(stranger["status"], "UNAUTHENTICATED");
    assert_eq!(stranger["details"]["ErrorInfo"]["reason"], "AUTH_TOKEN_MISSING");
    assert_eq!(stranger["details"]["ErrorInfo"]["metadata"]["code"], "auth.token-missing");

    understood(&told);
    let login = &told["login"];
    assert_eq!(login["details"]["RequestInfo"]["requestId"], TRACE);
    assert_eq!(login["details"]["ErrorInfo"]["metadata"]["code"], "identity.invalid-credentials");
    let malformed = &told["malformed"];
    assert_eq!(malformed["details"]["BadRequest"]["fieldViolations"][0]["field"], "email");
    assert_eq!(told["valid"]["message"]["bearer"]["tenant_id"], tenant(1).to_string());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_the_protocol_and_shares_no_code_with_us_understands_it_too() -> Test {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/grpc-client/client.mjs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-client-node");
    let Some(program) = tools::node(&folder, &tool).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let protocols = concat!(env!("CARGO_MANIFEST_DIR"), "/../rpc/proto");
    let told = asked(&stack, Command::new("node").arg(program), &[protocols]).await?;
    understood(&told);
    let of = |name: &str| told[name]["details"].as_str().unwrap_or_default().to_owned();
    assert!(of("login").contains("identity.invalid-credentials") && of("login").contains(TRACE));
    assert!(of("malformed").contains("google.rpc.BadRequest"));
    Ok(())
}

/// Has a client ask its questions.
async fn asked(stack: &Stack, client: &mut Command, more: &[&str]) -> anyhow::Result<Value> {
    let login = json!({
        "tenant_slug": "nobody-has-this", "email": "nobody@example.com", "password": "correct horse battery staple",
    });
    let questions = json!({ "token": stack.owner(tenant(1))?, "trace": TRACE, "login": login });
    let address = stack.command_url.strip_prefix("http://").context("an address")?;
    let client =
        client.arg(address).args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = client.spawn()?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(questions.to_string().as_bytes()).await?;
    drop(stdin);
    let Output { status, stdout, .. } =
        tokio::time::timeout(PATIENCE * 3, child.wait_with_output()).await??;
    anyhow::ensure!(status.success(), "the client failed");
    Ok(serde_json::from_slice(&stdout)?)
}

/// What every client understands of the answers.
fn understood(told: &Value) {
    let valid = &told["valid"];
    assert_eq!((&valid["status"], &valid["metadata"]["x-request-id"]), (&json!("OK"), &json!(TRACE)));
    assert_eq!((&valid["message"]["valid"], &valid["message"]["reason"]), (&json!(true), &json!("")));
    let invalid = &told["invalid"]["message"];
    assert_eq!((&invalid["valid"], &invalid["reason"]), (&json!(false), &json!("auth.token-invalid")));
    assert_eq!(told["login"]["status"], "UNAUTHENTICATED");
    assert_eq!(told["malformed"]["status"], "INVALID_ARGUMENT");
}
