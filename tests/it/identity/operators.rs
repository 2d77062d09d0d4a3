//! Tokens that operators are issued by hand: each is revoked by itself, over the interface or by the program, and nothing is
//! done with it any more, whatever it is shown to.

use std::time::Instant;

use anyhow::Context as _;
use domain::ids::TenantId;
use domain::organisation::RoleRef;
use event_store::access::AGE_MAX;
use reqwest::{Method, StatusCode};
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::ValidateTokenRequest;
use serde_json::{Value, json};
use tests::cli::{Cli, Ran};
use tests::database::tenant;
use tests::members::Members;
use tests::person::Organisation;
use tests::relying::{Relying, shop};
use tests::sse::Reader;
use tests::stack::{Answer, Stack};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::access::{ENDED, all_open, all_tell, doors};

type Test = anyhow::Result<()>;

/// The program, as an operator of the platform runs it.
struct Operator {
    cli: Cli,
    database_url: String,
    environment: [(&'static str, String); 3],
}

/// A token as it was issued.
struct Minted {
    id: Uuid,
    token: String,
}

impl Operator {
    fn of(stack: &Stack) -> anyhow::Result<Self> {
        let keys = stack.keys.path().to_str().context("a path")?.to_owned();
        let environment = [
            ("QUIPU_KEY_DIR", keys),
            ("QUIPU_TOKEN_ISSUER", stack.tokens.issuer().to_owned()),
            ("QUIPU_TOKEN_AUDIENCE", stack.tokens.audience.clone()),
        ];
        let database_url = stack.database.url("quipu_platform")?;
        Ok(Self { cli: Cli::bearing(stack, "")?, database_url, environment })
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = self.cli.command(arguments)?;
        command.env("DATABASE_URL", &self.database_url).envs(self.environment.iter().map(|(k, v)| (k, v)));
        let output = command.output().await?;
        Ok(Ran {
            code: output.status.code().context("it was killed")?,
            out: String::from_utf8(output.stdout)?,
            talk: String::from_utf8(output.stderr)?,
        })
    }

    async fn mint(&self, tenant: TenantId) -> anyhow::Result<Minted> {
        let mint = ["token", "mint", "--json", "--role", "owner", "--tenant", &tenant.to_string()];
        let ran = self.run(&mint).await?;
        anyhow::ensure!(ran.code == 0, "{ran:?}");
        let said: Value = serde_json::from_str(&ran.out)?;
        let text = |name: &str| said[name].as_str().with_context(|| name.to_owned());
        Ok(Minted { id: text("token_id")?.parse()?, token: text("token")?.to_owned() })
    }

    /// What is listed of a tenant's tokens, each with how it stands.
    async fn listed(&self, tenant: TenantId, more: &[&str]) -> anyhow::Result<Vec<(Value, Value)>> {
        let tenant = tenant.to_string();
        let list = [&["token", "list", "--json", "--tenant", &tenant], more].concat();
        let ran = self.run(&list).await?;
        anyhow::ensure!(ran.code == 0, "{ran:?}");
        Ok(ran.json_lines()?.into_iter().map(|it| (it["token_id"].clone(), it["status"].clone())).collect())
    }
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

async fn revoke(stack: &Stack, token: &str, id: Uuid) -> anyhow::Result<Answer> {
    stack.post(token, &format!("/v1/access-tokens/{id}/revoke"), &Value::Null).await
}

async fn revoke_anywhere(stack: &Stack, token: &str, of: TenantId, id: Uuid) -> anyhow::Result<Answer> {
    stack.post(token, &format!("/v1/platform/access-tokens/{of}/{id}/revoke"), &Value::Null).await
}

/// Whether gRPC calls a token good.
async fn is_valid_by_grpc(channel: &Channel, token: &str) -> anyhow::Result<bool> {
    let request = ValidateTokenRequest { access_token: token.to_owned() };
    Ok(AuthServiceClient::new(channel.clone()).validate_token(request).await?.into_inner().valid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_taken_by_nobody_within_a_second_and_the_others_are() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?;
    let operator = Operator::of(&stack)?;
    let (lost, kept) = (operator.mint(acme.tenant).await?, operator.mint(acme.tenant).await?);
    let grpc = Endpoint::from_shared(stack.command_url.clone())?.connect().await?;
    let introspected = async || {
        let facts = shop.ask("introspect", &[("token", &lost.token)]).await?;
        Ok::<_, anyhow::Error>(facts.json["active"].clone())
    };
    for token in [&lost.token, &kept.token] {
        all_open(&stack, &doors, token).await?;
        assert!(is_valid_by_grpc(&grpc, token).await?);
    }
    assert_eq!(introspected().await?, json!(true));
    let live = stack.request(Method::GET, &lost.token, &format!("{}/v1/events/stream", stack.query_url));
    let mut live = Reader::open(live).await?;

    let revoked = revoke(&stack, &owner.token, lost.id).await?;
    let since = Instant::now();
    assert_eq!(told(&revoked), (200, ""), "{}", revoked.text);
    all_tell(&stack, &doors, &lost.token, ENDED).await?;
    let mut last = live.next().await?.context("a last word")?;
    while last.name.contains('.') {
        last = live.next().await?.context("a last word")?;
    }
    assert_eq!(last.name, "revoked");
    assert!(since.elapsed() < AGE_MAX, "the stream went on for {:?}", since.elapsed());
    assert_eq!(introspected().await?, json!(false));
    assert!(!is_valid_by_grpc(&grpc, &lost.token).await?);
    all_open(&stack, &doors, &kept.token).await?;
    assert!(is_valid_by_grpc(&grpc, &kept.token).await?);

    // Once more is the same, and it is recorded once, by whom.
    let again = revoke(&stack, &owner.token, lost.id).await?;
    assert_eq!((told(&again), &again.json["version"]), ((200, ""), &revoked.json["version"]));
    let mut conn = stack.database.superuser().await?;
    let recorded: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(
        "select tenant_id, payload ->> 'token_id', meta ->> 'actor' from store.events
         where type = 'identity.access-token-revoked'",
    )
    .fetch_all(&mut conn)
    .await?;
    let by = Some(owner.user.to_string());
    assert_eq!(recorded, [(acme.tenant.uuid(), lost.id.to_string(), by)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_by_its_organisation_by_the_platform_and_by_nobody_else() -> Test {
    let stack = Stack::whole().await?;
    let operator = Operator::of(&stack)?;
    let (here, there) = (Members::of(&stack, tenant(1))?, Members::of(&stack, tenant(2))?);
    let (manager, stranger) = (here.join(&[RoleRef::MANAGER]).await?, there.join(&[RoleRef::OWNER]).await?);
    let staff = Members::of(&stack, TenantId::PLATFORM)?.join(&[RoleRef::ADMIN]).await?;
    let (one, other) = (operator.mint(tenant(1)).await?, operator.mint(tenant(1)).await?);
    let good = async |token: &str| -> anyhow::Result<bool> {
        Ok(stack.post(token, "/v1/ledger/batches", &json!({ "items": [] })).await?.code() == "batch.size")
    };
    let (missing, unknown) = ((403, "auth.permission-missing"), (404, "identity.token-not-found"));
    assert_eq!(told(&revoke(&stack, &manager.token, one.id).await?), missing);
    // In another organisation it is as little there as one that nobody issued.
    for id in [one.id, Uuid::now_v7()] {
        assert_eq!(told(&revoke(&stack, &stranger.token, id).await?), unknown);
        assert_eq!(
            told(&revoke(&stack, &staff.token, id).await?),
            unknown,
            "it is none of the platform's own"
        );
        assert_eq!(told(&revoke_anywhere(&stack, &staff.token, tenant(2), id).await?), unknown);
    }
    for token in [&stranger.token, &one.token] {
        assert_eq!(told(&revoke_anywhere(&stack, token, tenant(1), other.id).await?), missing);
    }
    assert!(good(&one.token).await? && good(&other.token).await?, "nothing has happened");

    // A token is its own way out, too.
    assert_eq!(told(&revoke(&stack, &one.token, one.id).await?), (200, ""));
    assert_eq!(told(&revoke(&stack, &one.token, one.id).await?), ENDED);
    let revoked = revoke_anywhere(&stack, &staff.token, tenant(1), other.id).await?;
    assert_eq!(told(&revoked), (200, ""), "{}", revoked.text);
    assert_eq!(revoked.json["id"], json!(other.id));
    tests::until(AGE_MAX, || async { Ok(!good(&other.token).await?) }).await?;
    let again = revoke_anywhere(&stack, &staff.token, tenant(1), other.id).await?;
    assert_eq!((again.status, &again.json["version"]), (StatusCode::OK, &revoked.json["version"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_lists_tokens_and_revokes_one_without_showing_any() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let operator = Operator::of(&stack)?;
    let (platform, of) = (TenantId::PLATFORM.to_string(), TenantId::PLATFORM);
    let nothing = operator.run(&["token", "list", "--tenant", &platform]).await?;
    assert_eq!((nothing.code, nothing.out.as_str()), (0, ""));
    assert!(nothing.talk.contains("no tokens"), "{nothing:?}");

    // Scripts read the token alone, and people how it is revoked.
    let minted = operator.run(&["token", "mint", "--tenant", &platform]).await?;
    assert_eq!((minted.code, minted.out.trim().split('.').count(), minted.out.lines().count()), (0, 3, 1));
    let lost = operator.mint(of).await?;
    let live = operator.listed(of, &[]).await?;
    let [(member, _), (owner, _)] = &live[..] else { anyhow::bail!("{live:?}") };
    let member = member.as_str().context("an id")?;
    assert!(minted.talk.contains(&format!("quipu token revoke --tenant {platform} {member}")), "{minted:?}");
    assert_eq!((owner, live.iter().all(|(_, it)| it == "live")), (&json!(lost.id), true));
    assert!(operator.listed(tenant(1), &["--all"]).await?.is_empty(), "those of others are not listed");

    all_open(&stack, &doors, &lost.token).await?;
    let id = lost.id.to_string();
    let revoked = operator.run(&["token", "revoke", "--tenant", &platform, &id]).await?;
    assert_eq!((revoked.code, revoked.out.as_str()), (0, ""), "{revoked:?}");
    all_tell(&stack, &doors, &lost.token, ENDED).await?;
    let reads = doors.iter().filter(|it| !it.is_of_commands);
    all_open(&stack, reads, minted.out.trim()).await?;
    assert_eq!(operator.listed(of, &[]).await?, [(json!(member), json!("live"))]);
    let all = [(json!(member), json!("live")), (json!(lost.id), json!("revoked"))];
    assert_eq!(operator.listed(of, &["--all"]).await?, all);

    let again = operator.run(&["token", "revoke", "--json", "--tenant", &platform, &id]).await?;
    let said: Value = serde_json::from_str(&again.out)?;
    assert_eq!((again.code, said), (0, json!({ "token_id": lost.id, "tenant_id": of })));
    // The right one in the wrong place, and one that nobody issued.
    let (elsewhere, nobodys) = (tenant(1).to_string(), Uuid::now_v7().to_string());
    for (tenant, id) in [(&elsewhere, member), (&platform, &nobodys)] {
        let refused = operator.run(&["token", "revoke", "--tenant", tenant, id]).await?;
        assert_eq!(refused.code, 1);
        assert!(refused.talk.contains("identity.token-not-found"), "{refused:?}");
    }
    Ok(())
}
