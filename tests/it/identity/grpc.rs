//! gRPC beside HTTP, on one port: the same rules, limits and refusals, said as gRPC says them.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, HeaderValue, Request, Response, Version};
use chrono::Utc;
use domain::identity::{DeactivateUser, EndSession, VerifyEmail};
use domain::ids::{ActorId, TenantId, UserId};
use domain::organisation::{Registration, RoleRef, TenantStatus};
use domain::words::Word;
use event_store::MasterKey;
use event_store::vault::{Letter, Mail};
use futures_util::future::{join, join_all, try_join_all};
use projector::{Projector, ProjectorOptions, ReactorOptions};
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::{
    ForgotPasswordRequest, ForgotPasswordResponse, LoginRequest, ResetPasswordRequest, SignUpRequest,
    SignUpResponse, ValidateTokenRequest, ValidateTokenResponse,
};
use rpc::server::auth_service_server::SERVICE_NAME as AUTH;
use serde_json::{Value, json};
use service_kit::config::{HttpConfig, KeyConfig};
use service_kit::token::{Role, TOKEN_BYTES_MAX};
use sqlx::{Connection as _, Executor as _};
use tests::database::tenant;
use tests::forge::Forger;
use tests::members::Members;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Stack, http_config, quick};
use tests::{tools, until};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const VALIDATE: &str = "/quipu.auth.v1.AuthService/ValidateToken";
const OF_TOKENS: [&str; 2] = ["auth.token-invalid", "auth.token-expired"];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn channel(url: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(url.to_owned())?.connect().await?)
}

/// What the server says of a token.
async fn validated(channel: &Channel, token: &str) -> anyhow::Result<ValidateTokenResponse> {
    let request = ValidateTokenRequest { access_token: token.to_owned() };
    Ok(AuthServiceClient::new(channel.clone()).validate_token(request).await?.into_inner())
}

/// The code of a refusal, as HTTP would give it.
fn code(status: &Status) -> String {
    status.get_details_error_info().and_then(|it| it.metadata.get("code").cloned()).unwrap_or_default()
}

fn nobody() -> LoginRequest {
    LoginRequest {
        tenant_slug: "nobody-has-this".to_owned(),
        email: "nobody@example.com".to_owned(),
        password: "correct horse battery staple".to_owned(),
        device: String::new(),
    }
}

/// Sends a request as it stands: no client of the protocol would send some of these.
async fn send(
    channel: &Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<Response<Body>> {
    let mut request = Request::post(path).version(Version::HTTP_2).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
    let body = Body::new(axum::body::Body::from(body));
    Ok(channel.clone().oneshot(request.body(body)?).await?)
}

/// The status of a call that was refused before there was a message: it stands in the only head that there is.
fn refusal(headers: &HeaderMap) -> anyhow::Result<Status> {
    assert_eq!(headers["content-type"], "application/grpc");
    Status::from_header_map(headers).context("a status among the headers")
}

/// A message as it travels: whether it is compressed, its length, itself.
fn framed(message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len())?.to_be_bytes());
    bytes.extend(message);
    Ok(bytes)
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_as_long_as_session_person_and_organisation_stand() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let members = Members::of(&stack, tenant(1))?;
    let (first, second, third) = (
        members.join(&[RoleRef::USER]).await?,
        members.join(&[RoleRef::OWNER]).await?,
        members.join(&[RoleRef::USER]).await?,
    );

    let told = validated(&channel, &second.token).await?;
    let bearer = told.bearer.context("a bearer")?;
    assert!(told.valid && told.reason.is_empty());
    assert_eq!(bearer.tenant_id, tenant(1).to_string());
    assert_eq!((bearer.subject, bearer.session_id), (second.user.to_string(), second.session.to_string()));
    assert!(bearer.permissions.iter().any(|it| it == "ledger.post-transfer"));
    assert!(
        !bearer.permissions.iter().any(|it| it.starts_with("platform.")),
        "of no use outside of the platform"
    );
    assert!(bearer.permissions.is_sorted() && bearer.proven_at.is_some());
    let left = bearer.expires_at.context("an end")?.seconds - Utc::now().timestamp();
    assert!((3_000..=3_610).contains(&left), "{left}");
    let user = validated(&channel, &first.token).await?.bearer.context("a bearer")?;
    assert!(!user.permissions.iter().any(|it| it == "organisation.assign-roles"), "{:?}", user.permissions);

    let because = || Word::of("a-test");
    let by = ActorId::new(Uuid::from_u128(0xad));
    members.done(EndSession { session_id: first.session, of: None, because: because(), by }).await?;
    members.done(DeactivateUser { user_id: third.user, because: because() }).await?;
    for lost in [&first, &third] {
        until(PATIENCE, || async {
            Ok(validated(&channel, &lost.token).await?.reason == "auth.session-ended")
        })
        .await?;
        assert_eq!(validated(&channel, &lost.token).await?.bearer, None);
    }
    assert!(validated(&channel, &second.token).await?.valid, "others are not touched");
    for status in [TenantStatus::Suspended, TenantStatus::Active, TenantStatus::Closed] {
        members.stand(status).await?;
        let stands = status == TenantStatus::Active;
        until(PATIENCE, || async { Ok(validated(&channel, &second.token).await?.valid == stands) }).await?;
        let expected = if stands { "" } else { "organisation.not-active" };
        assert_eq!(validated(&channel, &second.token).await?.reason, expected);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_of_ours_is_told_to_be_none_and_is_no_error() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let good = stack.owner(tenant(1))?;
    let mut past = stack.claims(tenant(1), Role::Owner);
    (past.iat, past.exp) = (past.iat - 7_200, past.exp - 7_200);
    let (head, rest) = good.split_once('.').context("a head")?;
    let stranger = Stack::commands_only().await?.owner(tenant(1))?;
    for (token, reason) in [
        (stack.signer.mint(&past)?, "auth.token-expired"),
        (stranger, "auth.token-invalid"),
        (format!("{head}.{}", rest.replace('A', "B")), "auth.token-invalid"),
        (format!("eyJhbGciOiJub25lIn0.{rest}"), "auth.token-invalid"),
        (format!("Bearer {good}"), "auth.token-invalid"),
        (format!("{good} {good}"), "auth.token-invalid"),
        (format!("{good}\n"), "auth.token-invalid"),
        ("\u{0}".to_owned(), "auth.token-invalid"),
        ("x".repeat(9_000), "auth.token-invalid"),
        (String::new(), "auth.token-missing"),
    ] {
        let told = validated(&channel, &token).await?;
        assert_eq!((told.valid, told.reason.as_str(), told.bearer), (false, reason, None), "{token:.40}");
    }
    assert!(validated(&channel, &good).await?.valid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_forged_tokens_count_for_nothing_and_open_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let forger = Forger::new(&stack, &stack.claims(tenant(1), Role::Owner))?;
    assert!(validated(&channel, &forger.true_one()).await?.valid, "or the others prove nothing");
    let forged = forger.all()?;
    assert!(forged.len() >= 200, "{}", forged.len());
    let mut believed = Vec::new();
    for (what, token) in &forged {
        if token.len() > TOKEN_BYTES_MAX {
            let request = ValidateTokenRequest { access_token: token.clone() };
            let refused = AuthServiceClient::new(channel.clone()).validate_token(request).await;
            let is_refused = match refused {
                Ok(told) => !told.into_inner().valid,
                Err(status) => code(&status) == "request.body-too-large",
            };
            assert!(is_refused, "{what}");
            continue;
        }
        let told = validated(&channel, token).await?;
        if told.valid || told.bearer.is_some() || !OF_TOKENS.contains(&told.reason.as_str()) {
            believed.push(format!("as a message: {what}: {}", told.reason));
        }
        let authorization = format!("Bearer {token}");
        // What cannot stand in a header cannot be sent.
        if HeaderValue::try_from(&authorization).is_err() {
            continue;
        }
        let response = send(&channel, REFLECTION, &[("authorization", &authorization)], framed(&[])?).await?;
        let status = Status::from_header_map(response.headers());
        if !status
            .is_some_and(|it| it.code() == Code::Unauthenticated && OF_TOKENS.contains(&code(&it).as_str()))
        {
            believed.push(format!("as a caller: {what}"));
        }
    }
    assert_eq!(believed, Vec::<String>::new(), "{} forgeries", forged.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_and_signs_in_here_is_known_everywhere() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut auth = AuthServiceClient::new(channel(&stack.command_url).await?);
    let ann = SignUpRequest {
        tenant_slug: acme.slug.clone(),
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        given_name: "Ann".to_owned(),
        family_name: String::new(),
        language: "de-AT".to_owned(),
    };
    let registered = auth.sign_up(ann.clone()).await?.into_inner();
    assert!(registered.position.starts_with("1-"), "{registered:?}");
    let taken = auth.sign_up(SignUpRequest { email: "ANN@example.com".to_owned(), ..ann.clone() }).await;
    let taken = taken.err().context("a refusal")?;
    assert_eq!((taken.code(), code(&taken).as_str()), (Code::AlreadyExists, "identity.email-taken"));
    let twice = json!({ "tenant_slug": acme.slug, "email": ann.email, "password": PASSWORD });
    assert_eq!(
        acme.post("", "/v1/auth/register", &twice).await?.code(),
        "identity.email-taken",
        "over HTTP too"
    );

    let login = LoginRequest {
        tenant_slug: acme.slug.clone(),
        email: ann.email.clone(),
        password: PASSWORD.to_owned(),
        device: String::new(),
    };
    let early = auth.login(login.clone()).await.err().context("a refusal")?;
    assert_eq!(
        (early.code(), code(&early).as_str()),
        (Code::FailedPrecondition, "identity.email-unverified")
    );
    let user_id = UserId::new(registered.user_id.parse()?);
    acme.done(VerifyEmail { user_id, email_version: 1, via: Word::of("link") }).await?;
    let tokens = auth.login(login.clone()).await?.into_inner();
    let told = auth
        .validate_token(ValidateTokenRequest { access_token: tokens.access_token.clone() })
        .await?
        .into_inner();
    let bearer = told.bearer.context("a bearer")?;
    assert_eq!((bearer.subject, bearer.tenant_id), (user_id.to_string(), acme.tenant.to_string()));
    assert!(acme.is_taken(&tokens.access_token).await?, "over HTTP it counts as well");
    assert_eq!(acme.refresh(&tokens.refresh_token).await?.status, 200);
    assert!(tokens.position.starts_with("1-") && !tokens.device.is_empty() && tokens.expires_at.is_some());
    assert!(
        !format!("{tokens:?}{login:?}{ann:?}").contains(PASSWORD),
        "nor is a message shown with its secrets"
    );

    // What is known of the device that signed in here is known of it there.
    let cookie = LoginRequest { device: tokens.device, ..login };
    assert!(auth.login(cookie).await.is_ok());
    acme.ask(|it| it.registration = Registration::Private).await?;
    let asked = auth
        .sign_up(SignUpRequest { email: "bob@example.com".to_owned(), ..ann.clone() })
        .await?
        .into_inner();
    let known = auth.sign_up(ann).await?.into_inner();
    assert_eq!((&asked, &asked), (&known, &SignUpResponse::default()), "nothing tells who is there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_forgot_the_password_chooses_another_by_the_letter_and_is_out_everywhere() -> Test {
    const NEXT: &str = "violet-anchor-marble-tundra";
    let stack = Stack::commands_only().await?;
    let master = Arc::new(MasterKey::new(&KeyConfig::at(stack.keys.path()).master_key()?)?);
    let shutdown = CancellationToken::new();
    let _stops = shutdown.clone().drop_guard();
    let reactor = ReactorOptions::new(stack.database.options("quipu_reactor")?, Arc::clone(&master));
    let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown);
    let _projector =
        Projector::start(ProjectorOptions { reactor: Some(reactor), timing: quick(), ..options });
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let before = acme.sign_in(&ann).await?;
    let mut auth = AuthServiceClient::new(channel(&stack.command_url).await?);

    for (slug, email) in
        [(&*acme.slug, &*ann.email), (&*acme.slug, "nobody@example.com"), ("nowhere", &*ann.email)]
    {
        let request = ForgotPasswordRequest { tenant_slug: slug.to_owned(), email: email.to_owned() };
        assert_eq!(
            auth.forgot_password(request).await?.into_inner(),
            ForgotPasswordResponse {},
            "{slug} {email}"
        );
    }
    until(PATIENCE, async || Ok(reset_token(&stack, &master).await?.is_some())).await?;
    let token = reset_token(&stack, &master).await?.context("a letter")?;
    let reset = |new_password: &str| ResetPasswordRequest {
        token: token.clone(),
        new_password: new_password.to_owned(),
    };
    let weak = auth.reset_password(reset("ann")).await.err().context("a refusal")?;
    assert_eq!((weak.code(), code(&weak).as_str()), (Code::InvalidArgument, "identity.password-weak"));
    auth.reset_password(reset(NEXT)).await?;
    let again = auth.reset_password(reset(NEXT)).await.err().context("a refusal")?;
    assert_eq!((again.code(), code(&again).as_str()), (Code::NotFound, "identity.link-invalid"), "once");
    until(PATIENCE, async || {
        let request = ValidateTokenRequest { access_token: before.access.clone() };
        Ok(auth.clone().validate_token(request).await?.into_inner().reason == "auth.session-ended")
    })
    .await?;
    let login = |password: &str| LoginRequest {
        tenant_slug: acme.slug.clone(),
        email: ann.email.clone(),
        password: password.to_owned(),
        device: String::new(),
    };
    let old = auth.login(login(PASSWORD)).await.err().context("a refusal")?;
    assert_eq!(code(&old), "identity.invalid-credentials");
    assert!(auth.login(login(NEXT)).await.is_ok());
    Ok(())
}

/// What the link to another password brings, if such a letter waits to be sent.
async fn reset_token(stack: &Stack, master: &MasterKey) -> anyhow::Result<Option<String>> {
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<(Uuid, Uuid, Vec<u8>)> =
        sqlx::query_as("select tenant_id, mail_id, sealed from vault.outbox").fetch_all(&mut conn).await?;
    for (tenant, mail, sealed) in rows {
        if let Mail::Reset { token, .. } = Letter::open(TenantId::new(tenant), mail, &sealed, master)?.mail {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told_with_its_place() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut auth = AuthServiceClient::new(channel(&stack.command_url).await?);
    let good = SignUpRequest {
        tenant_slug: acme.slug.clone(),
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        ..SignUpRequest::default()
    };
    let nul = "a\0b".to_owned();
    for (bad, status, expected, field) in [
        (
            SignUpRequest { email: "ann".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "identity.email-malformed",
            "email",
        ),
        (
            SignUpRequest { password: "ann".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "identity.password-weak",
            "password",
        ),
        (
            SignUpRequest { given_name: " ".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "text.empty",
            "given_name",
        ),
        (
            SignUpRequest { family_name: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "text.not-allowed",
            "family_name",
        ),
        (
            SignUpRequest { language: "klingon!".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "text.language-malformed",
            "language",
        ),
        (
            SignUpRequest { tenant_slug: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "request.nul-character",
            "tenant_slug",
        ),
        (
            SignUpRequest { password: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "request.nul-character",
            "password",
        ),
        (
            SignUpRequest { tenant_slug: "nowhere".to_owned(), ..good.clone() },
            Code::NotFound,
            "organisation.not-found",
            "",
        ),
        (
            SignUpRequest { tenant_slug: "platform".to_owned(), ..good.clone() },
            Code::FailedPrecondition,
            "identity.registration-closed",
            "",
        ),
    ] {
        let refused = auth.sign_up(bad).await.err().context(expected)?;
        assert_eq!((refused.code(), code(&refused).as_str()), (status, expected));
        let places = refused.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
        assert!(
            places.iter().all(|it| it.field == field) && places.is_empty() == field.is_empty(),
            "{expected}: {places:?}"
        );
    }
    let weak = auth
        .sign_up(SignUpRequest { password: "ann".to_owned(), ..good })
        .await
        .err()
        .context("a refusal")?;
    let reasons = weak.get_details_bad_request().context("places")?.field_violations;
    assert!(reasons.len() > 1 && reasons.iter().any(|it| it.reason == "PASSWORD_TOO_SHORT"), "{reasons:?}");
    let device = LoginRequest { device: nul, ..nobody() };
    assert_eq!(code(&auth.login(device).await.err().context("a refusal")?), "request.nul-character");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_here_and_guesses_over_http_are_counted_together() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let channel = channel(&stack.command_url).await?;
    let guess = |password: &str| LoginRequest {
        tenant_slug: acme.slug.clone(),
        email: ann.email.clone(),
        password: password.to_owned(),
        device: String::new(),
    };
    let wrong = "not-the-password-of-anybody";
    let here = (0..20).map(|_| {
        let (mut auth, guess) = (AuthServiceClient::new(channel.clone()), guess(wrong));
        async move { auth.login(guess).await.err().map(|it| code(&it)).unwrap_or_default() }
    });
    let there = (0..20)
        .map(|_| async { Ok::<_, anyhow::Error>(acme.log_in(&ann.email, wrong).await?.code().to_owned()) });
    let (here, there) = join(join_all(here), try_join_all(there)).await;
    let told: Vec<String> = here.into_iter().chain(there?).collect();
    let looked_at = told.iter().filter(|it| *it == "identity.invalid-credentials").count();
    let locked = told.iter().filter(|it| *it == "identity.locked").count();
    assert_eq!((looked_at, locked), (5, 35), "{told:?}");
    let right = AuthServiceClient::new(channel).login(guess(PASSWORD)).await.err().context("a refusal")?;
    assert_eq!((right.code(), code(&right).as_str()), (Code::ResourceExhausted, "identity.locked"));
    assert!(right.get_details_retry_info().and_then(|it| it.retry_delay).is_some_and(|it| it.as_secs() > 60));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_an_error_and_never_an_answer() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let token = stack.owner(tenant(1))?;
    assert!(validated(&channel, &token).await?.valid);
    // The process cannot follow the log any more, so soon it does not know who may act.
    let mut blocker = stack.database.superuser().await?;
    let mut tx = blocker.begin().await?;
    tx.execute("lock table run.heartbeat in access exclusive mode").await?;
    let ask = async || {
        let request = ValidateTokenRequest { access_token: token.clone() };
        AuthServiceClient::new(channel.clone()).validate_token(request).await
    };
    until(PATIENCE, async || Ok(ask().await.is_err())).await?;
    let refused = ask().await.err().context("a refusal")?;
    assert_eq!((refused.code(), code(&refused).as_str()), (Code::Unavailable, "auth.standing-unknown"));
    assert!(refused.get_details_retry_info().is_some());
    tx.rollback().await?;
    until(PATIENCE, async || Ok(ask().await.is_ok_and(|it| it.into_inner().valid))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_open_to_everybody_wants_a_token_before_it_sees_a_message() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let good = format!("Bearer {}", stack.member(tenant(1))?);
    let forged = format!("Bearer {}", Stack::commands_only().await?.member(tenant(1))?);
    // A message that would be refused as malformed, if it came to that.
    let message = || framed(&[0xff, 0xff]);
    for (authorization, expected) in [
        (None, "auth.token-missing"),
        (Some(&*forged), "auth.token-invalid"),
        (Some("Basic eDp5"), "auth.token-missing"),
    ] {
        let headers: Vec<_> = authorization.map(|it| ("authorization", it)).into_iter().collect();
        let response = send(&channel, REFLECTION, &headers, message()?).await?;
        let status = refusal(response.headers())?;
        assert_eq!((status.code(), code(&status).as_str()), (Code::Unauthenticated, expected));
    }
    let response = send(&channel, REFLECTION, &[("authorization", &good)], message()?).await?;
    assert!(Status::from_header_map(response.headers()).is_none(), "a stream has begun");
    // Neither a token nor its absence makes a method that there is not.
    for headers in [vec![], vec![("authorization", good.as_str())]] {
        for path in ["/quipu.auth.v1.AuthService/DropEverything", "/nowhere.Service/Method"] {
            let status = refusal(send(&channel, path, &headers, message()?).await?.headers())?;
            assert_eq!(status.code(), Code::Unimplemented, "{path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_layers_are_statuses_with_the_time_to_wait() -> Test {
    let stack = Stack::commands_only().await?;
    let proxies = vec!["127.0.0.1/32".parse()?];
    let limited = HttpConfig { rate_per_address: 1, trusted_proxies: proxies, ..http_config() };
    let limited = channel(&stack.command_api_with(limited).await?.0).await?;
    let headers = [
        ("x-forwarded-for", "192.0.2.1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let mut refused = None;
    for _ in 0..50 {
        let response = send(&limited, VALIDATE, &headers, framed(&[])?).await?;
        if response.headers().contains_key("grpc-status") {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.context("more than one call a second, and none was refused")?;
    assert_eq!(refused.status(), 200, "gRPC says no within an answer");
    assert_eq!(
        (&refused.headers()["x-request-id"], refused.headers().get("retry-after")),
        (&TRACE.parse()?, None)
    );
    let status = refusal(refused.headers())?;
    assert_eq!((status.code(), code(&status).as_str()), (Code::ResourceExhausted, "rate.limited"));
    assert!(status.get_details_retry_info().and_then(|it| it.retry_delay).is_some_and(|it| !it.is_zero()));
    assert_eq!(status.get_details_request_info().context("a request")?.request_id, TRACE);

    let full = HttpConfig { max_in_flight: 0, ..http_config() };
    let full = channel(&stack.command_api_with(full).await?.0).await?;
    let status = AuthServiceClient::new(full.clone()).login(nobody()).await.err().context("a refusal")?;
    assert_eq!((status.code(), code(&status).as_str()), (Code::Unavailable, "overload.too-many-requests"));
    assert!(status.get_details_retry_info().is_some());
    let health = HealthClient::new(full).check(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(health.status(), ServingStatus::Serving, "load balancers are answered however busy it is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_more_patient_than_the_server() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut message = vec![];
    for (field, text) in [(0x0a, nobody().tenant_slug), (0x12, nobody().email), (0x1a, nobody().password)] {
        message.extend([field, u8::try_from(text.len())?]);
        message.extend(text.bytes());
    }
    let login = "/quipu.auth.v1.AuthService/Login";
    // A shorter time than the call takes is tried beside the layer that keeps it: clients do not wait for the answer.
    for patient in ["20S", "99999999H", "a while"] {
        let status =
            refusal(send(&channel, login, &[("grpc-timeout", patient)], framed(&message)?).await?.headers())?;
        assert_eq!(code(&status), "identity.invalid-credentials", "{patient}");
    }
    // Nobody's patience is greater than the server's: a message that never comes is not waited for beyond that.
    let hasty = HttpConfig { request_timeout: Duration::from_millis(200), ..http_config() };
    let hasty = self::channel(&stack.command_api_with(hasty).await?.0).await?;
    let never =
        Body::new(axum::body::Body::from_stream(futures_util::stream::pending::<anyhow::Result<Vec<u8>>>()));
    let request =
        Request::post(login).header("content-type", "application/grpc").header("grpc-timeout", "1H");
    let response = tokio::time::timeout(PATIENCE, hasty.oneshot(request.body(never)?)).await??;
    assert_eq!(refusal(response.headers())?.code(), Code::DeadlineExceeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_no_call_is_refused_by_name() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut truncated = framed(&[0x0a, 1, b'x'])?;
    truncated.pop();
    for (what, body, expected) in [
        ("no protobuf", framed(&[0xff, 0xff])?, (Code::InvalidArgument, "request.malformed-message")),
        (
            "text that is no UTF-8",
            framed(&[0x0a, 1, 0xff])?,
            (Code::InvalidArgument, "request.malformed-message"),
        ),
        ("nothing", vec![], (Code::InvalidArgument, "request.malformed-message")),
        ("a part", truncated, (Code::InvalidArgument, "request.malformed-message")),
        (
            "a flag that there is not",
            vec![7, 0, 0, 0, 0],
            (Code::InvalidArgument, "request.malformed-message"),
        ),
        ("too much", framed(&vec![0; 10_000])?, (Code::ResourceExhausted, "request.body-too-large")),
        (
            "far too much",
            [&[0, 255, 255, 255, 255][..], &[0; 9]].concat(),
            (Code::ResourceExhausted, "request.body-too-large"),
        ),
    ] {
        let status = refusal(send(&channel, VALIDATE, &[], body).await?.headers())?;
        assert_eq!((status.code(), code(&status).as_str()), expected, "{what}");
    }
    let squeezed = send(&channel, VALIDATE, &[("grpc-encoding", "gzip")], framed(&[])?).await?;
    assert_eq!(refusal(squeezed.headers())?.code(), Code::Unimplemented);

    // What is not gRPC is answered as HTTP answers.
    for kind in ["application/json", "application/grpc-web+proto", "application/grpc+json"] {
        let response = send(&channel, VALIDATE, &[("content-type", kind)], framed(&[])?).await?;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (415, &"application/problem+json".parse()?)
        );
    }
    let over_http_1 =
        reqwest::Client::builder().http1_only().build()?.post(format!("{}{VALIDATE}", stack.command_url));
    let response = over_http_1.header("content-type", "application/grpc").body(framed(&[])?).send().await?;
    assert_eq!(response.status().as_u16(), 415);
    let body: Value = serde_json::from_str(&response.text().await?)?;
    assert_eq!(body["code"], "request.not-grpc");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_readyz_says_and_whoever_watches_learns_of_the_end() -> Test {
    let stack = Stack::commands_only().await?;
    let shutdown = CancellationToken::new();
    let (url, served) = stack.command_api_until(shutdown.clone()).await?;
    let mut health = HealthClient::new(channel(&url).await?);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", AUTH, "grpc.health.v1.Health"] {
        assert_eq!(
            health.check(of(service)).await?.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let unknown = health.check(of("nowhere.Service")).await.err().context("a refusal")?;
    assert_eq!(unknown.code(), Code::NotFound);
    let mut nowhere = health.watch(of("nowhere.Service")).await?.into_inner();
    assert_eq!(said(nowhere.message().await?), Some(ServingStatus::ServiceUnknown));
    let mut watched = health.watch(of(AUTH)).await?.into_inner();
    assert_eq!(said(watched.message().await?), Some(ServingStatus::Serving));
    shutdown.cancel();
    assert_eq!(said(watched.message().await?), Some(ServingStatus::NotServing));
    assert_eq!(said(watched.message().await?), None, "the stream ends with the process");
    assert_eq!(said(nowhere.message().await?), None);
    // Nobody who watches keeps a process from its end.
    tokio::time::timeout(Duration::from_secs(8), served).await???;
    Ok(())
}

fn said(message: Option<HealthCheckResponse>) -> Option<ServingStatus> {
    message.map(|it| it.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_places_and_give_them_back() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut health = HealthClient::new(channel.clone());
    let mut watchers = Vec::new();
    let refused = loop {
        anyhow::ensure!(watchers.len() < 90, "there is no end to it");
        match health.watch(HealthCheckRequest::default()).await {
            Ok(stream) => watchers.push(stream),
            Err(refused) => break refused,
        }
    };
    assert_eq!(watchers.len(), 64);
    assert_eq!((refused.code(), code(&refused).as_str()), (Code::Unavailable, "overload.too-many-streams"));
    let token = format!("Bearer {}", stack.member(tenant(1))?);
    let reflection = send(&channel, REFLECTION, &[("authorization", &token)], vec![]).await?;
    assert_eq!(
        code(&refusal(reflection.headers())?),
        "overload.too-many-streams",
        "all streams share the places"
    );
    assert!(health.check(HealthCheckRequest::default()).await.is_ok(), "calls are not streams");
    drop(watchers);
    until(PATIENCE, || {
        let mut health = health.clone();
        async move { Ok(health.watch(HealthCheckRequest::default()).await.is_ok()) }
    })
    .await?;
    // A watcher that names an end is let go at it.
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("grpc-timeout", "300m".parse()?);
    let mut brief = health.watch(request).await?.into_inner();
    assert_eq!(said(brief.message().await?), Some(ServingStatus::Serving));
    let end = tokio::time::timeout(PATIENCE, brief.message()).await?;
    assert_eq!(end.err().map(|it| it.code()), Some(Code::Unavailable));
    Ok(())
}
