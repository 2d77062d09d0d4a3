//! What a command is to the executor: the streams that it reads and a pure judgement over their states.

use std::any::Any;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::aggregate::Aggregate;
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
use crate::stream::StreamId;

/// How often [`Decision::needs`] may have to be asked: a hold names its accounts, an account its holds that fell due,
/// and each of these holds its own accounts.
pub const ROUNDS_MAX: usize = 4;

/// A command, ready to be judged. Pure: it may be asked any number of times, on any states, and must say the same.
pub trait Decision: Send + Sync {
    /// What people who run the product call it: the name of its type. Not a contract with anybody.
    fn name(&self) -> &'static str {
        let path = std::any::type_name::<Self>();
        path.rsplit("::").next().unwrap_or(path)
    }

    /// The streams whose states it wants to see. Asked again while the answer grows ([`ROUNDS_MAX`] at most), so a
    /// stream named by another's state can be wanted as well. Every stream that its events touch is among them.
    fn needs(&self, view: &View<'_>) -> Vec<StreamId>;

    /// The persons about whom its events say something private, so that their keys are at hand when it is written.
    fn subjects(&self) -> Vec<Uuid> {
        Vec::new()
    }

    /// What has fallen due on the states it read and must be recorded first, each in a unit of its own.
    fn overdue(&self, _view: &View<'_>) -> Vec<Box<dyn Decision>> {
        Vec::new()
    }

    /// Judges the command on the states of `view`.
    ///
    /// # Errors
    /// The refusal that comes first in the documented order of precedence.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal>;
}

/// Where a [`View`] finds states. The executor and the tests' given/when/then kit implement it.
pub trait StateSource {
    /// The version of a stream and its state; `None` while it has not been loaded.
    fn find(&self, stream: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))>;
}

/// What a decision sees: the tenant, the time, and the states it asked for.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Whose streams these are.
    pub tenant: TenantId,
    /// The time of the decision: never before the newest recorded event.
    pub now: DateTime<Utc>,
    states: &'a dyn StateSource,
}

impl<'a> View<'a> {
    /// Shows `states` as of `now`.
    #[must_use]
    pub fn new(tenant: TenantId, now: DateTime<Utc>, states: &'a dyn StateSource) -> Self {
        Self { tenant, now, states }
    }

    /// The state of a stream, or `None` while it has not been loaded. A stream without events is loaded, with
    /// version 0 and the aggregate's default.
    #[must_use]
    pub fn find<A: Aggregate>(&self, id: Uuid) -> Option<Seen<'a, A>> {
        let (version, state) = self.states.find(StreamId::new(A::CATEGORY, id))?;
        state.downcast_ref().map(|state| Seen { version, state })
    }
}

/// A state and the version of its stream.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a, A> {
    /// How many events the stream has; 0 means that there is none yet.
    pub version: i64,
    /// What they add up to.
    pub state: &'a A,
}

/// The answer "yes" to a command.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The stream that the answer is about: its id and version are told to the caller.
    pub primary: StreamId,
    /// Whether something came to be or an existing thing changed.
    pub outcome: Outcome,
    /// What happened. Empty means "already so": a retry is not an error.
    pub events: Vec<Event>,
    /// Unique values taken and given up with these events.
    pub claims: Vec<Claim>,
    /// The decision holds only while the time is before this, for decisions that rest on a deadline not yet reached.
    pub valid_until: Option<DateTime<Utc>>,
}

/// How a command succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The primary stream begins with this command.
    Created,
    /// The primary stream was there before.
    Done,
}

impl Verdict {
    /// `primary` begins with `event`.
    #[must_use]
    pub fn created(primary: StreamId, event: impl Into<Event>) -> Self {
        Self {
            primary,
            outcome: Outcome::Created,
            events: vec![event.into()],
            claims: vec![],
            valid_until: None,
        }
    }

    /// `primary` changed by `event`.
    #[must_use]
    pub fn done(primary: StreamId, event: impl Into<Event>) -> Self {
        Self { outcome: Outcome::Done, ..Self::created(primary, event) }
    }

    /// Nothing to do: the state is what the command asks for.
    #[must_use]
    pub fn already(primary: StreamId) -> Self {
        Self { primary, outcome: Outcome::Done, events: vec![], claims: vec![], valid_until: None }
    }

    /// Takes or gives up unique values together with the events.
    #[must_use]
    pub fn with_claims(mut self, claims: impl IntoIterator<Item = Claim>) -> Self {
        self.claims.extend(claims);
        self
    }

    /// Limits the verdict to the time before `deadline`.
    #[must_use]
    pub fn valid_until(mut self, deadline: Option<DateTime<Utc>>) -> Self {
        self.valid_until = deadline;
        self
    }
}

/// A unique value within a tenant and scope, held by a stream.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Takes the value, or refuses the whole unit with `taken` if somebody holds it.
    Take {
        /// What kind of value.
        scope: String,
        /// The value.
        value: String,
        /// The answer if it is held already.
        taken: Refusal,
    },
    /// Gives the value up.
    Release {
        /// What kind of value.
        scope: String,
        /// The value.
        value: String,
    },
}
