//! Sign-ins over time, and what happened to the security of persons and of their organisation.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use domain::identity::{EndSession, EndSessions};
use domain::organisation::{RoleRef, TransferOwnership};
use domain::words::Word;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::database::tenant;
use tests::members::{Member, Members};
use tests::programs::{failed_sign_ins, locked_sign_in};
use tests::sse::Reader;
use tests::stack::{Answer, Stack};

type Test = anyhow::Result<()>;

async fn read(stack: &Stack, members: &Members<'_>, by: &Member, path: &str) -> anyhow::Result<Answer> {
    let answer = stack.get_at(&by.token, path, &members.position().await?).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
    Ok(answer)
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.json["items"].as_array().cloned().unwrap_or_default()
}

/// A list to its end, a row a page.
async fn one_by_one(
    stack: &Stack,
    members: &Members<'_>,
    by: &Member,
    path: &str,
) -> anyhow::Result<Vec<Value>> {
    let sign = if path.contains('?') { '&' } else { '?' };
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(stack, members, by, &format!("{path}{sign}limit=1{cursor}")).await?;
        rows.extend(items(&page));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(rows),
        }
    }
}

/// Ends a session, by the person's own hand.
async fn end(members: &Members<'_>, of: &Member) -> Test {
    let (session_id, because, by) = (of.session, Word::of("signed-out"), of.user.actor());
    members.done(EndSession { session_id, of: None, because, by }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_of_other_users_are_not_seen() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let ada = members.join(&[RoleRef::USER]).await?;
    let bob = members.join(&[RoleRef::USER]).await?;
    for who in [&ada, &bob] {
        end(&members, &members.session(who.user).await?).await?;
        members.done(failed_sign_ins(tenant(1), Some(who.user), 2, Utc::now())).await?;
        let (user_id, because, by) = (who.user, Word::of("asked"), who.user.actor());
        members.done(EndSessions { user_id, except: Some(who.session), because, by }).await?;
    }
    members.done(TransferOwnership { from: owner.user, to: ada.user }).await?;

    let own = one_by_one(&stack, &members, &bob, "/v1/auth/security-feed").await?;
    assert!(own.iter().all(|it| it["user_id"] == json!(bob.user)), "{own:?}");
    let kinds: Vec<&str> = own.iter().filter_map(|it| it["kind"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "identity.sessions-ended",
            "identity.sign-in-failed",
            "identity.session-ended",
            "identity.session-started",
            "identity.session-started",
            "organisation.member-added",
            "identity.user-registered",
        ],
        "the newest first, and each once"
    );
    // What concerns two is seen by both.
    for who in [&owner, &ada] {
        let newest = items(&read(&stack, &members, who, "/v1/auth/security-feed?limit=1").await?);
        let told = (&newest[0]["kind"], &newest[0]["user_id"], &newest[0]["other_user_id"]);
        let given = json!("organisation.ownership-transferred");
        assert_eq!(told, (&given, &json!(owner.user), &json!(ada.user)));
    }
    // One's own feed is nobody else's, whatever is asked for; and that of all is for those who may.
    let of_ada = format!("/v1/auth/security-feed?user_id={}", ada.user);
    let refused = stack.get(&bob.token, &of_ada).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    for path in ["/v1/security-feed", "/v1/security-feed/stream", "/v1/sign-ins", "/v1/sign-ins/by-day"] {
        let refused = stack.get(&bob.token, path).await?;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::FORBIDDEN, "auth.permission-missing"),
            "{path}"
        );
    }
    let all = one_by_one(&stack, &members, &ada, "/v1/security-feed").await?;
    let number =
        |it: &Value| it["position"].as_str().and_then(|it| it.strip_prefix("1-")?.parse::<i64>().ok());
    let positions: Vec<i64> = all.iter().filter_map(number).collect();
    assert_eq!(positions.len(), all.len(), "written as everywhere: {all:?}");
    assert!(positions.is_sorted_by(|one, other| one > other), "{positions:?}");
    let filtered =
        one_by_one(&stack, &members, &ada, &format!("/v1/security-feed?user_id={}", ada.user)).await?;
    let concerns = |it: &&Value| it["user_id"] == json!(ada.user) || it["other_user_id"] == json!(ada.user);
    assert_eq!(filtered, all.iter().filter(concerns).cloned().collect::<Vec<_>>());
    let kind = "identity.sign-in-failed";
    let failed = items(&read(&stack, &members, &ada, &format!("/v1/security-feed?kind={kind}")).await?);
    assert_eq!(failed.len(), 2);
    let nonsense = stack.get(&ada.token, "/v1/security-feed?kind=whatever").await?;
    assert_eq!((nonsense.status, nonsense.code()), (StatusCode::BAD_REQUEST, "request.invalid-parameter"));
    let unknown = stack.get(&ada.token, "/v1/security-feed?kind=platform.whatever").await?;
    let told = unknown.json["detail"].as_str().unwrap_or_default();
    assert!(told.contains("platform.impersonation-started"), "the words that there are: {told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_told_by_outcome_and_counted_by_day() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let ada = members.join(&[RoleRef::USER]).await?;
    let (now, yesterday) = (Utc::now(), Utc::now() - TimeDelta::days(1));
    members.session(ada.user).await?;
    members.done(failed_sign_ins(tenant(1), Some(ada.user), 4, now)).await?;
    members.done(failed_sign_ins(tenant(1), None, 3, now)).await?;
    members.done(failed_sign_ins(tenant(1), Some(ada.user), 2, yesterday)).await?;
    members.done(locked_sign_in(Some(ada.user), now)).await?;

    let told = async |query: &str| {
        let rows = one_by_one(&stack, &members, &admin, &format!("/v1/sign-ins{query}")).await?;
        anyhow::Ok(rows.iter().map(|it| (it["outcome"].clone(), it["count"].clone())).collect::<Vec<_>>())
    };
    let (locked, failed, succeeded) = (json!("locked"), json!("failed"), json!("succeeded"));
    let of_ada = [
        (locked.clone(), json!(5)),
        (failed.clone(), json!(2)),
        (failed.clone(), json!(4)),
        (succeeded.clone(), json!(1)),
        (succeeded.clone(), json!(1)),
    ];
    assert_eq!(told(&format!("?user_id={}", ada.user)).await?, of_ada);
    assert_eq!(told("?outcome=succeeded").await?.len(), 3);
    assert_eq!(told("?outcome=failed&method=password").await?.len(), 3);
    assert_eq!(told("?method=totp").await?.len(), 0);
    let since = (now - TimeDelta::hours(12)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(told(&format!("?outcome=failed&from={since}")).await?.len(), 2);
    assert_eq!(told(&format!("?to={since}")).await?, [(failed.clone(), json!(2))]);

    let newest = items(&read(&stack, &members, &admin, "/v1/sign-ins?outcome=failed&limit=1").await?);
    assert_eq!(newest[0]["identifier"], json!("a keyed hash"), "who may read it sees it opened");
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<String> =
        sqlx::query_scalar("select row_to_json(s)::text from read.sign_ins s").fetch_all(&mut conn).await?;
    assert!(rows.iter().all(|it| !it.contains("a keyed hash")), "and nobody else");

    let days = one_by_one(&stack, &members, &admin, "/v1/sign-ins/by-day").await?;
    let counted: Vec<_> =
        days.iter().map(|it| (it["day"].clone(), it["outcome"].clone(), it["count"].clone())).collect();
    let (today, before) = (json!(now.date_naive()), json!(yesterday.date_naive()));
    let expected = BTreeSet::from([
        (today.to_string(), succeeded.to_string(), 3),
        (today.to_string(), locked.to_string(), 1),
        (today.to_string(), failed.to_string(), 7),
        (before.to_string(), failed.to_string(), 2),
    ]);
    let found = counted.iter().map(|(day, outcome, count)| {
        (day.to_string(), outcome.to_string(), count.as_i64().unwrap_or_default())
    });
    assert_eq!((counted.len(), found.collect::<BTreeSet<_>>()), (4, expected));
    let path = format!("/v1/sign-ins/by-day?to={}", now.date_naive());
    assert_eq!(items(&read(&stack, &members, &admin, &path).await?).len(), 1, "`to` is not among them");
    for query in ["from=2020-01-01&to=2026-01-01", "from=yesterday", "to=99999-01-01", "method=password"] {
        let refused = stack.get(&admin.token, &format!("/v1/sign-ins/by-day?{query}")).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}: {}", refused.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_security_feed_is_followed_without_a_gap_or_a_repetition() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let ada = members.join(&[RoleRef::USER]).await?;
    let bob = members.join(&[RoleRef::USER]).await?;
    let path = format!("/v1/security-feed/stream?user_id={}", ada.user);
    let begin = members.position().await?;
    let follow =
        async |id: &str| Reader::open(stack.query(&admin.token, &path).header("Last-Event-ID", id)).await;
    let mut reader = follow(&begin).await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        for who in [&bob, &ada] {
            end(&members, &members.session(who.user).await?).await?;
        }
        // Comes back after each, in the middle of what happened.
        let event = reader.take(1).await?.remove(0);
        reader = follow(&event.id).await?;
        seen.push(event);
        seen.extend(reader.take(1).await?);
    }
    let kinds: Vec<&str> = seen.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(kinds, ["identity.session-started", "identity.session-ended"].repeat(3));
    let own = items(&read(&stack, &members, &ada, "/v1/auth/security-feed?limit=6").await?);
    let followed: Vec<Value> = seen.iter().rev().map(tests::sse::Event::json).collect();
    assert_eq!(followed, own, "what is followed is what is listed");
    Ok(())
}
