use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use chrono::{DateTime, TimeDelta};
use domain::ids::ActorId;
use tower::ServiceExt as _;
use utoipa::OpenApi as _;
use uuid::Uuid;

use super::*;
use crate::access::{Allowed, permissions, tests, verified_by};
use crate::token::Role;
use crate::token::tests::keys;

fn caller(tenant: u128, actor: u128) -> Caller {
    tests::caller(TenantId::new(Uuid::from_u128(tenant)), ActorId::new(Uuid::from_u128(actor)))
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn attempt(caller: &Caller, resource: &str) -> Attempt {
    let what = What::Refused { kind: Kind::Command, code: Cow::Borrowed("it.failed"), status: 422 };
    Attempt::new(caller, "it.do-it", resource, what)
}

/// Notes an attempt as the recorder does, with a writer that never fails; whether it was written at once.
fn noted(
    tally: &mut Tally<Attempt, Caller, Arc<AtomicBool>>,
    by: &Caller,
    resource: &str,
    now: DateTime<Utc>,
) -> bool {
    let Some((attempt, first)) = tally.place(attempt(by, resource), attempt(by, "any"), now) else {
        tally.count_rest(by.tenant, 1, now);
        return false;
    };
    let is_first = !first.swap(true, Ordering::Relaxed);
    if !is_first {
        tally.count(attempt, first, by, 1, now);
    }
    is_first
}

fn counts(counts: &[Count<Attempt, Caller, Arc<AtomicBool>>]) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts
        .iter()
        .map(|it| match told(it) {
            AuditEvent::CommandRefused(it) => (it.resource, it.count),
            AuditEvent::RefusalsCounted(it) => ("rest".to_owned(), it.count),
            other => panic!("{other:?}"),
        })
        .collect();
    counts.sort();
    counts
}

#[test]
fn identical_attempts_of_a_window_are_one_record_and_one_count() {
    let mut tally = Tally::new(Limits::new(TimeDelta::seconds(60)));
    let (one, two) = (caller(1, 1), caller(1, 2));
    assert!(noted(&mut tally, &one, "a", at(0)));
    for second in 1..=59 {
        assert!(!noted(&mut tally, &one, "a", at(second)));
    }
    assert!(noted(&mut tally, &two, "a", at(59)), "another actor is another attempt");
    assert!(tally.over(at(59)).is_empty());
    let over = tally.over(at(60));
    assert_eq!(counts(&over), [("a".to_owned(), 59)]);
    let AuditEvent::CommandRefused(told) = told(&over[0]) else { panic!() };
    assert_eq!((told.first_at, told.last_at), (at(1), at(59)));
    assert_eq!(over[0].author().unwrap().actor, one.actor);
    assert!(noted(&mut tally, &one, "a", at(61)), "the next window begins with a record");
    assert!(tally.over(at(119)).is_empty(), "what came once is told already");
}

#[test]
fn a_flood_of_different_attempts_is_bounded_and_nothing_of_it_is_lost() {
    let limits = Limits { exact_max: 5, coarse_max: 2, ..Limits::new(TimeDelta::seconds(60)) };
    let mut tally = Tally::new(limits);
    let flood: Vec<Caller> = (0..10).map(|actor| caller(1, actor)).collect();
    let mut written = 0;
    for n in 0..1_000 {
        written += u64::from(noted(&mut tally, &flood[n % 10], &format!("{n}"), at(1)));
    }
    assert_eq!(written, 7, "five exactly, two by who and what");
    assert!(noted(&mut tally, &caller(2, 1), "0", at(1)), "another tenant has its own bounds");
    let over = tally.over(at(61));
    assert!(over.len() <= 3);
    assert_eq!(written + counts(&over).iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    assert!(noted(&mut tally, &flood[0], "0", at(62)), "there is room again");
}

#[test]
fn all_tenants_together_are_bounded_too() {
    let mut tally = Tally::new(Limits { entries_max: 50, ..Limits::new(TimeDelta::seconds(60)) });
    let written: usize =
        (0..100).map(|n| usize::from(noted(&mut tally, &caller(n % 20, 1), &format!("{n}"), at(1)))).sum();
    assert_eq!(written, 50);
    assert_eq!(counts(&tally.all()).iter().map(|(_, count)| count).sum::<u64>(), 50);
}

#[test]
fn a_count_that_cannot_be_written_is_given_again_with_what_came_meanwhile() {
    let mut tally = Tally::new(Limits::new(TimeDelta::seconds(60)));
    let by = caller(1, 1);
    for second in 0..=10 {
        noted(&mut tally, &by, "a", at(second));
    }
    let failed = tally.over(at(60)).pop().unwrap();
    assert!(noted(&mut tally, &by, "a", at(61)));
    assert!(!noted(&mut tally, &by, "a", at(62)));
    tally.put_back(failed);
    let over = tally.all();
    assert_eq!(counts(&over), [("a".to_owned(), 11)]);
    let AuditEvent::CommandRefused(told) = told(&over[0]) else { panic!() };
    assert_eq!((told.first_at, told.last_at), (at(1), at(62)));
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<AuditEvent>>,
    broken: AtomicBool,
    waiting: AtomicUsize,
    gate: Option<tokio::sync::Semaphore>,
}

impl Writer for Arc<Log> {
    fn write<'a>(&'a self, _author: &'a Author, event: AuditEvent) -> Writing<'a> {
        Box::pin(async move {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            if self.broken.load(Ordering::SeqCst) {
                return Err(NotWritten::Unavailable("broken".to_owned()));
            }
            let mut events = self.events.lock().unwrap();
            events.push(event);
            Ok(format!("1-{}", events.len()))
        })
    }
}

fn recorder(log: &Arc<Log>) -> Arc<Recorder> {
    #[derive(utoipa::OpenApi)]
    struct Document;
    let words = Words::of(&Document::openapi(), |_| false);
    let limits = Limits::new(TimeDelta::seconds(60));
    Recorder::start(Arc::clone(log), words, limits, CancellationToken::new())
}

fn refused() -> Vec<Refused> {
    vec![Refused { code: Cow::Borrowed("it.failed"), status: 422, count: 1 }]
}

#[tokio::test]
async fn nobody_is_answered_before_the_first_is_written() {
    let log = Arc::new(Log { gate: Some(tokio::sync::Semaphore::new(0)), ..Log::default() });
    let recorder = recorder(&log);
    let by = caller(1, 1);
    let asked = Asking { caller: &by, action: "it.do-it", template: "/it", path: "/it" };
    let refusals = refused();
    let both = async {
        tokio::join!(
            recorder.refused(&asked, Kind::Command, &refusals),
            recorder.refused(&asked, Kind::Command, &refusals)
        )
    };
    tokio::pin!(both);
    assert!(futures_util::poll!(both.as_mut()).is_pending());
    assert_eq!(log.waiting.load(Ordering::SeqCst), 1, "the second waits for the first");
    log.gate.as_ref().unwrap().add_permits(9);
    assert_eq!(both.await, (Some("1-1".to_owned()), None));
    recorder.finish().await;
    assert_eq!(log.events.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_record_a_refusal_is_told_and_counted_and_a_read_is_not_given() {
    let log = Arc::new(Log::default());
    let recorder = recorder(&log);
    let by = caller(1, 1);
    let asked = Asking { caller: &by, action: "it.read-it", template: "/it", path: "/it" };
    log.broken.store(true, Ordering::SeqCst);
    assert_eq!(recorder.refused(&asked, Kind::Command, &refused()).await, None);
    assert_eq!(recorder.read(&asked, None).await.unwrap_err().code(), "audit.not-recorded");
    recorder.finish().await;
    assert!(log.events.lock().unwrap().is_empty());
    log.broken.store(false, Ordering::SeqCst);
    recorder.finish().await;
    let events = log.events.lock().unwrap().clone();
    assert!(matches!(events.as_slice(), [AuditEvent::CommandRefused(it)] if it.count == 1), "{events:?}");
    assert_eq!(recorder.read(&asked, None).await, Ok(()));
}

#[tokio::test]
async fn a_sensitive_handler_is_not_reached_unrecorded() {
    let log = Arc::new(Log::default());
    let keys = keys();
    let owner = keys.signer.mint(&tests::operator(Role::Owner)).unwrap();
    let member = keys.signer.mint(&tests::operator(Role::Member)).unwrap();
    let handler = |_: Allowed<permissions::ReadTrail>| async { "the trail" };
    let router = Router::new().route("/v1/audit/{id}", get(handler));
    let router = verified_by(router, Arc::new(keys.verifier), Arc::new(tests::Believing(|_| {})));
    let recorded = router.clone().layer(axum::Extension(recorder(&log)));
    let ask = async |router: &Router, token: &str| {
        let request =
            Request::builder().uri("/v1/audit/7").header("authorization", format!("Bearer {token}"));
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(ask(&router, &owner).await, StatusCode::INTERNAL_SERVER_ERROR, "it has no recorder");
    assert_eq!(ask(&recorded, &owner).await, StatusCode::OK);
    assert_eq!(ask(&recorded, &member).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(&recorded, "none").await, StatusCode::UNAUTHORIZED);
    let told: Vec<(&str, String)> = log
        .events
        .lock()
        .unwrap()
        .iter()
        .map(|it| match it {
            AuditEvent::DataRead(read) => (it.name(), read.resource.clone()),
            AuditEvent::ReadRefused(refused) => (it.name(), refused.code.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            ("audit.data-read", "/v1/audit/7".to_owned()),
            ("audit.read-refused", "auth.permission-missing".to_owned())
        ]
    );
    log.broken.store(true, Ordering::SeqCst);
    let other = recorder(&log);
    let broken = router.layer(axum::Extension(other));
    assert_eq!(ask(&broken, &owner).await, StatusCode::SERVICE_UNAVAILABLE);
}
