//! `/livez` says that the process runs and asks nothing; `/readyz` says whether it can do its work now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::body::Json;

/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(1);
const READY: &str = "ready";

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The checks of a process.
#[derive(Clone)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    stopping: CancellationToken,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    checks: Vec<CheckReport>,
}

#[derive(Serialize)]
struct CheckReport {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Health {
    /// No checks yet. Not ready any more once the token is cancelled.
    #[must_use]
    pub fn new(stopping: CancellationToken) -> Self {
        Self { checks: Vec::new(), stopping }
    }

    /// Adds a check. Its message is public: no addresses, no secrets.
    #[must_use]
    pub fn check<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || check().boxed())));
        self
    }

    /// Adds a check that the database answers.
    #[must_use]
    pub fn database(self, pool: sqlx::PgPool) -> Self {
        self.check("database", move || {
            let pool = pool.clone();
            async move {
                let answer = sqlx::query("SELECT 1").execute(&pool).await;
                answer.map(|_| ()).map_err(|_| "does not answer".to_owned())
            }
        })
    }

    /// The two routes, to be merged into a router before it is hardened.
    pub fn routes(self) -> Router {
        Router::new().route("/livez", get(|| async { "alive" })).route("/readyz", get(ready)).with_state(self)
    }

    /// Whether the process can do its work now, as `/readyz` says.
    pub async fn is_ready(&self) -> bool {
        self.report().await.status == READY
    }

    async fn report(&self) -> Report {
        let run = self.checks.iter().map(|(name, check)| async move {
            let detail = match tokio::time::timeout(CHECK_TIME_MAX, check()).await {
                Ok(Ok(())) => None,
                Ok(Err(detail)) => Some(detail),
                Err(_) => Some("no answer in time".to_owned()),
            };
            CheckReport { name, ok: detail.is_none(), detail }
        });
        let checks = join_all(run).await;
        let status = match (self.stopping.is_cancelled(), checks.iter().all(|it| it.ok)) {
            (true, _) => "stopping",
            (false, true) => READY,
            (false, false) => "not-ready",
        };
        Report { status, checks }
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let report = health.report().await;
    let status = if report.status == READY { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_only_when_every_check_is_and_nothing_stops() {
        let stopping = CancellationToken::new();
        let health = Health::new(stopping.clone()).check("one", || async { Ok(()) });
        assert_eq!(health.report().await.status, "ready");
        let broken = health.clone().check("two", || async { Err("gone".to_owned()) });
        let report = broken.report().await;
        assert_eq!((report.status, report.checks[1].detail.as_deref()), ("not-ready", Some("gone")));
        stopping.cancel();
        assert_eq!(health.report().await.status, "stopping");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_a_failed_one() {
        let health = Health::new(CancellationToken::new()).check("hangs", std::future::pending);
        assert_eq!(health.report().await.checks[0].detail.as_deref(), Some("no answer in time"));
    }
}
