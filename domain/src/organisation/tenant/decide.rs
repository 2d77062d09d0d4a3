//! How an organisation is asked for and decided about.
//!
//! | from | approve | reject | suspend | reactivate | close |
//! |---|---|---|---|---|---|
//! | pending | active | rejected | no | no | closed |
//! | active | already | no | suspended | already | closed |
//! | suspended | no | no | already | active | closed |
//! | rejected | no | already | no | no | no |
//! | closed | no | no | no | no | already |

use uuid::Uuid;

use super::super::OrganisationEvent;
use super::super::error::OrganisationError;
use super::reserved::SLUGS_RESERVED;
use super::{
    Dossier, Slug, Tenant, TenantApproved, TenantClosed, TenantError, TenantReactivated, TenantRejected,
    TenantRenamed, TenantRequested, TenantSuspended, TenantTierChanged, release, stream, take,
};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::{ActorId, TenantId, UserId};
use crate::metadata::Label;
use crate::organisation::TenantStatus;
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::Word;

fn find<'a>(view: &View<'a>, id: TenantId) -> Result<&'a Tenant, OrganisationError> {
    match view.find::<Tenant>(id.uuid()).map(|seen| seen.state) {
        Some(Tenant::Absent) | None => Err(OrganisationError::TenantNotFound),
        Some(tenant) => Ok(tenant),
    }
}

fn wrong(tenant: &Tenant) -> OrganisationError {
    let status = match tenant {
        Tenant::Absent => TenantStatus::Unknown,
        Tenant::Pending(_) => TenantStatus::Pending,
        Tenant::Active(_) => TenantStatus::Active,
        Tenant::Suspended(_) => TenantStatus::Suspended,
        Tenant::Rejected(_) => TenantStatus::Rejected,
        Tenant::Closed(_) => TenantStatus::Closed,
    };
    OrganisationError::WrongState { status: status.word() }
}

/// Asks for an organisation. Repeating it word for word changes nothing.
///
/// Refused with [`OrganisationError::SlugReserved`], [`TenantError::Exists`], [`TenantError::SlugTaken`].
#[derive(Debug, Clone)]
pub struct RequestTenant {
    /// Its identifier, given by the caller.
    pub tenant_id: TenantId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
    /// The user, in its own log, who asks for it.
    pub founder: UserId,
}

impl Decision for RequestTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if SLUGS_RESERVED.contains(&self.slug.as_str()) {
            return Err(OrganisationError::SlugReserved.into());
        }
        let primary = stream(self.tenant_id);
        let asked = Dossier {
            slug: self.slug.clone(),
            name: self.name.clone(),
            founder: Some(self.founder),
            tier: None,
        };
        match find(view, self.tenant_id) {
            Ok(Tenant::Pending(known)) if *known == asked => return Ok(Verdict::already(primary)),
            Ok(_) => return Err(TenantError::Exists.into()),
            Err(_) => {}
        }
        let event = OrganisationEvent::TenantRequested(TenantRequested {
            tenant_id: self.tenant_id,
            slug: asked.slug,
            name: asked.name,
            founder: self.founder,
            at: view.now,
        });
        Ok(Verdict::created(primary, event).with_claims([take(&self.slug)]))
    }
}

/// Lets an organisation work. Already so, if it may. Whoever asked for it does not decide about it.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`],
/// [`OrganisationError::ApproverIsRequester`].
#[derive(Debug, Clone)]
pub struct ApproveTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decides, of the platform's staff.
    pub by: ActorId,
    /// The users in the organisation's log who are the same person, by a link or by the same address.
    pub is: Vec<UserId>,
}

impl Decision for ApproveTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let dossier = match find(view, self.tenant_id)? {
            Tenant::Pending(dossier) => dossier,
            Tenant::Active(_) => return Ok(Verdict::already(stream(self.tenant_id))),
            other => return Err(wrong(other).into()),
        };
        if dossier.founder.is_some_and(|it| it.actor() == self.by || self.is.contains(&it)) {
            return Err(OrganisationError::ApproverIsRequester.into());
        }
        let event = TenantApproved { tenant_id: self.tenant_id, by: self.by, at: view.now };
        Ok(Verdict::done(stream(self.tenant_id), OrganisationEvent::TenantApproved(event)))
    }
}

/// Refuses an organisation that somebody asked for; its name in addresses is free again. Already so, if it was refused.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct RejectTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decides.
    pub by: ActorId,
    /// Why, in words for the founder, private to them.
    pub reason: Option<Private>,
}

impl Decision for RejectTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.reason.iter().map(Private::subject).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let dossier = match find(view, self.tenant_id)? {
            Tenant::Pending(dossier) => dossier,
            Tenant::Rejected(_) => return Ok(Verdict::already(stream(self.tenant_id))),
            other => return Err(wrong(other).into()),
        };
        let event = OrganisationEvent::TenantRejected(TenantRejected {
            tenant_id: self.tenant_id,
            by: self.by,
            reason: self.reason.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.tenant_id), event).with_claims([release(&dossier.slug)]))
    }
}

/// Forbids an organisation to work for the time being. Already so, if it may not.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct SuspendTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decides.
    pub by: ActorId,
    /// Why, such as `unpaid`, `abuse`.
    pub because: Word,
    /// Why, in words for the founder, private to them.
    pub reason: Option<Private>,
}

impl Decision for SuspendTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.reason.iter().map(Private::subject).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match find(view, self.tenant_id)? {
            Tenant::Active(_) => {}
            Tenant::Suspended(_) => return Ok(Verdict::already(stream(self.tenant_id))),
            other => return Err(wrong(other).into()),
        }
        let event = OrganisationEvent::TenantSuspended(TenantSuspended {
            tenant_id: self.tenant_id,
            by: self.by,
            because: self.because.clone(),
            reason: self.reason.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.tenant_id), event))
    }
}

/// Lets a suspended organisation work again. Already so, if it may.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct ReactivateTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decides.
    pub by: ActorId,
}

impl Decision for ReactivateTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match find(view, self.tenant_id)? {
            Tenant::Suspended(_) => {}
            Tenant::Active(_) => return Ok(Verdict::already(stream(self.tenant_id))),
            other => return Err(wrong(other).into()),
        }
        let event = TenantReactivated { tenant_id: self.tenant_id, by: self.by, at: view.now };
        Ok(Verdict::done(stream(self.tenant_id), OrganisationEvent::TenantReactivated(event)))
    }
}

/// Ends an organisation for ever. Already so, if it has ended.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct CloseTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decides.
    pub by: ActorId,
    /// Why, such as `asked`.
    pub because: Word,
}

impl Decision for CloseTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match find(view, self.tenant_id)? {
            Tenant::Pending(_) | Tenant::Active(_) | Tenant::Suspended(_) => {}
            Tenant::Closed(_) => return Ok(Verdict::already(stream(self.tenant_id))),
            other => return Err(wrong(other).into()),
        }
        let event = OrganisationEvent::TenantClosed(TenantClosed {
            tenant_id: self.tenant_id,
            by: self.by,
            because: self.because.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.tenant_id), event))
    }
}

/// Gives an organisation another name for people. Already so, if it has it.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct RenameTenant {
    /// Which.
    pub tenant_id: TenantId,
    /// What it will be called.
    pub name: Label,
}

impl Decision for RenameTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let dossier = match find(view, self.tenant_id)? {
            Tenant::Pending(dossier) | Tenant::Active(dossier) => dossier,
            other => return Err(wrong(other).into()),
        };
        if dossier.name == self.name {
            return Ok(Verdict::already(stream(self.tenant_id)));
        }
        let event = OrganisationEvent::TenantRenamed(TenantRenamed {
            tenant_id: self.tenant_id,
            before: dossier.name.clone(),
            name: self.name.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.tenant_id), event))
    }
}

/// Changes nothing, and demands that there is such an organisation: part of a unit whose other commands are in its own log.
///
/// Refused with [`OrganisationError::TenantNotFound`].
#[derive(Debug, Clone, Copy)]
pub struct ExistingTenant {
    /// Which.
    pub tenant_id: TenantId,
}

impl Decision for ExistingTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        find(view, self.tenant_id)?;
        Ok(Verdict::already(stream(self.tenant_id)))
    }
}

/// Notes what an organisation has booked. Already so, if it is noted.
///
/// Refused with [`OrganisationError::TenantNotFound`], [`OrganisationError::WrongState`].
#[derive(Debug, Clone)]
pub struct ChangeTier {
    /// Which.
    pub tenant_id: TenantId,
    /// What it has booked.
    pub tier: Word,
    /// Who decides.
    pub by: ActorId,
}

impl Decision for ChangeTier {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let dossier = match find(view, self.tenant_id)? {
            Tenant::Pending(dossier) | Tenant::Active(dossier) | Tenant::Suspended(dossier) => dossier,
            other => return Err(wrong(other).into()),
        };
        if dossier.tier.as_ref() == Some(&self.tier) {
            return Ok(Verdict::already(stream(self.tenant_id)));
        }
        let event = OrganisationEvent::TenantTierChanged(TenantTierChanged {
            tenant_id: self.tenant_id,
            before: dossier.tier.clone(),
            tier: self.tier.clone(),
            by: self.by,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.tenant_id), event))
    }
}
