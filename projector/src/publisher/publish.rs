//! Messages: what an event looks like on NATS, and how many are sent without losing order or count.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use event_schemas::envelope::{CloudEvent, LogPosition, Meta, cloud_event_headers, subject};
use event_schemas::wire::{
    MARKER_PREFIX, MARKER_SUBJECT, OMITTED_HEADER, POSITION_HEADER, STREAM, TRACE_HEADER,
};
use event_store::Recorded;
use serde::Serialize;
use uuid::Uuid;

use super::stream::MESSAGE_BYTES_MAX;
use crate::run::Fault;

/// Messages sent and not yet acknowledged. Far below the client's own bound, at which it would wait for ever.
pub(super) const IN_FLIGHT_MAX: usize = 256;
pub(super) const ACK_TIME_MAX: Duration = Duration::from_secs(5);
/// Room for the headers of a message.
const HEADER_BYTES_MAX: usize = 4 * 1024;

/// The body of an epoch marker: the log was restored. Events after `position` of older epochs are void.
#[derive(Debug, Serialize)]
struct Marker {
    epoch: i32,
    position: i64,
}

/// A message, and where its success leads.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) message: PublishMessage,
    pub(crate) position: i64,
}

/// An event as a message for a stream.
pub(crate) fn event(stream: &str, recorded: &Recorded, epoch: i32, payload_max: usize) -> Outgoing {
    let at = LogPosition { epoch, position: recorded.position };
    let category = category(recorded);
    let meta = recorded.meta().ok();
    let attributes = cloud_event_headers(&CloudEvent {
        id: recorded.event_id,
        tenant: recorded.tenant,
        tenant_seq: recorded.tenant_seq,
        category: &category,
        stream_id: recorded.stream.id,
        version: recorded.version,
        event_type: &recorded.event_type,
        schema_version: recorded.schema_version,
        time: recorded.recorded_at,
        position: at,
        meta: meta.as_ref(),
    });
    let mut message = identified(stream, &recorded.event_id.to_string(), at);
    for (name, value) in attributes {
        message = message.header(name, value);
    }
    if let Some(parent) = meta.as_ref().and_then(Meta::traceparent) {
        message = message.header(TRACE_HEADER, parent);
    }
    let fits = recorded.payload.len() + HEADER_BYTES_MAX <= payload_max;
    message = if fits {
        message.payload(recorded.payload.clone().into())
    } else {
        tracing::warn!(
            position = recorded.position,
            "an event is too large for NATS: its payload is left out"
        );
        message.header(OMITTED_HEADER, "too-large")
    };
    let subject = subject(recorded.tenant, &category, &recorded.event_type);
    Outgoing { subject, message, position: recorded.position }
}

/// An epoch marker as a message.
pub(super) fn marker(epoch: i32, position: i64) -> Result<Outgoing, Fault> {
    let body =
        serde_json::to_vec(&Marker { epoch, position }).map_err(|error| Fault::Odd(error.to_string()))?;
    // Another marker with the same place would be another restore's, so each has an id of its own.
    let id = format!("{MARKER_PREFIX}{epoch}-{position}-{}", Uuid::now_v7());
    let message = identified(STREAM, &id, LogPosition { epoch, position }).payload(body.into());
    Ok(Outgoing { subject: MARKER_SUBJECT.to_owned(), message, position })
}

fn identified(stream: &str, id: &str, at: LogPosition) -> PublishMessage {
    PublishMessage::build().message_id(id).expected_stream(stream).header(POSITION_HEADER, at.to_string())
}

/// The category's name; one of a newer build has none here, but its event's type says the context.
fn category(recorded: &Recorded) -> String {
    let name = recorded.stream.category.name;
    if name.contains('.') {
        return name.to_owned();
    }
    let context = recorded.event_type.split('.').next().unwrap_or("unknown");
    format!("{context}.{name}")
}

/// The largest payload of a message, whatever the server allows.
pub(crate) fn payload_max(nats: &async_nats::Client) -> usize {
    let ours = usize::try_from(MESSAGE_BYTES_MAX).unwrap_or(usize::MAX);
    match nats.max_payload() {
        0 => ours,
        theirs => theirs.min(ours),
    }
}

/// How far a sending came.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The last sequence of the stream.
    pub(crate) sequence: u64,
    /// The position of the last message that was acknowledged.
    pub(crate) position: Option<i64>,
    /// Why it went no further.
    pub(crate) failed: Option<Fault>,
}

/// Sends messages in order, each on the condition that the stream ends with the one before it. So a second publisher,
/// or a stream that changed under us, stops it rather than mixes with it.
pub(crate) async fn send(context: &Context, last: u64, messages: Vec<Outgoing>) -> Sent {
    let mut sent = Sent { sequence: last, position: None, failed: None };
    let mut waiting: VecDeque<(PublishAckFuture, u64, i64)> = VecDeque::new();
    let mut expected = last;
    for Outgoing { subject, message, position } in messages {
        if waiting.len() >= IN_FLIGHT_MAX && !settle(&mut waiting, &mut sent).await {
            return sent;
        }
        let message = message.expected_last_sequence(expected);
        expected += 1;
        match tokio::time::timeout(ACK_TIME_MAX, context.send_publish(subject, message)).await {
            Ok(Ok(ack)) => waiting.push_back((ack, expected, position)),
            Ok(Err(error)) => {
                sent.failed = Some(Fault::Nats(error.to_string()));
                break;
            }
            Err(_) => {
                sent.failed = Some(Fault::Nats("no room to send".to_owned()));
                break;
            }
        }
    }
    let failed = sent.failed.take();
    while settle(&mut waiting, &mut sent).await {}
    sent.failed = sent.failed.or(failed);
    sent
}

/// Waits for the oldest acknowledgement. False if there is none, or it was not as it should be.
async fn settle(waiting: &mut VecDeque<(PublishAckFuture, u64, i64)>, sent: &mut Sent) -> bool {
    let Some((ack, expected, position)) = waiting.pop_front() else { return false };
    let fault = match tokio::time::timeout(ACK_TIME_MAX, ack.into_future()).await {
        Ok(Ok(ack)) if ack.sequence == expected && !ack.duplicate => {
            (sent.sequence, sent.position) = (ack.sequence, Some(position));
            return true;
        }
        Ok(Ok(ack)) => format!(
            "position {position} is message {} instead of {expected}{}",
            ack.sequence,
            if ack.duplicate { ", published before" } else { "" }
        ),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no acknowledgement in time".to_owned(),
    };
    sent.failed = Some(Fault::Nats(fault));
    waiting.clear();
    false
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::ids::TenantId;
    use domain::{Category, StreamId};

    use super::*;

    fn recorded(category: Category) -> Recorded {
        Recorded {
            position: 7,
            tenant: TenantId::new(Uuid::nil()),
            tenant_seq: 3,
            stream: StreamId::new(category, Uuid::nil()),
            version: 1,
            event_type: "ledger.transfer-posted".to_owned(),
            schema_version: 1,
            event_id: Uuid::nil(),
            recorded_at: DateTime::UNIX_EPOCH,
            payload: "{\"a\":1}".to_owned(),
            meta: "{}".to_owned(),
            leaf: Vec::new(),
        }
    }

    #[test]
    fn an_event_names_its_place_and_id() {
        let known = Category { code: 11, name: "ledger.transfer" };
        let Outgoing { subject, message, .. } = event(STREAM, &recorded(known), 2, 10_000);
        assert_eq!(subject, "quipu.00000000-0000-0000-0000-000000000000.ledger.transfer.posted");
        let sent = message.outbound_message(subject);
        let headers = sent.headers.unwrap();
        let header = |name: &str| headers.get(name).map(|it| it.as_str().to_owned());
        assert_eq!(header(POSITION_HEADER), Some("2-7".to_owned()));
        assert_eq!(header("Nats-Msg-Id"), Some(Uuid::nil().to_string()));
        assert_eq!(header("ce-type"), Some("ledger.transfer-posted".to_owned()));
        assert_eq!(&sent.payload[..], b"{\"a\":1}");
    }

    #[test]
    fn events_of_newer_builds_and_large_ones_still_fit_the_stream() {
        let unknown = Category { code: 900, name: "unknown" };
        let Outgoing { subject, message, .. } = event(STREAM, &recorded(unknown), 2, 100);
        assert_eq!(subject.split('.').count(), 5, "{subject}");
        let sent = message.outbound_message(subject);
        assert!(sent.payload.is_empty());
        assert!(sent.headers.unwrap().get(OMITTED_HEADER).is_some());
        assert_eq!(marker(2, 7).unwrap().subject.split('.').count(), 5);
    }
}
