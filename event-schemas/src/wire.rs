//! Names on NATS that consumers rely on: streams, subjects, the headers of a message. As append-only as events.
//!
//! How the stream is kept in step with the log is the publisher's affair. The values of headers come from
//! [`crate::envelope`].

/// The stream on JetStream.
pub const STREAM: &str = "quipu";

/// Every subject of the stream: `quipu.<tenant>.<context>.<aggregate>.<event>`.
pub const SUBJECTS: &str = "quipu.*.*.*.*";

/// Where a replay is sent, followed by its name: the stream `quipu-replay-<name>`, and subjects of which
/// `quipu-replay.<name>.` takes the place of `quipu.`.
pub const REPLAY_STREAM: &str = "quipu-replay-";
/// See [`REPLAY_STREAM`].
pub const REPLAY_SUBJECT: &str = "quipu-replay.";

/// Names an event's place in the log: `<epoch>-<position>`.
pub const POSITION_HEADER: &str = "Quipu-Position";

/// Says that the payload does not fit into a message; the event is in the log.
pub const OMITTED_HEADER: &str = "Quipu-Payload-Omitted";

/// The request's place in its trace, as W3C Trace Context writes it, if the trace is recorded.
pub const TRACE_HEADER: &str = "traceparent";

/// The subject of epoch markers, under the platform's own tenant.
pub const MARKER_SUBJECT: &str = "quipu.00000000-0000-0000-0000-000000000000.platform.log.epoch-changed";

/// The message ids of epoch markers begin with it.
pub const MARKER_PREFIX: &str = "quipu-epoch-";

/// A header of a message.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Its name, to the letter.
    pub name: &'static str,
    /// Whether every event has it.
    pub required: bool,
    /// A regular expression that its values match.
    pub pattern: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// A value that it could have.
    pub example: &'static str,
}

const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
const NUMBER: &str = "^[1-9][0-9]*$";
const POSITION: &str = "^[1-9][0-9]*-[0-9]+$";

/// Every header of an event's message: those of NATS and of ours first, then the attributes of CloudEvents 1.0.
pub const HEADERS: &[Header] = &[
    Header {
        name: "Nats-Msg-Id",
        required: true,
        pattern: UUID,
        meaning: "The event's id once more, by which JetStream itself refuses repetitions for two minutes.",
        example: "0190a5c4-7c1e-7000-8000-00000000e001",
    },
    Header {
        name: POSITION_HEADER,
        required: true,
        pattern: POSITION,
        meaning: "Where the event stands in the log, `<epoch>-<position>`. Positions have no gaps within an epoch.",
        example: "1-4711",
    },
    Header {
        name: OMITTED_HEADER,
        required: false,
        pattern: "^too-large$",
        meaning: "The payload does not fit into a message and is left out; the query API has it, by position.",
        example: "too-large",
    },
    Header {
        name: TRACE_HEADER,
        required: false,
        pattern: "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$",
        meaning: "The request's place in its trace (W3C Trace Context), if the trace is recorded.",
        example: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    },
    Header {
        name: "ce-specversion",
        required: true,
        pattern: "^1\\.0$",
        meaning: "The version of CloudEvents.",
        example: "1.0",
    },
    Header {
        name: "ce-id",
        required: true,
        pattern: UUID,
        meaning: "The event's id: unique for ever, the same in every repetition. Deduplicate by it.",
        example: "0190a5c4-7c1e-7000-8000-00000000e001",
    },
    Header {
        name: "ce-type",
        required: true,
        pattern: "^[a-z][a-z-]*\\.[a-z-]+$",
        meaning: "What happened.",
        example: "ledger.transfer-posted",
    },
    Header {
        name: "ce-source",
        required: true,
        pattern: "^/tenants/[0-9a-f-]{36}$",
        meaning: "Whose event it is.",
        example: "/tenants/0190a5c4-7c1e-7000-8000-000000000001",
    },
    Header {
        name: "ce-subject",
        required: true,
        pattern: "^[a-z][a-z.-]*/[0-9a-f-]{36}$",
        meaning: "The event's own stream: category and id.",
        example: "ledger.transfer/0190a5c4-7c1e-7000-8000-0000000000f0",
    },
    Header {
        name: "ce-time",
        required: true,
        pattern: "^[0-9-]{10}T[0-9:]{8}\\.[0-9]{6}Z$",
        meaning: "When it was recorded. It never falls along the log.",
        example: "2026-09-01T09:00:00.000000Z",
    },
    Header {
        name: "ce-datacontenttype",
        required: true,
        pattern: "^application/json$",
        meaning: "The payload's type.",
        example: "application/json",
    },
    Header {
        name: "ce-dataschema",
        required: true,
        pattern: "^urn:quipu:event:[a-z.-]+:v[1-9][0-9]*$",
        meaning: "The payload's schema, with its version: the `$id` of a file in `event-schemas/schemas`.",
        example: "urn:quipu:event:ledger.transfer-posted:v1",
    },
    Header {
        name: "ce-quipuposition",
        required: true,
        pattern: POSITION,
        meaning: "The same as `Quipu-Position`, for those who look at attributes alone.",
        example: "1-4711",
    },
    Header {
        name: "ce-quiputenantseq",
        required: true,
        pattern: NUMBER,
        meaning: "Counts the tenant's own events, without gaps.",
        example: "17",
    },
    Header {
        name: "ce-quipuversion",
        required: true,
        pattern: NUMBER,
        meaning: "The version of its own stream that the event makes.",
        example: "1",
    },
    Header {
        name: "ce-quipuactor",
        required: false,
        pattern: UUID,
        meaning: "Who acted. Missing only if the stored envelope cannot be read.",
        example: "0190a5c4-7c1e-7000-8000-000000000002",
    },
    Header {
        name: "ce-correlationid",
        required: false,
        pattern: UUID,
        meaning: "Ties together everything that follows from one request.",
        example: "0190a5c4-7c1e-7000-8000-00000000c001",
    },
    Header {
        name: "ce-causationid",
        required: false,
        pattern: UUID,
        meaning: "The event or command that directly caused this one, if another one did.",
        example: "0190a5c4-7c1e-7000-8000-00000000e000",
    },
];
