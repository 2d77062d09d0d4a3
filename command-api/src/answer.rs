//! What a command is answered: bodies, headers, and problems. How it comes to be run stands in `answer/run.rs`.

mod run;

use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use event_store::unit::{NOT_APPLIED, VERSION_MISMATCH};
use event_store::{Done, Executor, Receipt, SubmitError, Unit};
use sabotage::Guard;
use serde::Serialize;
use service_kit::access::still_acting;
use service_kit::audit::Refusals;
use service_kit::body::Json;
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use uuid::Uuid;

pub use run::{Across, Together};
pub(crate) use run::{Nothing, cause};

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

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let (version, position) = (self.version, self.position.clone());
        let mut response = Json(self).into_response();
        tag(&mut response, version);
        at(response, &position)
    }
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
    tag(&mut response, done.version);
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(format!("{location}/{id}"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Says the version of what an answer is about, as `If-Match` takes it.
fn tag(response: &mut Response, version: i64) {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, etag);
    }
}

/// What became of commands of which all happen or none does: the outcome of the first of the last `last`, or the refusal of
/// whichever was refused.
fn outcome_of(results: Vec<Result<Done, Refusal>>, last: usize) -> Option<Result<Done, Refusal>> {
    let refused = |it: &Result<Done, Refusal>| it.as_ref().is_err_and(|refusal| refusal.code != NOT_APPLIED);
    let place = results.iter().position(refused).unwrap_or(results.len().saturating_sub(last));
    results.into_iter().nth(place)
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

/// Sends a browser elsewhere. What is in the address is for that place alone: by the headers that every answer gets it is neither
/// kept nor told on.
pub(crate) fn gone_to(url: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::try_from(url).ok();
    response.headers_mut().extend(location.map(|it| (LOCATION, it)));
    response
}

/// Says up to where the log holds what an answer says.
pub(crate) fn at(mut response: Response, position: &str) -> Response {
    if let Ok(position) = HeaderValue::try_from(position) {
        response.headers_mut().insert(POSITION, position);
    }
    response
}

/// Another answer in the place of one about something that was done, up to the same position. A refusal stays.
pub(crate) fn instead(response: Response, answer: impl IntoResponse) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let position = response.headers().get(POSITION).cloned();
    let mut answer = answer.into_response();
    answer.headers_mut().extend(position.map(|it| (POSITION, it)));
    answer
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

/// Has a unit carried out. What staff ask in somebody's place is judged on whether they still may, too: their gate stands in
/// the person's organisation, and they in the platform's log.
///
/// # Errors
/// Why there is no outcome.
pub(crate) async fn carried_out(executor: &Executor, unit: Unit) -> Result<Receipt, Problem> {
    let acts = unit.cause.on_behalf_of.is_some() && sabotage::stands(Guard::StillStaff);
    let unit = if acts {
        let staff = still_acting(unit.cause.actor);
        unit.provided(TenantId::PLATFORM, staff)
    } else {
        unit
    };
    executor.submit(unit).await.map_err(problem_of)
}

/// The one map of submissions without an outcome to problems.
fn problem_of(error: SubmitError) -> Problem {
    match error {
        SubmitError::Overloaded => Problem::new(&code::QUEUE_FULL, ""),
        SubmitError::Unavailable => Problem::new(&code::STORE_UNAVAILABLE, error.to_string()),
        SubmitError::KeyReused => Problem::new(&code::KEY_REUSED, ""),
        SubmitError::NewerEvent => Problem::new(&code::NEWER_EVENT, ""),
        SubmitError::Internal => Problem::fault(&error),
    }
}
