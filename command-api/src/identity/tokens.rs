//! What somebody gets who signed in: a short access token that says who they are, and a refresh token that gets the next one.

use chrono::Utc;
use domain::ids::{SessionId, TenantId, UserId};
use secrecy::SecretString;
use service_kit::bearer::ClientId;
use service_kit::problem::{Problem, code};
use service_kit::token::{Grant, Issued, SignError};
use std::time::Duration;

use super::Identity;
use super::facts::Stands;

/// What a client goes on with.
#[derive(Debug)]
pub struct Tokens {
    /// Says who acts.
    pub access: Issued,
    /// Gets the next two, once.
    pub refresh: SecretString,
}

/// A session, and what its access tokens are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    pub tenant: TenantId,
    pub session: SessionId,
    pub user: UserId,
    /// Names parted by spaces; nothing for everything that the person may do.
    pub scope: &'a str,
}

impl Identity {
    /// An access token of a session that stands. What it says of roles and address is for services that verify tokens
    /// themselves; here only the session in it counts. A service to which a session was lent learns the address if it was
    /// allowed to, and no roles: what it may do is its scope.
    pub(super) async fn access_token(&self, holder: Holder<'_>, stands: &Stands) -> Result<Issued, Problem> {
        let now = Utc::now();
        let session = &stands.session;
        let is_lent = session.service_id.is_some();
        let tells_email = !is_lent || holder.scope.split(' ').any(|it| it == "email");
        let email = if tells_email { self.address_of(holder.tenant, holder.user).await? } else { None };
        let grant = Grant {
            sub: holder.user.actor(),
            tenant_id: holder.tenant,
            sid: Some(holder.session.uuid()),
            email: email.map(|it| it.mailbox().to_owned()),
            roles: if is_lent { Vec::new() } else { stands.roles.clone() },
            amr: session.amr.iter().map(ToString::to_string).collect(),
            auth_time: session.shown_at(),
            scope: (!holder.scope.is_empty()).then(|| holder.scope.to_owned()),
            client_id: session
                .service_id
                .map(|service| ClientId { tenant: holder.tenant, service }.to_string()),
            secret_id: None,
            act: None,
        };
        let life = Duration::from_secs(stands.policy.sessions.access_s.into()).min(stands.remains(now));
        self.parts().signer.issue(&grant, now, life).map_err(|error| match error {
            SignError::NoKey => Problem::new(&code::NO_SIGNING_KEY, ""),
            SignError::Refused(_) => Problem::fault(&error),
        })
    }
}
