//! What somebody has shown who links two users or takes the link away.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::identity::EndSessions;
use domain::ids::SessionId;
use domain::organisation::{RoleRef, SecondFactor};
use domain::sign_in::StartSession;
use domain::words::Word;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::members::Members;
use tests::passkey::Passkey;
use tests::person::{Organisation, PASSWORD, Person};
use tests::relying::shop;
use tests::stack::{PUBLIC_URL, Stack};
use uuid::Uuid;

use super::{Both, Test, halves, told};

/// A session as it is so many minutes after a sign-in that showed this.
async fn session(
    stack: &Stack,
    organisation: &Organisation<'_>,
    who: &Person,
    ago: i64,
    amr: &'static str,
) -> anyhow::Result<String> {
    let members = Members::of(stack, organisation.tenant)?;
    let session_id = SessionId::new(Uuid::now_v7());
    let start = members.start(who.user, session_id);
    let auth_time = Utc::now() - TimeDelta::minutes(ago);
    members.done(StartSession { auth_time, amr: vec![Word::of(amr)], ..start }).await?;
    members.token(who.user, session_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_have_shown_a_moment_ago_who_they_are() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    let code = both.code().await?;
    let stale = session(&stack, &both.globex, &both.anna, 11, "pwd").await?;
    assert_eq!(told(&both.show(&stale, &code).await?), (403, "auth.step-up-required"));
    let stale = session(&stack, &both.acme, &both.ann, 11, "pwd").await?;
    let asked = both.ask(&stale, "globex", &both.anna.email).await?;
    assert_eq!(told(&asked), (403, "auth.step-up-required"));
    let vouched = session(&stack, &both.globex, &both.anna, 0, "fed").await?;
    assert_eq!(told(&both.show(&vouched, &code).await?), (403, "identity.own-proof-required"));
    // An organisation that asks everybody for a second factor is not linked on a password.
    both.globex.ask(|it| it.second_factor = SecondFactor::Required).await?;
    assert_eq!(told(&both.show(&both.there.access, &code).await?), (403, "auth.second-factor-missing"));
    both.globex.ask(|_| ()).await?;
    // What was refused has used nothing up. But the code is worth nothing once its session has ended.
    let (user_id, because, by) = (both.ann.user, Word::of("asked"), both.ann.user.actor());
    both.acme.done(EndSessions { user_id, except: None, because, by }).await?;
    assert_eq!(told(&both.show(&both.there.access, &code).await?), (404, "identity.link-code-invalid"));
    assert_eq!((halves(&both).await?, both.rows().await?), (vec![0, 0], 0));
    Ok(())
}

/// What was set up in a session that came by a link would sign in when the link is gone.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_came_by_a_link_sets_no_way_in_up_there() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.globex.give(&both.anna, &[RoleRef::ADMIN]).await?;
    both.link().await?;
    let came = both.switched().await?;
    let key = json!({ "name": "Nightly", "permissions": ["ledger.read-accounts"] });
    let password = json!({ "current": PASSWORD, "new": "violet-anchor-marble-tundra" });
    let address = json!({ "new_email": "mallory@example.com", "password": PASSWORD });
    // What a service gets in with outlasts the link as well.
    let made = both.globex.post(&both.there.access, "/v1/services", &shop()).await?;
    let service = made.json["id"].as_str().with_context(|| made.text.clone())?;
    let of_service =
        json!({ "name": "Nightly", "service_id": service, "permissions": ["ledger.read-accounts"] });
    let (secrets, none) = (format!("/v1/services/{service}/secrets"), json!({}));
    let ways = [
        (secrets.as_str(), &none),
        ("/v1/api-keys", &of_service),
        ("/v1/auth/totp", &Value::Null),
        ("/v1/auth/passkeys/options", &Value::Null),
        ("/v1/api-keys", &key),
        ("/v1/auth/email/change", &address),
        ("/v1/auth/password/change", &password),
    ];
    for (path, body) in ways {
        let refused = both.globex.post(&came.access, path, body).await?;
        assert_eq!(told(&refused), (403, "identity.own-proof-required"), "{path}");
        let own = both.globex.post(&both.there.access, path, body).await?;
        assert!(own.status.is_success(), "{path} {}", own.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_here_makes_up_for_no_passkey_there() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.link().await?;
    let asked = both.globex.post(&both.there.access, "/v1/auth/passkeys/options", &Value::Null).await?;
    let made = Passkey::at(PUBLIC_URL)?.make(&asked.json)?;
    let added = both.globex.post(&both.there.access, "/v1/auth/passkeys", &made).await?;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    // Whoever knows her password here alone enrols a first factor with it.
    both.acme.enrol(&both.here.access).await?;
    let refused = both.go(&both.here.access, "globex").await?;
    assert_eq!(told(&refused), (403, "identity.second-factor-required"), "{}", refused.text);
    assert_eq!(refused.json["details"]["factors"], "passkey");
    let (can_switch, reason) = both.could_go().await?;
    assert_eq!((can_switch, reason), (json!(false), json!("identity.second-factor-required")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_side_changes_a_link_in_an_old_session_or_on_a_password_beside_a_passkey() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    let link = both.link().await?;
    let stale = session(&stack, &both.globex, &both.anna, 11, "pwd").await?;
    assert_eq!(told(&both.unlink(&stale, link).await?), (403, "auth.step-up-required"));
    // From now on whoever knows her password alone is not taken for her.
    let asked = both.globex.post(&both.there.access, "/v1/auth/passkeys/options", &Value::Null).await?;
    let made = Passkey::at(PUBLIC_URL)?.make(&asked.json)?;
    let added = both.globex.post(&both.there.access, "/v1/auth/passkeys", &made).await?;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    let password = session(&stack, &both.globex, &both.anna, 0, "pwd").await?;
    assert_eq!(told(&both.unlink(&password, link).await?), (403, "auth.second-factor-missing"));
    assert_eq!(halves(&both).await?, [1, 1]);
    let shown = session(&stack, &both.globex, &both.anna, 0, "mfa").await?;
    assert_eq!(both.unlink(&shown, link).await?.status, StatusCode::NO_CONTENT);
    let code = both.code().await?;
    assert_eq!(told(&both.show(&password, &code).await?), (403, "auth.second-factor-missing"));
    assert_eq!(both.show(&shown, &code).await?.status, StatusCode::OK);
    Ok(())
}
