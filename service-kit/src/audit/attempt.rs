//! What makes attempts identical, and what is recorded of them. Beyond what is told apart exactly, they are told apart by who,
//! what and which kind of thing only; beyond that they are one number ([`crate::tally`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::audit::{AttemptRefused, AuditEvent, DataRead, RefusalsCounted};
use domain::ids::{ActorId, TenantId};

use super::Kind;
use crate::access::Caller;
use crate::tally::Alike;

/// What was attempted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// It was refused.
    Refused {
        /// What kind of attempt.
        kind: Kind,
        /// With which code.
        code: Cow<'static, str>,
        /// And HTTP status.
        status: u16,
    },
    /// Sensitive data was read.
    Read {
        /// By what it was narrowed.
        filters: BTreeMap<String, String>,
    },
    /// More was refused than is told apart.
    Rest,
}

/// What makes attempts identical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    tenant: TenantId,
    actor: ActorId,
    /// Who acts in that one's place, if somebody does: that is never counted as the same.
    acts: Option<ActorId>,
    action: &'static str,
    resource: String,
    what: What,
}

impl Attempt {
    /// An attempt of a caller.
    #[must_use]
    pub fn new(caller: &Caller, action: &'static str, resource: &str, what: What) -> Self {
        let Caller { tenant, actor, acts, .. } = *caller;
        Self { tenant, actor, acts, action, resource: resource.to_owned(), what }
    }

    pub(super) fn is_refused(&self) -> bool {
        !matches!(self.what, What::Read { .. })
    }

    /// What is recorded of so many of them.
    #[must_use]
    pub fn event(&self, count: u64, first_at: DateTime<Utc>, last_at: DateTime<Utc>) -> AuditEvent {
        let (action, resource) = (self.action.to_owned(), self.resource.clone());
        match &self.what {
            What::Refused { kind, code, status } => {
                let (code, status) = (code.clone().into_owned(), *status);
                let refused = AttemptRefused { action, resource, code, status, count, first_at, last_at };
                match kind {
                    Kind::Command => AuditEvent::CommandRefused(refused),
                    Kind::Read => AuditEvent::ReadRefused(refused),
                }
            }
            What::Read { filters } => {
                let filters = filters.clone();
                AuditEvent::DataRead(DataRead { action, resource, filters, count, first_at, last_at })
            }
            What::Rest => AuditEvent::RefusalsCounted(RefusalsCounted { count, first_at, last_at }),
        }
    }
}

impl Alike for Attempt {
    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn rest(tenant: TenantId) -> Self {
        let actor = ActorId::SYSTEM;
        Self { tenant, actor, acts: None, action: "", resource: String::new(), what: What::Rest }
    }
}
