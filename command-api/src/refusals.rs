//! Refused commands in the audit trail. A layer looks at every answer: one that tells a known caller no is recorded
//! through the executor before it is given. What succeeds passes untouched.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use domain::audit::{AuditEvent, RecordAudit};
use event_store::{Cause, Executor, Unit};
use service_kit::access::Asked;
use service_kit::audit::{Asking, Author, Kind, NotWritten, Recorder, Refusals, Writer, Writing};
use uuid::Uuid;

use crate::answer::{POSITION, cause};

/// Appends to the trail through the executor of the process.
pub(crate) struct ThroughExecutor(pub(crate) Executor);

impl Writer for ThroughExecutor {
    fn write<'a>(&'a self, author: &'a Author, event: AuditEvent) -> Writing<'a> {
        let cause = author.caller.as_ref().map_or_else(|| Cause::system(Uuid::now_v7()), cause);
        let unit = Unit::new(author.tenant, cause, RecordAudit(event));
        Box::pin(async move {
            let receipt = self.0.submit(unit).await;
            receipt
                .map(|it| it.position.to_string())
                .map_err(|error| NotWritten::Unavailable(error.to_string()))
        })
    }
}

/// The layer.
pub(crate) async fn record(
    State(recorder): State<Arc<Recorder>>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::default();
    request.extensions_mut().insert(asked.clone());
    let template = request.extensions().get::<MatchedPath>().cloned();
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    let Some(refusals) = response.extensions_mut().remove::<Refusals>() else { return response };
    let Some((caller, action)) = asked.known() else { return response };
    let template = template.as_ref().map_or("", MatchedPath::as_str);
    let asking = Asking { caller, action, template, path: uri.path() };
    let recorded = recorder.refused(&asking, Kind::Command, &refusals.0).await;
    // Whoever reads the trail with the answer's position finds the refusal there. The answer to a batch names its
    // position in the body too, and keeps it.
    if response.status() != StatusCode::OK
        && let Some(position) = recorded.and_then(|it| HeaderValue::try_from(it).ok())
    {
        response.headers_mut().insert(POSITION, position);
    }
    response
}
