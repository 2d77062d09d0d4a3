//! That the time of an answer tells nobody who is there. Pairs of requests that differ only in whether somebody is there are
//! asked in turn, and their medians compared. The bound is loose, so that a busy machine does not break the test; the
//! figures themselves are printed.

use std::fmt::Arguments;
use std::io::Write as _;
use std::time::{Duration, Instant};

use domain::identity::DeactivateUser;
use domain::organisation::Registration;
use domain::words::Word;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Executor as _, PgConnection};
use tests::person::{Organisation, PASSWORD};
use tests::stack::Stack;

type Test = anyhow::Result<()>;

const ROUNDS: usize = 200;
const WRONG: &str = "not-the-password-of-anybody";
/// How far medians may lie apart: so long, or such a part of the longer one, whichever is more.
const APART: Duration = Duration::from_millis(5);
const APART_OF_ONE: f64 = 0.2;

/// Prints what was measured, for the record.
fn note(what: Arguments<'_>) -> Test {
    Ok(writeln!(std::io::stderr(), "{what}")?)
}

/// What is asked: a path and a body.
type Asked = (&'static str, Value);

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Asks both in turn, each as often as the other, and compares. `before` comes before each request and is not measured.
async fn compare(
    acme: &Organisation<'_>,
    what: &str,
    [one, other]: [&Asked; 2],
    expected: StatusCode,
    mut before: impl AsyncFnMut(usize) -> Test,
) -> Test {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        // Who comes first changes, so that what one leaves warm is of use to both.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            before(round).await?;
            let (path, body) = if which == 0 { one } else { other };
            let begun = Instant::now();
            let answer = acme.post("", path, body).await?;
            times[which].push(begun.elapsed());
            anyhow::ensure!(answer.status == expected, "{what}: {} {}", answer.status, answer.text);
        }
    }
    let [one, other] = times.each_mut().map(|it| median(it));
    note(format_args!("{what}: medians of {ROUNDS} each, {one:.2?} and {other:.2?}"))?;
    let bound = APART.max(one.max(other).mul_f64(APART_OF_ONE));
    anyhow::ensure!(one.abs_diff(other) <= bound, "{what}: {one:?} and {other:?}");
    Ok(())
}

fn login(slug: &str, email: &str) -> Asked {
    ("/v1/auth/login", json!({ "tenant_slug": slug, "email": email, "password": WRONG }))
}

fn by_mail(path: &'static str, email: &str) -> Asked {
    (path, json!({ "tenant_slug": "acme", "email": email }))
}

/// Forgets every guess, so that nobody is locked.
async fn unlock(conn: &mut PgConnection) -> Test {
    conn.execute("delete from vault.attempts").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn known_unknown_and_locked_take_the_same_time() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let gone = acme.join("gone").await?;
    acme.done(DeactivateUser { user_id: gone.user, because: Word::of("left") }).await?;
    let mut conn = stack.database.superuser().await?;
    let known = login("acme", &ann.email);
    for (what, other) in [
        ("sign-in: somebody and nobody", login("acme", "eve@example.com")),
        ("sign-in: somebody who may and somebody who was deactivated", login("acme", &gone.email)),
        ("sign-in: an organisation and none", login("nowhere", &ann.email)),
    ] {
        let unlocked = async |_| unlock(&mut conn).await;
        compare(&acme, what, [&known, &other], StatusCode::UNAUTHORIZED, unlocked).await?;
    }
    // Both are locked by guesses of before, and nothing is looked at.
    unlock(&mut conn).await?;
    let unknown = login("acme", "eve@example.com");
    for (path, body) in [&known, &unknown] {
        for _ in 0..5 {
            assert_eq!(acme.post("", path, body).await?.status, StatusCode::UNAUTHORIZED);
        }
    }
    let still = async |_| Ok(());
    let what = "sign-in: somebody and nobody, both locked";
    compare(&acme, what, [&known, &unknown], StatusCode::TOO_MANY_REQUESTS, still).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_by_mail_takes_the_same_time_for_known_and_unknown() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let bob = acme.register("bob").await?;
    let mut conn = stack.database.superuser().await?;
    // What waits would otherwise grow while it is measured, and its count with it.
    let mut answered = async |_| {
        conn.execute("delete from vault.requests").await?;
        Ok(())
    };
    for (path, known) in [("/v1/auth/password/forgot", &ann), ("/v1/auth/verify-email/resend", &bob)] {
        let asked = [by_mail(path, &known.email), by_mail(path, "eve@example.com")];
        compare(&acme, path, [&asked[0], &asked[1]], StatusCode::ACCEPTED, &mut answered).await?;
    }
    acme.ask(|it| it.registration = Registration::Private).await?;
    let register = |email: &str| -> Asked {
        let body = json!({ "tenant_slug": "acme", "email": email, "password": PASSWORD });
        ("/v1/auth/register", body)
    };
    let asked = [register(&ann.email), register("eve@example.com")];
    let what = "/v1/auth/register, private";
    compare(&acme, what, [&asked[0], &asked[1]], StatusCode::ACCEPTED, &mut answered).await
}
