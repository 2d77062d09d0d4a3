//! Whether a token counts, asked over gRPC.

use anyhow::Context as _;
use axum::http::HeaderValue;
use chrono::Utc;
use domain::identity::{DeactivateUser, EndSession};
use domain::ids::ActorId;
use domain::organisation::{RoleRef, TenantStatus};
use domain::words::Word;
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::ValidateTokenRequest;
use service_kit::token::{Role, TOKEN_BYTES_MAX};
use tests::database::tenant;
use tests::forge::Forger;
use tests::members::Members;
use tests::stack::Stack;
use tests::until;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{OF_TOKENS, PATIENCE, REFLECTION, Test, channel, code, framed, send, validated};

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
        // Who was in when it was suspended signs in anew.
        let suspended = status == TenantStatus::Suspended;
        let expected = if suspended { "organisation.not-active" } else { "auth.session-ended" };
        until(PATIENCE, || async { Ok(validated(&channel, &second.token).await?.reason == expected) })
            .await?;
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
