//! From a unit to an HTTP answer.

use std::collections::HashSet;

use axum::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::ids::{SessionId, TenantId};
use domain::organisation::standing;
use domain::{Decision, Refusal, StreamId, Verdict, View};
use event_schemas::envelope::{LogPosition, Origin};
use event_store::unit::{NOT_APPLIED, Placed, VERSION_MISMATCH};
use event_store::vault::VaultChange;
use event_store::{Cause, Done, IdempotencyKey, Linkage, SubmitError, Unit};
use serde::Serialize;
use service_kit::access::{Admitted, Caller};
use service_kit::audit::Refusals;
use service_kit::body::Json;
use service_kit::permissions::PermissionDoc;
use service_kit::problem::{Problem, ProblemBody, code};
use service_kit::telemetry;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;

/// Up to here the log holds what an answer says.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("quipu-position");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A command was carried out.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Accepted {
    /// What it was about.
    pub id: Uuid,
    /// That thing's version afterwards; `If-Match` takes it.
    #[schema(example = 1)]
    pub version: i64,
    /// Up to here the log holds what this answer says; queries take it as `Quipu-Position`.
    #[schema(example = "1-4711")]
    pub position: String,
}

/// What became of one item of a batch: the fields of an accepted command, or a problem.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemResult {
    /// The HTTP status that the item would have had by itself.
    #[schema(example = 201)]
    pub status: u16,
    /// What it was about, if it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// That thing's version afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// The results of a batch, in the order of its items.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// One for each item.
    pub results: Vec<ItemResult>,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    pub position: String,
}

/// Who asks, for the envelope of the events that follow. Staff who act in a person's place are the actor, and the person is
/// whom they act for.
pub(crate) fn cause(caller: &Caller) -> Cause {
    Cause {
        actor: caller.acts.unwrap_or(caller.actor),
        token: Some(caller.token_id),
        session: caller.session.map(SessionId::new),
        on_behalf_of: caller.acts.map(|_| caller.actor),
        correlation: caller.trace_id.uuid(),
        causation: None,
        trace: Some(caller.trace_id.to_string()),
        span: telemetry::current_span_id(),
        origin: Some(Origin { ip: Some(caller.ip.to_string()), user_agent: caller.user_agent.clone() }),
    }
}

/// A unit of one command, behind the gate of whoever asks.
fn unit(by: &impl Admitted, command: impl Decision + 'static) -> Unit {
    let caller = by.caller();
    Unit::of(caller.tenant, cause(caller), [by.gated(Box::new(command))])
}

/// Commands of which all happen or none does, and what changes in the vault if they do.
pub struct Together<const N: usize> {
    /// In order, each on what those before it did. The first is what the request is about.
    pub commands: [Box<dyn Decision>; N],
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

/// A command in the caller's log and one in another organisation's, of which both happen or neither does.
pub struct Across {
    /// What the request is about, behind the gate.
    pub here: Box<dyn Decision>,
    /// The other organisation.
    pub there: TenantId,
    /// What follows in its log.
    pub then: Box<dyn Decision>,
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

/// What became of commands of which all happen or none does: the outcome of the first, or the refusal of whichever was
/// refused.
fn outcome_of(results: Vec<Result<Done, Refusal>>) -> Option<Result<Done, Refusal>> {
    let refused = |it: &Result<Done, Refusal>| it.as_ref().is_err_and(|refusal| refusal.code != NOT_APPLIED);
    let place = results.iter().position(refused).unwrap_or(0);
    results.into_iter().nth(place)
}

/// Nothing to do: so that a gate can be asked by itself.
pub(crate) struct Nothing;

impl Decision for Nothing {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        Vec::new()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        Ok(Verdict::already(standing::stream(view.tenant)))
    }
}

impl App {
    /// Runs one command and answers it. `location` is where the thing can be read, without its id.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        expected: Option<(StreamId, i64)>,
        location: &str,
        command: impl Decision + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Unit { key, ..unit(by, command).expecting(expected) }, location).await
    }

    /// Runs a command that makes something new, whose id is the one of `minted` unless the caller gave another.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_new(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        minted: StreamId,
        location: &str,
        command: impl Decision + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Unit { key, ..unit(by, command).minting(minted) }, location).await
    }

    /// Runs commands of which all happen or none does. The answer is about the first, or tells which was refused.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_together<const N: usize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        together: Together<N>,
    ) -> Result<Response, Problem> {
        self.run_expecting(by, key, None, location, together).await
    }

    /// The same, if a stream still has the version that what changes in the vault rests on.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_expecting<const N: usize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        expected: Option<(StreamId, i64)>,
        location: &str,
        together: Together<N>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let mut commands = together.commands.into_iter();
        // What the first does may close the gate for whoever asked, such as leaving; it was open for all of them.
        let gated = commands.next().map(|command| by.gated(command));
        let unit = Unit::of(caller.tenant, cause(caller), gated.into_iter().chain(commands));
        let unit = unit.with_vault(together.vault).expecting(expected);
        self.answer(Unit { key, ..unit }, location).await
    }

    /// Runs a command and what follows from it in another organisation's log.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_across(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        across: Across,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let mut unit = Unit::of(caller.tenant, cause(caller), [by.gated(across.here)]);
        unit.decisions.push(Placed { tenant: across.there, decision: across.then });
        self.answer(Unit { key, ..unit.with_vault(across.vault) }, location).await
    }

    /// Runs a command about the caller's own organisation in the platform's log, which keeps the dossiers; and what follows
    /// from it in the organisation's own. The gate is asked in the latter, where the caller stands.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_on_platform(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        command: impl Decision + 'static,
        follows: Option<(Box<dyn Decision>, VaultChange)>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let (own, vault) = follows.unzip();
        let own = by.gated(own.unwrap_or_else(|| Box::new(Nothing)));
        let unit = Unit::of(caller.tenant, cause(caller), [own]).and(TenantId::PLATFORM, command);
        let unit = Unit { key, ..unit.with_vault(vault) };
        self.answer(unit, location).await
    }

    /// Runs commands of which all happen or none does, the first of which makes something new. The answer shows what `shows`
    /// adds to it, once: a repeated request is answered without, since no secret is kept.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_showing<const N: usize, T: Serialize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        minted: StreamId,
        location: &str,
        together: Together<N>,
        shows: T,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let mut commands = together.commands.into_iter();
        let gated = commands.next().map(|command| by.gated(command));
        let unit = Unit::of(caller.tenant, cause(caller), gated.into_iter().chain(commands));
        let unit = Unit { key, ..unit.minting(minted).with_vault(together.vault) };
        let receipt = self.executor.submit(unit).await.map_err(problem_of)?;
        let (position, shows) = (receipt.position, Some(shows).filter(|_| !receipt.replayed));
        let mut response = match outcome_of(receipt.results) {
            Some(Ok(done)) => accepted(done, position, location, shows),
            Some(Err(refusal)) => refused(refusal).into_response(),
            None => Problem::fault(&SubmitError::Internal).into_response(),
        };
        mark(&mut response, position, receipt.replayed);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Runs commands in another organisation's log, behind the gate of the caller's own. All happen or none does; the answer is
    /// about the first.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_elsewhere<const N: usize>(
        &self,
        by: &impl Admitted,
        there: TenantId,
        commands: [Box<dyn Decision>; N],
        vault: Vec<VaultChange>,
    ) -> Result<Accepted, Problem> {
        let caller = by.caller();
        let mut unit = Unit::of(caller.tenant, cause(caller), [by.gated(Box::new(Nothing))]);
        unit.decisions.extend(commands.map(|decision| Placed { tenant: there, decision }));
        let receipt = self.executor.submit(unit.with_vault(vault)).await.map_err(problem_of)?;
        let position = receipt.position.to_string();
        let results: Result<Vec<Done>, Refusal> = receipt
            .results
            .into_iter()
            .filter(|it| !it.as_ref().is_err_and(|it| it.code == NOT_APPLIED))
            .collect();
        let header = HeaderValue::try_from(&position).map_err(|error| Problem::fault(&error))?;
        let results = results.map_err(|refusal| refused(refusal).header(POSITION, header))?;
        // The first is the gate's.
        let done = results.into_iter().nth(1).ok_or_else(|| Problem::fault(&SubmitError::Internal))?;
        Ok(Accepted { id: done.stream.id, version: done.version, position })
    }

    async fn answer(&self, unit: Unit, location: &str) -> Result<Response, Problem> {
        let receipt = self.executor.submit(unit).await.map_err(problem_of)?;
        let position = receipt.position;
        let mut response = match outcome_of(receipt.results) {
            Some(Ok(done)) => accepted(done, position, location, None::<()>),
            Some(Err(refusal)) => refused(refusal).into_response(),
            None => Problem::fault(&SubmitError::Internal).into_response(),
        };
        mark(&mut response, position, receipt.replayed);
        Ok(response)
    }

    /// Runs the items of a batch, each behind the gate of its own permission, and answers them all.
    ///
    /// # Errors
    /// Why there is no outcome; refusals are in the answer.
    pub async fn run_batch(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        linkage: Linkage,
        minted: HashSet<StreamId>,
        commands: impl IntoIterator<Item = (&'static PermissionDoc, Box<dyn Decision>)>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let gated = commands.into_iter().map(|(permission, command)| by.gated_by(Some(permission), command));
        let unit = Unit { key, linkage, minted, ..Unit::of(caller.tenant, cause(caller), gated) };
        let receipt = self.executor.submit(unit).await.map_err(problem_of)?;
        let results: Vec<ItemResult> = receipt.results.into_iter().map(item_result).collect();
        let refusals = refusals(&results);
        let answer = BatchAnswer { results, position: receipt.position.to_string() };
        let mut response = Json(answer).into_response();
        mark(&mut response, receipt.position, receipt.replayed);
        if let Some(refusals) = refusals {
            response.extensions_mut().insert(refusals);
        }
        Ok(response)
    }
}

/// An accepted command, and what is shown with it.
#[derive(Serialize)]
struct Showing<T> {
    #[serde(flatten)]
    accepted: Accepted,
    #[serde(flatten)]
    shows: Option<T>,
}

fn accepted<T: Serialize>(done: Done, position: LogPosition, location: &str, shows: Option<T>) -> Response {
    let status = status_of(&done);
    let id = done.stream.id;
    let accepted = Accepted { id, version: done.version, position: position.to_string() };
    let mut response = (status, Json(Showing { accepted, shows })).into_response();
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", done.version)) {
        headers.insert(ETAG, etag);
    }
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(format!("{location}/{id}"))
    {
        headers.insert(LOCATION, location);
    }
    response
}

fn status_of(done: &Done) -> StatusCode {
    if done.is_created() { StatusCode::CREATED } else { StatusCode::OK }
}

fn item_result(result: Result<Done, Refusal>) -> ItemResult {
    match result {
        Ok(done) => ItemResult {
            status: status_of(&done).as_u16(),
            id: Some(done.stream.id),
            version: Some(done.version),
            problem: None,
        },
        Err(refusal) => {
            let problem = refused(refusal);
            let status = problem.status().as_u16();
            // The trace id is the request's, not the item's: a repeated batch must get the same words again.
            let problem = ProblemBody { trace_id: None, ..problem.body().clone() };
            ItemResult { status, id: None, version: None, problem: Some(problem) }
        }
    }
}

/// What the audit trail is told of a batch. Items that were fine themselves were not refused.
fn refusals(results: &[ItemResult]) -> Option<Refusals> {
    let mut refusals = Refusals::default();
    for problem in results.iter().filter_map(|it| it.problem.as_ref()).filter(|it| it.code != NOT_APPLIED) {
        refusals.add(problem.code.clone(), problem.status);
    }
    (!refusals.0.is_empty()).then_some(refusals)
}

fn refused(refusal: Refusal) -> Problem {
    if refusal.code != VERSION_MISMATCH {
        return refusal.into();
    }
    let problem = Problem::new(&code::VERSION_MISMATCH, refusal.message);
    refusal.details.into_iter().fold(problem, |problem, (name, value)| problem.with(name, value))
}

fn mark(response: &mut Response, position: LogPosition, replayed: bool) {
    let headers = response.headers_mut();
    if let Ok(position) = HeaderValue::try_from(position.to_string()) {
        headers.insert(POSITION, position);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The one map of submissions without an outcome to problems.
pub(crate) fn problem_of(error: SubmitError) -> Problem {
    match error {
        SubmitError::Overloaded => Problem::new(&code::QUEUE_FULL, ""),
        SubmitError::Unavailable => Problem::new(&code::STORE_UNAVAILABLE, error.to_string()),
        SubmitError::KeyReused => Problem::new(&code::KEY_REUSED, ""),
        SubmitError::NewerEvent => Problem::new(&code::NEWER_EVENT, ""),
        SubmitError::Internal => Problem::fault(&error),
    }
}
