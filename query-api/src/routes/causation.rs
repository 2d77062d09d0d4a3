//! `/v1/events/{position}/causation`: the command that an event came from, and everything that followed from it.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::ids::ActorId;
use event_schemas::envelope::LogPosition;
use read_models::EventIndex;
use read_models::event_index::{CORRELATED_MAX, CorrelatedRow};
use read_models::progress::Touch;
use serde::Serialize;
use service_kit::access::{Allowed, permissions::ReadEvents};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::reading::Conditions;

/// A command and everything that followed from it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CausationRow {
    /// The command: what ties its events together, and those that followed from them. Absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<Uuid>,
    /// When the first of the events was recorded; times below count from it.
    began_at: DateTime<Utc>,
    /// Whether there are more events than are shown: then those nearest to the event in question are.
    truncated: bool,
    /// What the command itself did, in the order of the log, and what hangs on an event that is not shown.
    events: Vec<CausedEvent>,
}

/// An event and what it caused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CausedEvent {
    /// Where it stands in the log.
    #[schema(example = "1-4711")]
    position: String,
    /// `context.noun-verbed`.
    #[serde(rename = "type")]
    #[schema(example = "ledger.hold-expired")]
    event_type: String,
    /// Its own stream: category and id.
    #[schema(example = "ledger.transfer/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    stream: String,
    /// Unique for ever.
    event_id: Uuid,
    /// The event that caused it; absent if the command itself did.
    #[serde(skip_serializing_if = "Option::is_none")]
    causation: Option<Uuid>,
    /// Who acted; the process itself is all zeros. Absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    actor: Option<ActorId>,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Milliseconds since the first event of the command.
    #[schema(example = 3600042)]
    elapsed_ms: i64,
    /// Whether it is the event in question.
    asked_for: bool,
    /// What it caused, in the order of the log.
    #[schema(no_recursion)]
    children: Vec<CausedEvent>,
}

/// Show what an event came from and what followed
///
/// The tree of the command, its events, and the events that processes made because of these, at whatever time. At most
/// 1,000 events.
#[utoipa::path(get, operation_id = "getCausation", path = "/v1/events/{position}/causation", tag = "events",
    params(("position" = String, Path, description = "Where the event stands in the log.", example = "1-4711")),
    responses(
        (status = 200, description = "The tree.", body = CausationRow),
        (status = 404, description = "The tenant has no event there.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn causation(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    Path(position): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let position: LogPosition = position.parse().map_err(|_| Problem::new(&code::NOT_FOUND, ""))?;
    let tenant = allowed.caller().tenant;
    let touches = [Touch::all::<EventIndex>()];
    let mut reading = app.read(tenant, &conditions, &touches).await?;
    if position.epoch != reading.served.epoch {
        return Err(Problem::new(&code::EPOCH_CHANGED, ""));
    }
    let Some(asked) = EventIndex::envelope(&mut reading.tx, position.position).await? else {
        return Err(reading.not_found());
    };
    let correlation = asked.meta().map(|it| it.correlation);
    let (rows, truncated) = match correlation {
        None => (vec![asked], false),
        Some(correlation) => {
            if reading.served.position < position.position {
                // The event is in the log; what came with it has to be in the index too.
                reading.tx.end().await?;
                reading = app.read(tenant, &conditions.clone().reaching(position)?, &touches).await?;
            }
            EventIndex::correlated(&mut reading.tx, correlation, position.position).await?
        }
    };
    let tree = tree(position, correlation, truncated, rows);
    answer::json(reading, &conditions, &tree).await
}

fn tree(
    asked: LogPosition,
    correlation: Option<Uuid>,
    truncated: bool,
    rows: Vec<CorrelatedRow>,
) -> CausationRow {
    let began_at = rows.first().map_or(DateTime::<Utc>::MIN_UTC, |it| it.recorded_at);
    let mut nodes: Vec<CausedEvent> = Vec::with_capacity(rows.len().min(CORRELATED_MAX));
    for row in rows {
        let meta = row.meta();
        nodes.push(CausedEvent {
            position: LogPosition { epoch: asked.epoch, position: row.position }.to_string(),
            event_type: row.event_type,
            stream: row.stream,
            event_id: row.event_id,
            // A command is named by the correlation; whatever else caused it is an event.
            causation: meta.as_ref().and_then(|it| it.causation).filter(|it| Some(*it) != correlation),
            actor: meta.map(|it| it.actor),
            recorded_at: row.recorded_at,
            elapsed_ms: (row.recorded_at - began_at).num_milliseconds(),
            asked_for: row.position == asked.position,
            children: Vec::new(),
        });
    }
    CausationRow { correlation, began_at, truncated, events: hung(nodes) }
}

/// Hangs each event on its cause. Causes come before what they cause, so the last event is a leaf of what remains.
fn hung(mut nodes: Vec<CausedEvent>) -> Vec<CausedEvent> {
    let places: HashMap<Uuid, usize> = nodes.iter().enumerate().map(|(n, it)| (it.event_id, n)).collect();
    let mut roots = Vec::new();
    while let Some(mut node) = nodes.pop() {
        node.children.reverse();
        let cause = node.causation.and_then(|it| places.get(&it)).and_then(|place| nodes.get_mut(*place));
        match cause {
            Some(cause) => cause.children.push(node),
            None => roots.push(node),
        }
    }
    roots.reverse();
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u128, cause: Option<u128>) -> CausedEvent {
        CausedEvent {
            position: n.to_string(),
            event_type: String::new(),
            stream: String::new(),
            event_id: Uuid::from_u128(n),
            causation: cause.map(Uuid::from_u128),
            actor: None,
            recorded_at: DateTime::<Utc>::UNIX_EPOCH,
            elapsed_ms: 0,
            asked_for: false,
            children: vec![],
        }
    }

    fn shape(nodes: &[CausedEvent]) -> String {
        let one = |it: &CausedEvent| match shape(&it.children) {
            inner if inner.is_empty() => it.position.clone(),
            inner => format!("{}({inner})", it.position),
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_event_hangs_on_its_cause_in_the_order_of_the_log() {
        let nodes = vec![
            node(1, None),
            node(2, None),
            node(3, Some(1)),
            node(4, Some(3)),
            node(5, Some(1)),
            node(6, Some(99)),
        ];
        assert_eq!(shape(&hung(nodes)), "1(3(4) 5) 2 6");
    }

    #[test]
    fn an_event_that_claims_a_later_cause_or_itself_is_not_lost() {
        assert_eq!(shape(&hung(vec![node(1, Some(2)), node(2, Some(2)), node(3, Some(1))])), "1(3) 2");
    }
}
