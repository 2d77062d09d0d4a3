//! People who register, sign in and choose another password over gRPC.

use std::sync::Arc;

use anyhow::Context as _;
use domain::identity::VerifyEmail;
use domain::ids::{TenantId, UserId};
use domain::organisation::Registration;
use domain::words::Word;
use event_store::MasterKey;
use event_store::vault::{Letter, Mail};
use futures_util::future::{join, join_all, try_join_all};
use projector::{Projector, ProjectorOptions, ReactorOptions};
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::{
    ForgotPasswordRequest, ForgotPasswordResponse, LoginRequest, ResetPasswordRequest, SignUpRequest,
    SignUpResponse, ValidateTokenRequest,
};
use serde_json::json;
use service_kit::config::KeyConfig;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Stack, quick};
use tests::until;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{PATIENCE, Test, channel, code};

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
async fn whoever_has_a_second_factor_is_told_the_ticket_of_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let enrolled = acme.enrol(&acme.sign_in(&ann).await?.access).await?;
    let login = LoginRequest {
        tenant_slug: acme.slug.clone(),
        email: ann.email.clone(),
        password: PASSWORD.to_owned(),
        device: String::new(),
    };
    let mut auth = AuthServiceClient::new(channel(&stack.command_url).await?);
    let asked = auth.login(login).await.err().context("a refusal")?;
    assert_eq!(
        (asked.code(), code(&asked).as_str()),
        (Code::FailedPrecondition, "identity.second-factor-required")
    );
    let told = asked.get_details_error_info().context("details")?.metadata;
    assert_eq!((told["factors"].as_str(), told["expires_in"].as_str()), ("totp recovery-code", "300"));
    let second = acme.second(&told["ticket"], "code", &enrolled.authenticator.next_code()?).await?;
    tests::person::SignedIn::of(&second)?;
    Ok(())
}
