//! Another master key takes over while people sign in. Then the one before is gone, and nobody notices.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::ids::UserId;
use event_store::MasterKey;
use event_store::vault::Vault;
use reqwest::{Method, StatusCode};
use secrecy::SecretSlice;
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use sqlx::{AssertSqlSafe, Connection as _};
use tests::authenticator::{Enrolled, ticket};
use tests::cli::{Cli, Ran};
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack, answer};
use tests::until;
use tokio::process::Command;

use super::federation::{github, settings};

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(60);

/// The platform's operator, at the command line.
struct Operator<'a> {
    stack: &'a Stack,
    cli: Cli,
}

impl<'a> Operator<'a> {
    fn of(stack: &'a Stack) -> anyhow::Result<Self> {
        let cli = Cli::bearing(stack, "")?;
        std::fs::write(cli.file("platform"), stack.database.url("quipu_platform")?)?;
        Ok(Self { stack, cli })
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.cli.command(arguments)?;
        command
            .env("PLATFORM_DATABASE_URL_FILE", self.cli.file("platform"))
            .env("QUIPU_KEY_DIR", self.stack.keys.path())
            .env("QUIPU_ERASURE_JOURNAL", self.stack.erasure_journal());
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let output = self.command(arguments)?.output().await?;
        let code = output.status.code().context("it was killed")?;
        Ok(Ran { code, out: String::from_utf8(output.stdout)?, talk: String::from_utf8(output.stderr)? })
    }

    async fn good(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let ran = self.run(arguments).await?;
        ensure!(ran.code == 0, "{arguments:?}: {ran:?}");
        Ok(ran)
    }

    async fn refused(&self, arguments: &[&str], because: &str) -> Test {
        let ran = self.run(arguments).await?;
        ensure!(ran.code == 1 && ran.talk.contains(because), "{arguments:?}: {ran:?}");
        Ok(())
    }

    async fn erase(&self, acme: &Organisation<'_>, user: UserId) -> Test {
        let (tenant, user) = (acme.tenant.to_string(), user.to_string());
        let out = self.cli.file(&format!("{user}.json")).display().to_string();
        let who = ["--tenant", &tenant, "--user", &user, "--confirm", &user, "--out", &out];
        self.good(&[&["erase", "--json"], &who[..]].concat()).await?;
        self.good(&["erase", "--verify", &out]).await?;
        Ok(())
    }

    /// What stands in the list of keys next to the values of a table.
    async fn states(&self, table: &str) -> anyhow::Result<Vec<Value>> {
        let rows = self.good(&["keys", "master", "list", "--json"]).await?.json_lines()?;
        Ok(rows.into_iter().filter(|it| it["table"] == table).map(|it| it["state"].clone()).collect())
    }

    /// A figure of those in the database who wait for the table of seeds.
    async fn of_waiting(&self, figure: &str) -> anyhow::Result<i64> {
        let of =
            format!("select {figure} from pg_locks where relation = 'vault.totp'::regclass and not granted");
        let mut conn = self.stack.database.superuser().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(of)).fetch_one(&mut conn).await?)
    }

    /// How many values of a table bear no name: the first key sealed them.
    async fn unnamed(&self, table: &str, column: &str) -> anyhow::Result<i64> {
        let count = format!(r"select count(*) from {table} where substring({column} for 4) <> '\x00716b31'");
        let mut conn = self.stack.database.superuser().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut conn).await?)
    }
}

async fn provider_token(stack: &Stack, base: &str, access: &str) -> anyhow::Result<Answer> {
    answer(stack.request(Method::GET, access, &format!("{base}/v1/provider-tokens/corp"))).await
}

async fn kids(stack: &Stack, base: &str) -> anyhow::Result<Value> {
    let jwks = answer(stack.request(Method::GET, "", &format!("{base}/.well-known/jwks.json"))).await?;
    Ok(jwks.json["keys"].clone())
}

/// Signs in with both factors at one process.
async fn both_factors(acme: &Organisation<'_>, base: &str, ann: &Person, her: &Enrolled) -> Test {
    let ticket = ticket(&acme.log_in_at(base, &ann.email, PASSWORD, "").await?)?;
    acme.as_if_later().await?;
    SignedIn::of(&acme.second_at(base, &ticket, "code", &her.authenticator.code()?).await?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_takes_over_while_people_sign_in_and_the_first_one_goes() -> Test {
    let stack = Stack::whole().await?;
    let operator = Operator::of(&stack)?;
    operator.good(&["keys", "rotate", "--now"]).await?;
    let (github, shop) = github(&stack).await?;
    let mut keeping = settings("github", &github.issuer, ("quipu", "ours"));
    keeping["keeps_tokens"] = json!(true);
    ensure!(shop.set(&keeping).await?.status == StatusCode::OK, "tokens are not kept");
    github.has(1, "cat", "cat@corp.example", true);
    let cat = shop.sign_in("cat").await?;
    let acme = &shop.acme;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let her = acme.enrol(&acme.sign_in(&ann).await?.access).await?;
    let config = KeyConfig::at(stack.keys.path());
    let first: SecretSlice<u8> = config.master_key()?;

    // One after the other: nothing is done out of turn.
    operator.refused(&["keys", "master", "reseal"], "there is one master key").await?;
    operator.refused(&["keys", "master", "use"], "keys master add").await?;
    operator.good(&["keys", "master", "add"]).await?;
    operator.refused(&["keys", "master", "add"], "a key waits").await?;
    let waiting = stack.another_command_api().await?;
    both_factors(acme, &waiting, &ann, &her).await?;
    operator.good(&["keys", "master", "use"]).await?;
    let next = stack.another_command_api().await?;
    both_factors(acme, &next, &ann, &her).await?;
    operator.refused(&["keys", "master", "drop"], "the old ones have to stay").await?;

    // It is killed in the middle: before a table that somebody holds.
    let mut holder = stack.database.superuser().await?;
    let mut held = holder.begin().await?;
    sqlx::query("lock table vault.totp in exclusive mode").execute(&mut *held).await?;
    let mut resealing = operator.command(&["keys", "master", "reseal"])?.spawn()?;
    until(PATIENCE, || async { Ok(operator.of_waiting("count(*)").await? == 1) }).await?;
    resealing.kill().await?;
    // The database has not heard yet that nobody waits for what was asked last, and would do it as soon as it may.
    assert_eq!(operator.of_waiting("count(pg_terminate_backend(pid, 10000))").await?, 1);
    held.rollback().await?;
    for (table, column) in [("keys.subject_keys", "wrapped"), ("vault.provider_tokens", "sealed")] {
        assert_eq!(operator.unnamed(table, column).await?, 0, "{table}");
    }
    assert_eq!(operator.unnamed("vault.totp", "sealed").await?, 1, "it did not come so far");
    operator.refused(&["keys", "master", "drop"], "vault.totp: 1 under first").await?;

    // Beside people who sign in at a process that has both keys.
    let signing_in = async {
        for _ in 0..5 {
            SignedIn::of(&acme.log_in_at(&next, &bob.email, PASSWORD, "").await?)?;
            both_factors(acme, &waiting, &ann, &her).await?;
        }
        anyhow::Ok(())
    };
    let resealing = operator.good(&["keys", "master", "reseal"]);
    futures_util::future::try_join(signing_in, resealing).await?;
    for table in ["keys.subject_keys", "vault.signing_keys", "vault.provider_tokens", "vault.totp"] {
        assert_eq!(operator.states(table).await?, ["seals"], "{table}");
    }
    both_factors(acme, &waiting, &ann, &her).await?;
    let before = kids(&stack, &waiting).await?;
    operator.erase(acme, bob.user).await?;
    operator.good(&["keys", "master", "drop"]).await?;

    // The first key is gone. Hashes are what they were: people and the journal of erasures are known again.
    let alone = stack.another_command_api().await?;
    both_factors(acme, &alone, &ann, &her).await?;
    assert_eq!(acme.log_in_at(&alone, &bob.email, PASSWORD, "").await?.status, StatusCode::UNAUTHORIZED);
    let shown = provider_token(&stack, &alone, &cat.access).await?;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert_eq!(kids(&stack, &alone).await?, before);
    operator.erase(acme, ann.user).await?;

    let vault = Vault::new(stack.database.pool("quipu_command")?);
    assert!(vault.signing_key(&MasterKey::new(&config.master_key()?)?).await?.is_some());
    let Err(refused) = vault.signing_key(&MasterKey::new(&first)?).await else {
        anyhow::bail!("the first key still opens the key that signs")
    };
    assert!(refused.to_string().contains("which master.key does not hold"), "{refused}");
    Ok(())
}

/// What is kept as bytes is a digest, the public half of a passkey, or sealed; and `keys master reseal` must find what is sealed.
#[tokio::test]
async fn what_the_key_sealed_is_listed_wherever_it_is() -> Test {
    const NEITHER: [&str; 2] = ["vault.passkeys.credential_id", "vault.passkeys.public_key"];
    let stack = Stack::commands_only().await?;
    let mut superuser = stack.database.superuser().await?;
    let unlisted: Vec<String> = sqlx::query_scalar(
        "select format('%s.%s', it.attrelid::regclass, it.attname)
         from pg_attribute it join pg_class of_table on of_table.oid = it.attrelid
         where of_table.relkind in ('r', 'p') and of_table.relnamespace::regnamespace::text in ('keys', 'vault', 'read')
             and it.atttypid = 'bytea'::regtype and not it.attisdropped
             and not exists (select from vault.sealed_columns o
                             where o.target = it.attrelid and o.sealed_column = it.attname)
             and not exists (select from pg_constraint o where o.conrelid = it.attrelid
                             and pg_get_constraintdef(o.oid) = format('CHECK ((octet_length(%I) = 32))', it.attname))
         order by 1",
    )
    .fetch_all(&mut superuser)
    .await?;
    assert_eq!(unlisted, NEITHER, "a migration that makes a sealed column calls vault.seals");
    Ok(())
}
