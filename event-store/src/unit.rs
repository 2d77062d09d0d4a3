//! What is submitted and what comes back.

use std::collections::HashSet;

pub use domain::batch::NOT_APPLIED;
use domain::ids::{ActorId, SessionId, TenantId, TokenId};
use domain::{Decision, Outcome, Refusal, StreamId};
use event_schemas::envelope::{LogPosition, Origin};
use uuid::Uuid;

use crate::idempotency::IdempotencyKey;
use crate::vault::VaultChange;

/// Who asks, from where and because of what.
#[derive(Debug, Clone)]
pub struct Cause {
    /// Who acts.
    pub actor: ActorId,
    /// The access token or API key that was used.
    pub token: Option<TokenId>,
    /// The session in which it is done, if a person does it.
    pub session: Option<SessionId>,
    /// In whose place the actor acts, if not in their own.
    pub on_behalf_of: Option<ActorId>,
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
            session: None,
            on_behalf_of: None,
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
    /// Whose caller asks, and under whom the answer is remembered.
    pub tenant: TenantId,
    /// Who asks.
    pub cause: Cause,
    /// Who asks, as the logs of some tenants are to tell it: a person who is another user there, of whom neither log may say
    /// who they are in the other one.
    pub causes_elsewhere: Vec<(TenantId, Cause)>,
    /// Under which key the answer is remembered.
    pub key: Option<IdempotencyKey>,
    /// The version that a stream must have, as the caller saw it.
    pub expected: Option<(StreamId, i64)>,
    /// Streams that cannot exist yet, since their ids were made for this unit a moment ago: nobody looks for them before
    /// the commands are judged. Should one exist all the same, the append finds it, and they are judged again on what it is.
    pub minted: HashSet<StreamId>,
    /// How the commands stand to each other.
    pub linkage: Linkage,
    /// What is judged before all commands and refuses every one of them, however they stand to each other: what must be so in
    /// a log that they need not be about. It says nothing, and has no result of its own.
    pub proviso: Option<Placed>,
    /// The commands, judged in order, each on the state that those before it left.
    pub decisions: Vec<Placed>,
    /// What changes with them in the tables of secrets, if they append anything.
    pub vault: Vec<VaultChange>,
}

/// A command, and whose streams it is about.
pub struct Placed {
    /// Whose streams it reads and writes.
    pub tenant: TenantId,
    /// The command.
    pub decision: Box<dyn Decision>,
}

impl Unit {
    /// A unit of one command.
    #[must_use]
    pub fn new(tenant: TenantId, cause: Cause, decision: impl Decision + 'static) -> Self {
        Self::empty(tenant, cause).and(tenant, decision)
    }

    /// A unit of commands about one tenant's streams.
    #[must_use]
    pub fn of(
        tenant: TenantId,
        cause: Cause,
        decisions: impl IntoIterator<Item = Box<dyn Decision>>,
    ) -> Self {
        let decisions = decisions.into_iter().map(|decision| Placed { tenant, decision }).collect();
        Self { decisions, ..Self::empty(tenant, cause) }
    }

    /// A unit without commands, to be filled.
    #[must_use]
    pub fn empty(tenant: TenantId, cause: Cause) -> Self {
        Self {
            tenant,
            cause,
            causes_elsewhere: Vec::new(),
            key: None,
            expected: None,
            minted: HashSet::new(),
            linkage: Linkage::AllOrNone,
            proviso: None,
            decisions: Vec::new(),
            vault: Vec::new(),
        }
    }

    /// Adds a command, which may be about another tenant's streams: all happens in one transaction.
    #[must_use]
    pub fn and(mut self, tenant: TenantId, decision: impl Decision + 'static) -> Self {
        self.decisions.push(Placed { tenant, decision: Box::new(decision) });
        self
    }

    /// Lets nothing of it happen unless `proviso`, about a tenant's streams, is not refused at the commit.
    #[must_use]
    pub fn provided(mut self, tenant: TenantId, proviso: impl Decision + 'static) -> Self {
        self.proviso = Some(Placed { tenant, decision: Box::new(proviso) });
        self
    }

    /// Changes tables of secrets in the same transaction, provided that the commands append something.
    #[must_use]
    pub fn with_vault(mut self, changes: impl IntoIterator<Item = VaultChange>) -> Self {
        self.vault.extend(changes);
        self
    }

    /// Says who asks as the log of another tenant is to tell it.
    #[must_use]
    pub fn told_in(mut self, tenant: TenantId, cause: Cause) -> Self {
        self.causes_elsewhere.push((tenant, cause));
        self
    }

    /// Who asks, as the log of a tenant tells it.
    pub(crate) fn cause_in(&self, tenant: TenantId) -> &Cause {
        let elsewhere = self.causes_elsewhere.iter().find(|(there, _)| *there == tenant);
        elsewhere.map_or(&self.cause, |(_, cause)| cause)
    }

    /// Everything in it that is judged.
    pub(crate) fn judged(&self) -> impl Iterator<Item = &Placed> {
        self.proviso.iter().chain(&self.decisions)
    }

    /// The tenants that it touches, in no order and perhaps repeated.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        std::iter::once(self.tenant).chain(self.judged().map(|it| it.tenant))
    }

    /// The persons whose keys it is written with: who asks, in each tenant's log if it is said from where, and whom the
    /// commands say something private about.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (TenantId, Uuid)> {
        self.decisions.iter().flat_map(|it| {
            let cause = self.cause_in(it.tenant);
            let actor = cause.origin.as_ref().map(|_| cause.actor.uuid());
            actor.into_iter().chain(it.decision.subjects()).map(|subject| (it.tenant, subject))
        })
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

/// The code of a unit whose expected version is not the stream's.
pub const VERSION_MISMATCH: &str = "precondition.version-mismatch";

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

impl Done {
    /// Whether the stream began with it.
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.outcome == Outcome::Created
    }
}
