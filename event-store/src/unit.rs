//! What is submitted and what comes back.

use std::collections::HashSet;

use domain::ids::{ActorId, TenantId, TokenId};
use domain::{CodeDoc, Decision, ErrorKind, Outcome, Refusal, StreamId};
use event_schemas::envelope::{LogPosition, Origin};
use uuid::Uuid;

use crate::idempotency::IdempotencyKey;

/// Who asks, from where and because of what.
#[derive(Debug, Clone)]
pub struct Cause {
    /// Who acts.
    pub actor: ActorId,
    /// The access token that was used.
    pub token: Option<TokenId>,
    /// Ties together everything that follows from one request.
    pub correlation: Uuid,
    /// The event or command that caused this one.
    pub causation: Option<Uuid>,
    /// W3C trace id.
    pub trace: Option<String>,
    /// W3C id of the request's span, if the trace is recorded somewhere.
    pub span: Option<String>,
    /// Address and user agent, sealed before they are stored.
    pub origin: Option<Origin>,
}

impl Cause {
    /// The product's own processes, acting on what they found in the log.
    #[must_use]
    pub fn system(correlation: Uuid) -> Self {
        Self {
            actor: ActorId::SYSTEM,
            token: None,
            correlation,
            causation: None,
            trace: None,
            span: None,
            origin: None,
        }
    }
}

/// How the commands of a unit stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// All happen, or none does.
    AllOrNone,
    /// Each happens or is refused by itself; still in one transaction and with one remembered answer.
    Each,
}

/// Commands with one transaction and one remembered answer.
pub struct Unit {
    /// Whose streams it reads and writes.
    pub tenant: TenantId,
    /// Who asks.
    pub cause: Cause,
    /// Under which key the answer is remembered.
    pub key: Option<IdempotencyKey>,
    /// The version that a stream must have, as the caller saw it.
    pub expected: Option<(StreamId, i64)>,
    /// Streams that cannot exist yet, since their ids were made for this unit a moment ago: nobody looks for them before
    /// the commands are judged. Should one exist all the same, the append finds it, and they are judged again on what it is.
    pub minted: HashSet<StreamId>,
    /// How the commands stand to each other.
    pub linkage: Linkage,
    /// The commands, judged in order, each on the state that those before it left.
    pub decisions: Vec<Box<dyn Decision>>,
}

impl Unit {
    /// A unit of one command.
    #[must_use]
    pub fn new(tenant: TenantId, cause: Cause, decision: impl Decision + 'static) -> Self {
        Self { decisions: vec![Box::new(decision)], ..Self::empty(tenant, cause) }
    }

    /// A unit without commands, to be filled.
    #[must_use]
    pub fn empty(tenant: TenantId, cause: Cause) -> Self {
        Self {
            tenant,
            cause,
            key: None,
            expected: None,
            minted: HashSet::new(),
            linkage: Linkage::AllOrNone,
            decisions: Vec::new(),
        }
    }

    /// Remembers the answer under `key`.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Says that the id of a stream was made for this unit.
    #[must_use]
    pub fn minting(mut self, stream: StreamId) -> Self {
        self.minted.insert(stream);
        self
    }

    /// Demands the version of a stream.
    #[must_use]
    pub fn expecting(mut self, expected: Option<(StreamId, i64)>) -> Self {
        self.expected = expected;
        self
    }
}

/// The answer to a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Up to here the log contains what the answer says.
    pub position: LogPosition,
    /// Whether this is the first answer given again.
    pub replayed: bool,
    /// One result a command, in order. If one of an [`Linkage::AllOrNone`] unit is refused, the others carry
    /// [`NOT_APPLIED`].
    pub results: Vec<Result<Done, Refusal>>,
}

/// The code of commands that were fine themselves but belong to a unit in which another was refused.
pub const NOT_APPLIED: &str = "batch.not-applied";

/// The code of a unit whose expected version is not the stream's.
pub const VERSION_MISMATCH: &str = "precondition.version-mismatch";

/// The reference of the refusals that the store itself gives; that of a version is of the edge.
pub const CODES: &[CodeDoc] = &[CodeDoc::new(
    ErrorKind::Conflict,
    NOT_APPLIED,
    "nothing was done, since another item of the same atomic batch was refused",
    "look at the item that `item` in `details` names, mend it, and send the batch under a fresh key",
)];

/// A command that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// What it was about.
    pub stream: StreamId,
    /// That stream's version afterwards.
    pub version: i64,
    /// Whether the stream began with it.
    pub outcome: Outcome,
}
