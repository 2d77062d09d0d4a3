//! What a registration says, and how it becomes another.

use super::super::ApplicationEvent;
use super::super::error::ApplicationError;
use super::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, GRANTS_MAX, GrantsChanged, LiveService, RedirectUri,
    RedirectUrisChanged, SCOPES_MAX, SERVICE_NAME_SCOPE, ScopesChanged, ServiceRenamed, URIS_MAX, known,
    stream,
};
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::ServiceId;
use crate::metadata::Label;
use crate::stream::StreamId;
use crate::words::{Scope, Word};

pub(super) fn take(name: &Label) -> Claim {
    let taken = ApplicationError::ServiceNameTaken { name: name.to_string() }.into();
    Claim::Take { scope: SERVICE_NAME_SCOPE.to_owned(), value: name.as_str().to_lowercase(), taken }
}

pub(super) fn release(name: &Label) -> Claim {
    Claim::Release { scope: SERVICE_NAME_SCOPE.to_owned(), value: name.as_str().to_lowercase() }
}

/// What a service is registered with, as a whole that makes sense; each list in order, each thing once.
pub(super) struct Registered {
    pub(super) redirect_uris: Vec<RedirectUri>,
    pub(super) grants: Vec<Word>,
    pub(super) scopes: Vec<Scope>,
}

impl Registered {
    /// # Errors
    /// [`ApplicationError::LimitReached`], [`ApplicationError::GrantMissing`],
    /// [`ApplicationError::RedirectUriMissing`], [`ApplicationError::PublicService`].
    pub(super) fn of(
        confidential: bool,
        redirect_uris: &[RedirectUri],
        grants: &[Word],
        scopes: &[Scope],
    ) -> Result<Self, ApplicationError> {
        let redirect_uris = sorted(redirect_uris, "redirect_uris", URIS_MAX)?;
        let grants = sorted(grants, "grants", GRANTS_MAX)?;
        let scopes = sorted(scopes, "scopes", SCOPES_MAX)?;
        let has = |grant: &str| grants.iter().any(|it| it.as_str() == grant);
        if grants.is_empty() {
            return Err(ApplicationError::GrantMissing);
        }
        if has(AUTHORIZATION_CODE) && redirect_uris.is_empty() {
            return Err(ApplicationError::RedirectUriMissing);
        }
        if has(CLIENT_CREDENTIALS) && !confidential {
            return Err(ApplicationError::PublicService);
        }
        Ok(Self { redirect_uris, grants, scopes })
    }
}

/// A list in order, each once, if it is not too long.
fn sorted<T: Clone + Ord>(list: &[T], what: &'static str, max: usize) -> Result<Vec<T>, ApplicationError> {
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() > max {
        return Err(ApplicationError::LimitReached { what, max: u32::try_from(max).unwrap_or(u32::MAX) });
    }
    Ok(sorted)
}

/// Makes the registration of a service another one; what is nothing here stays. The rules of registering hold for the whole as
/// it is afterwards, so what depends on each other changes at once. Already so, if it is registered so.
///
/// What a scope or a grant was good for ends with it, at once: see [`LiveService::may_ask`] and [`LiveService::is_granted`].
/// What people allowed stays theirs to take back, and means something again if it is registered again.
///
/// Refused with [`ApplicationError::ServiceNotFound`], what registering refuses of lists and grants, and
/// [`ApplicationError::ServiceNameTaken`].
#[derive(Debug, Clone)]
pub struct ChangeService {
    /// Which.
    pub service_id: ServiceId,
    /// What it will be called.
    pub name: Option<Label>,
    /// Where it will send people back to.
    pub redirect_uris: Option<Vec<RedirectUri>>,
    /// What it will be granted.
    pub grants: Option<Vec<Word>>,
    /// What it may ask for.
    pub scopes: Option<Vec<Scope>>,
}

impl ChangeService {
    /// Changes nothing yet.
    #[must_use]
    pub const fn of(service_id: ServiceId) -> Self {
        Self { service_id, name: None, redirect_uris: None, grants: None, scopes: None }
    }

    fn registered(&self, before: &LiveService) -> Result<Registered, ApplicationError> {
        Registered::of(
            before.confidential,
            self.redirect_uris.as_ref().unwrap_or(&before.redirect_uris),
            self.grants.as_ref().unwrap_or(&before.grants),
            self.scopes.as_ref().unwrap_or(&before.scopes),
        )
    }
}

impl Decision for ChangeService {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (service_id, at) = (self.service_id, view.now);
        let before = known(view, service_id)?;
        let Registered { redirect_uris, grants, scopes } = self.registered(before)?;
        let mut events = Vec::new();
        let renamed = self.name.as_ref().filter(|it| **it != before.name);
        if let Some(name) = renamed {
            let (before, name) = (before.name.clone(), name.clone());
            events.push(ApplicationEvent::ServiceRenamed(ServiceRenamed { service_id, before, name, at }));
        }
        if redirect_uris != before.redirect_uris {
            let before = before.redirect_uris.clone();
            let changed = RedirectUrisChanged { service_id, before, redirect_uris, at };
            events.push(ApplicationEvent::RedirectUrisChanged(changed));
        }
        if grants != before.grants {
            let before = before.grants.clone();
            events.push(ApplicationEvent::GrantsChanged(GrantsChanged { service_id, before, grants, at }));
        }
        if scopes != before.scopes {
            let before = before.scopes.clone();
            events.push(ApplicationEvent::ScopesChanged(ScopesChanged { service_id, before, scopes, at }));
        }
        let mut events = events.into_iter();
        let Some(first) = events.next() else { return Ok(Verdict::already(stream(service_id))) };
        let mut verdict = Verdict::done(stream(service_id), first);
        verdict.events.extend(events.map(Into::into));
        let claims = renamed.map(|name| [release(&before.name), take(name)]);
        Ok(verdict.with_claims(claims.into_iter().flatten()))
    }
}
