//! How services come and go, may work, and have secrets. What changes of a registration is in `change.rs`.

use chrono::{DateTime, Utc};

use super::super::ApplicationEvent;
use super::super::error::ApplicationError;
use super::super::inventory::{self, Inventory};
use super::change::{Registered, release, take};
use super::{
    RedirectUri, SECRETS_MAX, Secret, SecretAdded, SecretRemoved, Service, ServiceLimited, ServiceLimits,
    ServiceRegistered, ServiceRemoved, ServiceResumed, ServiceSuspended, ServiceUnlimited, known, stream,
};
use crate::allowance::{self, Allowance};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::{SecretId, ServiceId};
use crate::metadata::Label;
use crate::stream::StreamId;
use crate::words::{Scope, Word};

/// Why a secret is removed whose time is over.
const EXPIRED: Word = Word::of("expired");

/// Registers a service.
///
/// Refused with [`ApplicationError::LimitReached`] for its lists, [`ApplicationError::GrantMissing`],
/// [`ApplicationError::RedirectUriMissing`], [`ApplicationError::PublicService`],
/// [`ApplicationError::ServiceExists`], [`ApplicationError::LimitReached`] for services,
/// [`ApplicationError::ServiceNameTaken`].
#[derive(Debug, Clone)]
pub struct RegisterService {
    /// Its identifier, given by the caller.
    pub service_id: ServiceId,
    /// Its name for people.
    pub name: Label,
    /// Whether it can keep a secret.
    pub confidential: bool,
    /// Where it sends people back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it is granted, such as `authorization-code`.
    pub grants: Vec<Word>,
    /// What it may ask for.
    pub scopes: Vec<Scope>,
    /// How often it may ask, if that is set.
    pub limits: Option<ServiceLimits>,
}

impl Decision for RegisterService {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id), inventory::stream(view.tenant), allowance::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let Registered { redirect_uris, grants, scopes } =
            Registered::of(self.confidential, &self.redirect_uris, &self.grants, &self.scopes)?;
        let before = view.find::<Service>(self.service_id.uuid()).map(|seen| seen.state);
        if before.is_some_and(|it| *it != Service::Absent) {
            return Err(ApplicationError::ServiceExists.into());
        }
        let event = ApplicationEvent::ServiceRegistered(ServiceRegistered {
            tenant_id: view.tenant,
            service_id: self.service_id,
            name: self.name.clone(),
            confidential: self.confidential,
            redirect_uris,
            grants,
            scopes,
            limits: self.limits,
            inventory: Inventory::of(view).with_service(Allowance::of(view))?,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.service_id), event).with_claims([take(&self.name)]))
    }
}

/// Says how often a service may ask. Already so, if it may.
///
/// Refused with [`ApplicationError::ServiceNotFound`].
#[derive(Debug, Clone)]
pub struct LimitService {
    /// Which.
    pub service_id: ServiceId,
    /// How often.
    pub limits: ServiceLimits,
}

impl Decision for LimitService {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if known(view, self.service_id)?.limits == Some(self.limits) {
            return Ok(Verdict::already(stream(self.service_id)));
        }
        let event = ServiceLimited { service_id: self.service_id, limits: self.limits, at: view.now };
        Ok(Verdict::done(stream(self.service_id), ApplicationEvent::ServiceLimited(event)))
    }
}

/// Lets a service ask as often as its organisation has booked. Already so, if nothing else was said of it.
///
/// Refused with [`ApplicationError::ServiceNotFound`].
#[derive(Debug, Clone)]
pub struct UnlimitService {
    /// Which.
    pub service_id: ServiceId,
}

impl Decision for UnlimitService {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if known(view, self.service_id)?.limits.is_none() {
            return Ok(Verdict::already(stream(self.service_id)));
        }
        let event = ServiceUnlimited { service_id: self.service_id, at: view.now };
        Ok(Verdict::done(stream(self.service_id), ApplicationEvent::ServiceUnlimited(event)))
    }
}

/// Forbids a service to work for the time being. Already so, if it may not.
///
/// Refused with [`ApplicationError::ServiceNotFound`].
#[derive(Debug, Clone)]
pub struct SuspendService {
    /// Which.
    pub service_id: ServiceId,
    /// Why.
    pub because: Word,
}

impl Decision for SuspendService {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        known(view, self.service_id)?;
        let before = view.find::<Service>(self.service_id.uuid()).map(|seen| seen.state);
        if matches!(before, Some(Service::Suspended(_))) {
            return Ok(Verdict::already(stream(self.service_id)));
        }
        let event =
            ServiceSuspended { service_id: self.service_id, because: self.because.clone(), at: view.now };
        Ok(Verdict::done(stream(self.service_id), ApplicationEvent::ServiceSuspended(event)))
    }
}

/// Lets a service work again. Already so, if it may.
///
/// Refused with [`ApplicationError::ServiceNotFound`].
#[derive(Debug, Clone)]
pub struct ResumeService {
    /// Which.
    pub service_id: ServiceId,
}

impl Decision for ResumeService {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        known(view, self.service_id)?;
        let before = view.find::<Service>(self.service_id.uuid()).map(|seen| seen.state);
        if matches!(before, Some(Service::Active(_))) {
            return Ok(Verdict::already(stream(self.service_id)));
        }
        let event = ServiceResumed { service_id: self.service_id, at: view.now };
        Ok(Verdict::done(stream(self.service_id), ApplicationEvent::ServiceResumed(event)))
    }
}

/// Removes a service; its name is free again. Already so, if it is gone.
///
/// Refused with [`ApplicationError::ServiceNotFound`].
#[derive(Debug, Clone)]
pub struct RemoveService {
    /// Which.
    pub service_id: ServiceId,
}

impl Decision for RemoveService {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id), inventory::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let before = view.find::<Service>(self.service_id.uuid()).map(|seen| seen.state);
        if matches!(before, Some(Service::Removed)) {
            return Ok(Verdict::already(stream(self.service_id)));
        }
        let service = known(view, self.service_id)?;
        let event = ApplicationEvent::ServiceRemoved(ServiceRemoved {
            tenant_id: view.tenant,
            service_id: self.service_id,
            inventory: Inventory::of(view).without_service(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.service_id), event).with_claims([release(&service.name)]))
    }
}

/// Gives a service one more secret, which the vault takes with it. Those that have expired are removed with that: they take
/// no place.
///
/// Refused with [`ApplicationError::ServiceNotFound`], [`ApplicationError::PublicService`],
/// [`ApplicationError::SecretExists`], [`ApplicationError::LimitReached`].
#[derive(Debug, Clone)]
pub struct AddSecret {
    /// Which service.
    pub service_id: ServiceId,
    /// The identifier of the secret, given by the caller.
    pub secret_id: SecretId,
    /// Until when it is good, if not for ever.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Decision for AddSecret {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let service = known(view, self.service_id)?;
        if !service.confidential {
            return Err(ApplicationError::PublicService.into());
        }
        if service.has_secret(self.secret_id) {
            return Err(ApplicationError::SecretExists.into());
        }
        let (over, good): (Vec<Secret>, Vec<Secret>) =
            service.secrets.iter().partition(|it| it.is_over(view.now));
        if good.len() >= SECRETS_MAX {
            return Err(ApplicationError::LimitReached { what: "secrets", max: 2 }.into());
        }
        let event = ApplicationEvent::SecretAdded(SecretAdded {
            service_id: self.service_id,
            secret_id: self.secret_id,
            expires_at: self.expires_at,
            at: view.now,
        });
        let removed = over.into_iter().map(|it| {
            ApplicationEvent::SecretRemoved(SecretRemoved {
                service_id: self.service_id,
                secret_id: it.secret_id,
                because: EXPIRED,
                at: view.now,
            })
        });
        let mut verdict = Verdict::done(stream(self.service_id), event);
        verdict.events.extend(removed.map(Into::into));
        Ok(verdict)
    }
}

/// Makes a secret of a service good no more.
///
/// Refused with [`ApplicationError::ServiceNotFound`], [`ApplicationError::SecretNotFound`].
#[derive(Debug, Clone)]
pub struct RemoveSecret {
    /// Which service.
    pub service_id: ServiceId,
    /// Which secret.
    pub secret_id: SecretId,
    /// Why, such as `asked`, `leaked`.
    pub because: Word,
}

impl Decision for RemoveSecret {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if !known(view, self.service_id)?.has_secret(self.secret_id) {
            return Err(ApplicationError::SecretNotFound.into());
        }
        let event = ApplicationEvent::SecretRemoved(SecretRemoved {
            service_id: self.service_id,
            secret_id: self.secret_id,
            because: self.because.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.service_id), event))
    }
}
