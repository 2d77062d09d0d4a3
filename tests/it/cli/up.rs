//! `quipu up`, as somebody runs it day after day: servers, data and keys below one folder, which what they did stays in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use service_kit::bearer::ClientId;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tests::cli::program;
use tests::relying::Tokens;
use tests::stack::{Answer, answer};
use tests::{tools, until};
use uuid::Uuid;

use super::Test;

const OLGA: &str = "olga.owner@shop.example";
const ANOTHER_PASSWORD: &str = "jade-umpire-quartz-lagoon";
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder in which a stack is, or was. It is stopped with the test, however that ends.
struct Folder {
    home: TempDir,
    /// Where the programs of PostgreSQL are.
    postgres: PathBuf,
}

/// What `up --json` says.
struct Up {
    said: Value,
    /// What it told beside that.
    talk: String,
    http: Client,
}

/// Somebody who has signed in, and up to where the log says so: reads are to know all of it.
struct Owner {
    token: String,
    position: String,
}

impl Folder {
    async fn new() -> anyhow::Result<Self> {
        let url = std::env::var("QUIPU_TEST_DATABASE_URL").context("run the tests with ./dev test")?;
        let mut conn = PgConnection::connect(&url).await?;
        let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut conn)
            .await?;
        let home = tempfile::tempdir()?;
        // PostgreSQL runs as somebody else where we are root, who must come as far as its data.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711))?;
        Ok(Self { home, postgres: bin.into() })
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program()?);
        command
            .env_clear()
            .envs(tools::counts())
            .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
            .envs(std::env::var_os("QUIPU_TEST_NATS_BIN").map(|it| ("NATS_BIN", it)))
            .env("PG_BIN", &self.postgres)
            .env("QUIPU_DIR", self.home.path().join("stack"))
            .args(arguments)
            .stdin(Stdio::null());
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let output = tokio::process::Command::from(self.command(arguments)?).output().await?;
        let (out, talk) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        anyhow::ensure!(output.status.success(), "{arguments:?}: {}\n{out}\n{talk}", output.status);
        Ok((out, talk))
    }

    async fn up(&self) -> anyhow::Result<Up> {
        let (out, talk) = self.run(&["up", "--detach", "--json"]).await?;
        Ok(Up { said: serde_json::from_str(&out)?, talk, http: Client::new() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It may run no more; whoever looks at a failed test looks at that, and not at this.
        let _stopped = self.command(&["down"]).and_then(|mut it| Ok(it.output()?));
    }
}

impl Up {
    fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.said[name].as_str().with_context(|| format!("{name}: {}", self.said))
    }

    async fn ask(
        &self,
        api: &str,
        method: Method,
        path: &str,
        by: &Owner,
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let request = self.http.request(method, format!("{}{path}", self.text(api)?)).bearer_auth(&by.token);
        let request = match api {
            "query_url" => request.header("Quipu-Position", &by.position),
            _ => request.header("Idempotency-Key", Uuid::now_v7().to_string()),
        };
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    async fn read(&self, path: &str, by: &Owner) -> anyhow::Result<Value> {
        let shown = self.ask("query_url", Method::GET, path, by, &Value::Null).await?;
        anyhow::ensure!(shown.status == StatusCode::OK, "{path}: {}", shown.text);
        Ok(shown.json)
    }

    async fn does(&self, method: Method, path: &str, by: &Owner, body: &Value) -> anyhow::Result<Answer> {
        let done = self.ask("command_url", method, path, by, body).await?;
        anyhow::ensure!(done.status.is_success(), "{path}: {}", done.text);
        Ok(done)
    }

    /// Signs the owner of the shop in.
    async fn sign_in(&self, password: &str) -> anyhow::Result<Answer> {
        let body = json!({ "tenant_slug": "demo-shop", "email": OLGA, "password": password });
        answer(self.http.post(format!("{}/v1/auth/login", self.text("command_url")?)).json(&body)).await
    }

    async fn owner(&self, password: &str) -> anyhow::Result<Owner> {
        let signed_in = self.sign_in(password).await?;
        let token = signed_in.json["access_token"].as_str().with_context(|| signed_in.text.clone())?;
        Ok(Owner { token: token.to_owned(), position: signed_in.header("quipu-position").to_owned() })
    }

    /// Browsers take passkeys for names alone; and whoever finds us by that name is told whose tokens to believe.
    async fn is_served_under_a_name(&self, owner: &Owner) -> Test {
        let public = self.text("public_url")?;
        assert_eq!(self.text("command_url")?.replace("127.0.0.1", "localhost"), public);
        let found = self.http.get(format!("{public}/.well-known/openid-configuration"));
        assert_eq!(answer(found).await?.json["issuer"], *public);
        for token in [&*owner.token, self.text("owner_token")?] {
            assert_eq!(Tokens::said(token)?["iss"], *public);
            let read = self.http.get(format!("{}/v1/users", self.text("query_url")?)).bearer_auth(token);
            assert_eq!(answer(read).await?.status, StatusCode::OK);
        }
        Ok(())
    }

    /// The service asks for a token of its own.
    async fn service_signs_in(&self) -> anyhow::Result<StatusCode> {
        let of = |name: &str| self.said["service"][name].as_str().unwrap_or_default().to_owned();
        let request = self.http.post(format!("{}/oauth2/token", self.text("command_url")?));
        let request = request.basic_auth(of("client_id"), Some(of("client_secret")));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Ok(answer(request.body("grant_type=client_credentials")).await?.status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_comes_up_again_as_it_was_left() -> Test {
    let folder = Folder::new().await?;
    let first = folder.up().await?;
    let seeded = first.text("password")?.to_owned();
    let owner = first.owner(&seeded).await?;
    assert_eq!(first.service_signs_in().await?, StatusCode::OK);
    let people = first.read("/v1/users", &owner).await?["items"].as_array().map(Vec::len);
    assert_eq!(people, Some(4), "those of the shop");
    let cash = json!({ "name": "Cash", "currency": "EUR" });
    let opened = first.does(Method::POST, "/v1/ledger/accounts", &owner, &cash).await?;

    first.is_served_under_a_name(&owner).await?;
    let (minted, _) = folder.run(&["token", "mint", "--tenant", first.text("tenant_id")?]).await?;
    assert_eq!(Tokens::said(minted.trim())?["iss"], *first.text("public_url")?);

    // Once more while it runs: nothing is other than before.
    let second = folder.up().await?;
    assert!(second.talk.contains("a stack runs here already"), "{}", second.talk);
    for same in ["command_url", "query_url", "tenant_id", "people", "password", "service", "database_url"] {
        assert_eq!(second.said[same], first.said[same], "{same}");
    }
    assert_eq!(second.sign_in(&seeded).await?.status, StatusCode::OK);

    // What was set up is made into something else: name, password, service.
    let named = json!({ "name": "Olga's shop" });
    second.does(Method::PATCH, "/v1/organization", &owner, &named).await?;
    let client = ClientId::parse(second.said["service"]["client_id"].as_str().context("a name")?);
    let service = client.context("a service")?.service;
    second.does(Method::DELETE, &format!("/v1/services/{service}"), &owner, &Value::Null).await?;
    let change = json!({ "current": seeded, "new": ANOTHER_PASSWORD });
    second.does(Method::POST, "/v1/auth/password/change", &owner, &change).await?;
    assert_ne!(second.service_signs_in().await?, StatusCode::OK);

    // While it runs, and after it was stopped, `up` leaves that as it is.
    let account = format!("/v1/ledger/accounts/{}", opened.json["id"].as_str().context("an id")?);
    let left = Left { seeded: &seeded, account: &account, name: &named["name"], people };
    left.is_as_it_was(&folder.up().await?, &first).await?;
    folder.run(&["down"]).await?;
    let again = folder.up().await?;
    assert!(!again.talk.contains("a stack runs here already"), "{}", again.talk);
    left.is_as_it_was(&again, &first).await
}

/// What somebody made of a stack.
struct Left<'a> {
    /// The password with which it was set up, and which is good no more.
    seeded: &'a str,
    /// An account that they opened.
    account: &'a str,
    /// What they call the organisation.
    name: &'a Value,
    people: Option<usize>,
}

impl Left<'_> {
    async fn is_as_it_was(&self, up: &Up, first: &Up) -> Test {
        assert_eq!(up.sign_in(self.seeded).await?.status, StatusCode::UNAUTHORIZED, "it was changed");
        assert_ne!(up.service_signs_in().await?, StatusCode::OK, "it was removed");
        let owner = up.owner(ANOTHER_PASSWORD).await?;
        assert_eq!(&up.read("/v1/organization", &owner).await?["name"], self.name);
        assert_eq!(up.read("/v1/users", &owner).await?["items"].as_array().map(Vec::len), self.people);
        up.read(self.account, &owner).await?;
        for same in ["tenant_id", "people", "password", "service"] {
            assert_eq!(up.said[same], first.said[same], "{same}");
        }
        // A token of `up` opens the same books.
        let operator = Owner { token: up.text("owner_token")?.to_owned(), position: owner.position };
        up.read(self.account, &operator).await?;
        Ok(())
    }
}

/// When the services refuse what they find, the commands that mend it need the servers.
#[tokio::test]
async fn the_servers_alone_are_there_for_a_command_that_mends() -> Test {
    let folder = Folder::new().await?;
    let (out, _) = folder.run(&["up", "--servers-only", "--detach", "--json"]).await?;
    let said: Value = serde_json::from_str(&out)?;
    assert!(said["database_url"].is_string() && said["nats_url"].is_string(), "{out}");
    let parts = |status: &Value| -> Vec<(String, u64)> {
        let part = |it: &Value| Some((it["name"].as_str()?.to_owned(), it["restarts"].as_u64()?));
        status["parts"].as_array().into_iter().flatten().filter_map(part).collect()
    };
    let status = async || -> anyhow::Result<Value> {
        // It fails while something is down.
        let output = tokio::process::Command::from(folder.command(&["status", "--json"])?).output().await?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let first = status().await?;
    assert_eq!(parts(&first), [("postgres".to_owned(), 0), ("nats".to_owned(), 0)]);
    folder.run(&["projection", "list"]).await?;
    let refused = folder.run(&["up", "--detach"]).await;
    assert!(refused.is_err_and(|it| it.to_string().contains("PostgreSQL and NATS alone")));

    let nats = first["parts"][1]["pid"].as_u64().context("a process")?;
    tools::run("kill", &["-9", &nats.to_string()])?;
    until(PATIENCE, async || {
        Ok(parts(&status().await?) == [("postgres".to_owned(), 0), ("nats".to_owned(), 1)])
    })
    .await
}
