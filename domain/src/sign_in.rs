//! Starting a session: judged on the person and on the organisation together, whichever way they showed who they are.
//!
//! Every way in ends here (password, passkey, provider, code, device, switch), so what is looked at here is looked at on
//! every one of them, at the moment of the commit.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::application::consent;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::access_token::AccessTokenError;
use crate::identity::{
    Factors, IdentityError, IdentityEvent, Session, SessionStarted, assurance, factors, session, user,
};
use crate::ids::{ImpersonationId, ServiceId, SessionId, UserId};
use crate::organisation::{
    Membership, OrganisationError, Policy, Standing, TenantStatus, membership, policy, standing,
};
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::Word;

/// Starts a session.
///
/// Refused, in this order, with [`AccessTokenError::ExpiryInPast`], [`IdentityError::UserNotFound`],
/// [`IdentityError::PersonErased`], [`IdentityError::UserInactive`], [`IdentityError::CredentialChanged`],
/// [`IdentityError::EmailUnverified`], [`IdentityError::SecondFactorRequired`], [`OrganisationError::NotActive`], [`OrganisationError::NotAMember`],
/// [`IdentityError::SessionExists`].
#[derive(Debug, Clone)]
pub struct StartSession {
    /// Its identifier, given by the caller.
    pub session_id: SessionId,
    /// Who signed in.
    pub user_id: UserId,
    /// The number of the password that was checked, if one was: another one since then refuses the session.
    pub seen: Option<u32>,
    /// Whether the way in itself shows that the address is theirs.
    pub verified_by_method: bool,
    /// How they signed in, such as `password`, `passkey`, `github`.
    pub method: Word,
    /// What they showed, in the words of RFC 8176.
    pub amr: Vec<Word>,
    /// When they showed it.
    pub auth_time: DateTime<Utc>,
    /// When it ends at the latest. The organisation's policy may end it earlier.
    pub expires_at: DateTime<Utc>,
    /// The service that they signed in to, if it is not the product itself.
    pub service_id: Option<ServiceId>,
    /// What the person calls the device, private to them.
    pub device: Option<Private>,
    /// Staff of the platform act in it for the user.
    pub impersonation_id: Option<ImpersonationId>,
}

impl Decision for StartSession {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = vec![
            session::stream(self.session_id),
            user::stream(self.user_id),
            factors::stream(self.user_id),
            membership::stream(self.user_id),
            standing::stream(view.tenant),
            policy::stream(view.tenant),
        ];
        needs.extend(self.service_id.map(|it| consent::stream(self.user_id, it)));
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if self.expires_at <= view.now {
            return Err(AccessTokenError::ExpiryInPast.into());
        }
        let user = user::active(view, self.user_id)?;
        if self.seen.is_some_and(|it| it != user.credential_version) {
            return Err(IdentityError::CredentialChanged.into());
        }
        let policy = Policy::of(view).cloned().unwrap_or_default();
        if !(user.email_verified || self.verified_by_method || policy.sign_in_unverified) {
            return Err(IdentityError::EmailUnverified.into());
        }
        let factors =
            view.find::<Factors>(self.user_id.uuid()).is_some_and(|it| it.state.password_needs_code());
        if factors && self.impersonation_id.is_none() && !assurance::is_multi_factor(&self.amr) {
            return Err(IdentityError::SecondFactorRequired.into());
        }
        match Standing::of(view).status {
            TenantStatus::Active | TenantStatus::Pending => {}
            status => return Err(OrganisationError::NotActive { status: status.word() }.into()),
        }
        if !Membership::of(view, self.user_id).is_some_and(Membership::is_member) {
            return Err(OrganisationError::NotAMember.into());
        }
        let known = view.find::<Session>(self.session_id.uuid());
        if known.is_some_and(|seen| *seen.state != Session::Absent) {
            return Err(IdentityError::SessionExists.into());
        }
        let latest = view.now.checked_add_signed(policy.session_max()).unwrap_or(self.expires_at);
        let mut amr = Vec::new();
        let is_first = |(place, word): &(usize, &Word)| !self.amr.iter().take(*place).any(|it| it == *word);
        amr.extend(self.amr.iter().enumerate().filter(is_first).map(|(_, word)| word.clone()));
        let event = IdentityEvent::SessionStarted(SessionStarted {
            session_id: self.session_id,
            user_id: self.user_id,
            service_id: self.service_id,
            method: self.method.clone(),
            amr,
            auth_time: self.auth_time,
            expires_at: self.expires_at.min(latest),
            generation: user.generation,
            consent: self.service_id.map(|it| consent::generation(view, self.user_id, it)),
            device: self.device.clone(),
            impersonation_id: self.impersonation_id,
            came_by: None,
            at: view.now,
        });
        Ok(Verdict::created(session::stream(self.session_id), event).valid_until(Some(self.expires_at)))
    }
}

#[cfg(test)]
mod tests;
