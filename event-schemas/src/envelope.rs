//! What surrounds an event: who, from where, because of what; and how it is named outside.

use chrono::{DateTime, Utc};
use domain::ids::{ActorId, SessionId, TenantId, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The stored `meta` of an event. Adding an optional field is compatible; nothing is ever renamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Who acted.
    pub actor: ActorId,
    /// The access token or API key that was used, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The session in which it was done, if a person did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// In whose place the actor acted, if not in their own: the user whom staff of the platform act for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<ActorId>,
    /// Ties together everything that follows from one request.
    pub correlation: Uuid,
    /// The event or command that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<Uuid>,
    /// W3C trace id of the request, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// W3C id of the request's span, 16 hexadecimal digits, if the trace is recorded somewhere. What is done because of
    /// the event links to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// Where the request came from: sealed text that opens to an [`Origin`], private to the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Value>,
}

impl Meta {
    /// The request's place in its trace, in the form of the W3C header `traceparent`; nothing if it is not recorded.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        Some(format!("00-{}-{}-01", self.trace.as_deref()?, self.span.as_deref()?))
    }
}

/// Where a request came from. Personal data: stored sealed only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The caller's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The caller's user agent, at most 256 characters of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// A place in the log that survives restores: another epoch is another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// Counts restores.
    pub epoch: i32,
    /// Dense, in commit order, from 1.
    pub position: i64,
}

impl std::fmt::Display for LogPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
    }
}

impl std::str::FromStr for LogPosition {
    type Err = MalformedPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, position) = text.split_once('-').ok_or(MalformedPosition)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(epoch) || !digits(position) {
            return Err(MalformedPosition);
        }
        Ok(Self {
            epoch: epoch.parse().map_err(|_| MalformedPosition)?,
            position: position.parse().map_err(|_| MalformedPosition)?,
        })
    }
}

/// A position token that is not `<epoch>-<position>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position has the form <epoch>-<position>")]
pub struct MalformedPosition;

/// The subject of an event on NATS: `quipu.<tenant>.<context>.<aggregate>.<event>`.
///
/// The event part is what follows the noun: `ledger.transfer-posted` of category `ledger.transfer` becomes
/// `quipu.<tenant>.ledger.transfer.posted`; a name that does not begin with its noun is kept whole.
#[must_use]
pub fn subject(tenant: TenantId, category: &str, event_type: &str) -> String {
    let noun = category.split_once('.').map_or(category, |(_, noun)| noun);
    let name = event_type.split_once('.').map_or(event_type, |(_, name)| name);
    let verb = name.strip_prefix(noun).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name);
    format!("quipu.{tenant}.{category}.{verb}")
}

/// The CloudEvents 1.0 attributes of an event in the NATS protocol binding's binary mode, as header names and values.
/// Source: CloudEvents NATS Protocol Binding 1.0.2, section 3.1.
#[must_use]
pub fn cloud_event_headers(event: &CloudEvent<'_>) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.id.to_string()),
        ("ce-type", event.event_type.to_owned()),
        ("ce-source", format!("/tenants/{}", event.tenant)),
        ("ce-subject", format!("{}/{}", event.category, event.stream_id)),
        ("ce-time", event.time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        ("ce-datacontenttype", "application/json".to_owned()),
        ("ce-dataschema", format!("urn:quipu:event:{}:v{}", event.event_type, event.schema_version)),
        ("ce-quipuposition", event.position.to_string()),
        ("ce-quiputenantseq", event.tenant_seq.to_string()),
        ("ce-quipuversion", event.version.to_string()),
    ];
    if let Some(meta) = event.meta {
        attributes.push(("ce-quipuactor", meta.actor.to_string()));
        attributes.push(("ce-correlationid", meta.correlation.to_string()));
        attributes.extend(meta.causation.map(|causation| ("ce-causationid", causation.to_string())));
    }
    attributes
}

/// What [`cloud_event_headers`] needs to know.
#[derive(Debug, Clone, Copy)]
pub struct CloudEvent<'a> {
    /// Event id.
    pub id: Uuid,
    /// Whose event.
    pub tenant: TenantId,
    /// Dense within the tenant.
    pub tenant_seq: i64,
    /// Category of the own stream.
    pub category: &'a str,
    /// Own stream.
    pub stream_id: Uuid,
    /// Version in the own stream.
    pub version: i64,
    /// Type.
    pub event_type: &'a str,
    /// Version of the payload's shape.
    pub schema_version: i16,
    /// When it was recorded.
    pub time: DateTime<Utc>,
    /// Where in the log.
    pub position: LogPosition,
    /// Who and because of what, if that can be read.
    pub meta: Option<&'a Meta>,
}
