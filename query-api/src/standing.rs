//! Who may read, as far as this process has seen the log: a second ago at most. The twin of the file of command-api, since
//! the crates that both may use know nothing of each other.

use std::sync::Arc;

use domain::application::KeyOwner;
use domain::gate::{Admission, GateError};
use domain::ids::{ApiKeyId, TenantId};
use domain::{Refusal, StreamId, View};
use event_store::access::{AGE_MAX, Question, Standings, Unknown};
use event_store::vault::{ApiKeys, Digest, KeyHolder};
use futures_util::future::BoxFuture;
use service_kit::access::{Access, Who};
use service_kit::bearer::Bearer;
use service_kit::metrics::Metrics;
use service_kit::problem::{Problem, code};

/// Somebody, as a question to the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked(Who);

impl Question for Asked {
    type Answer = Result<Arc<Admission>, GateError>;

    fn tenant(&self) -> TenantId {
        self.0.tenant()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.0.needs(view)
    }

    fn answer(&self, view: &View<'_>) -> Self::Answer {
        self.0.look(view).map(Arc::new)
    }
}

/// What the log says of who may act, and the vault of whose a key is.
#[derive(Debug, Clone)]
pub(crate) struct ByLog {
    pub(crate) standings: Standings<Asked>,
    /// Whose the keys of programs are.
    pub(crate) keys: ApiKeys,
}

impl Access for ByLog {
    fn standing<'a>(&'a self, who: &'a Who) -> BoxFuture<'a, Result<Arc<Admission>, Problem>> {
        Box::pin(async move {
            let answer = self.standings.ask(&Asked(who.clone())).await.map_err(problem_of)?;
            answer.as_ref().clone().map_err(|error| Refusal::from(error).into())
        })
    }

    fn owner_of_key<'a>(&'a self, shown: &'a Bearer) -> BoxFuture<'a, Result<Option<KeyOwner>, Problem>> {
        Box::pin(async move {
            let holder = self.keys.holder(shown.tenant, ApiKeyId::new(shown.id), Digest(shown.hash())).await;
            let owner = |it| match it {
                KeyHolder::User(id) => KeyOwner::User(id),
                KeyHolder::Service(id) => KeyOwner::Service(id),
            };
            Ok(holder.map_err(|error| Problem::store_unavailable(&error))?.map(owner))
        })
    }

    fn moved(&self, seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(self.standings.moved(seen))
    }
}

impl ByLog {
    /// Whether it can be said who may act.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        let age = self.standings.age();
        if age <= AGE_MAX { Ok(()) } else { Err(format!("last looked at {} ms ago", age.as_millis())) }
    }

    /// Adds what it tells its monitoring.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let (aged, kept) = (self.standings.clone(), self.standings.clone());
        let help = "How long ago the log was looked at for who may act";
        metrics.gauge("quipu_access_tail_age_milliseconds", help, move || {
            i64::try_from(aged.age().as_millis()).unwrap_or(i64::MAX)
        });
        metrics.gauge("quipu_standings_cached", "Callers whose standing is kept", move || {
            i64::try_from(kept.known()).unwrap_or(i64::MAX)
        });
    }
}

/// The one map of standings that are not known to problems.
fn problem_of(unknown: Unknown) -> Problem {
    match unknown {
        Unknown::NewerEvent => Problem::new(&code::NEWER_EVENT, ""),
        Unknown::NotFollowed(_) => Problem::fault(&unknown),
        Unknown::TooOld(_) | Unknown::Moving | Unknown::Lost | Unknown::Database(_) => {
            Problem::new(&code::STANDING_UNKNOWN, "")
        }
    }
}
