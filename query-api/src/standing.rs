//! Who may read, as far as this process has seen the log: a second ago at most.
//!
//! This joins the log's answers to the question that every server asks. command-api joins them likewise: the crates that both
//! use know nothing of each other.

use std::sync::Arc;

use domain::Refusal;
use domain::application::KeyOwner;
use domain::gate::Admission;
use domain::ids::ApiKeyId;
use event_store::access::{AGE_MAX, Standings, Unknown};
use event_store::vault::{ApiKeys, Digest, KeyHolder};
use futures_util::future::BoxFuture;
use service_kit::access::{self, Access, Who};
use service_kit::bearer::Bearer;
use service_kit::metrics::Metrics;
use service_kit::problem::{Problem, code};

/// What the log says of who may act, and the vault of whose a key is.
#[derive(Debug, Clone)]
pub(crate) struct ByLog {
    pub(crate) standings: Standings<Who>,
    /// Whose the keys of programs are.
    pub(crate) keys: ApiKeys,
}

impl Access for ByLog {
    fn standing<'a>(&'a self, who: &'a Who) -> BoxFuture<'a, Result<Arc<Admission>, Problem>> {
        Box::pin(async move {
            let answer = self.standings.ask(who).await.map_err(problem_of)?;
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
        access::readiness(self.standings.age(), AGE_MAX)
    }

    /// Adds what it tells its monitoring.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let (aged, kept) = (self.standings.clone(), self.standings.clone());
        access::register(metrics, move || aged.age(), move || kept.known());
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
