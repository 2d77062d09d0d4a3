//! How a request shows who asks, whether they stand, and what they hold.

use chrono::{DateTime, Utc};

use super::GateError;
use crate::allowance::{Allowance, Pace};
use crate::application::service::CLIENT_CREDENTIALS;
use crate::application::{KeyOwner, LiveApiKey, LiveService, Secret, api_key, consent, service};
use crate::decision::View;
use crate::identity::{AccessToken, LiveSession, Session, access_token, session, user};
use crate::ids::{ApiKeyId, SecretId, ServiceId, SessionId, TokenId, UserId};
use crate::organisation::{Granted, Membership, RoleTable, Standing, TenantStatus, grants, policy, standing};
use crate::stream::StreamId;

/// How a request shows who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// By a session.
    Session {
        /// Which.
        session: SessionId,
        /// Whose.
        user: UserId,
    },
    /// By a token that a person let a service have: it may do what the person holds, within what they allowed, and nothing
    /// of their own account. Good for sessions of services alone, as [`Bearer::Session`] is for all others.
    Delegated {
        /// Which.
        session: SessionId,
        /// Whose.
        user: UserId,
        /// What its token allows at most.
        granted: Granted,
    },
    /// By an operator's access token. What it may do stands in the token; one of which the log says nothing is good.
    Operator {
        /// Which.
        token: TokenId,
        /// What it may do.
        granted: Granted,
    },
    /// By a key: it allows what its owner holds too.
    ApiKey {
        /// Which.
        key: ApiKeyId,
    },
    /// By a token that a service got for one of its secrets, to act for itself: it may do what its scopes name, while it has
    /// that secret.
    Service {
        /// Which.
        service: ServiceId,
        /// The secret.
        secret: SecretId,
        /// The token, which the service can give back.
        token: TokenId,
        /// What its token allows at most.
        granted: Granted,
    },
    /// As staff who act in somebody's place elsewhere: judged in the platform's log, by who they are there. Whoever is no
    /// member there does not stand.
    Staff {
        /// Who.
        user: UserId,
    },
}

/// Who stands at the gate, and what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// What they may do.
    pub granted: Granted,
    /// How their organisation stands.
    pub status: TenantStatus,
    /// Their session, if they came by one.
    pub session: Option<LiveSession>,
    /// When what they came by ends at the latest, if it is known here.
    pub until: Option<DateTime<Utc>>,
    /// Whether their organisation asks everybody for a second factor, and they have shown none: then no permission can be
    /// used.
    pub lacks_factor: bool,
    /// How often they may ask, if they are a program: by what their organisation has booked, and by what it says of a service.
    pub paces: Vec<Pace>,
}

/// A bearer that stands.
pub(super) enum Standee<'a> {
    /// A person, by a session.
    Person(&'a LiveSession, &'a Membership),
    /// A service that acts for a person, by a session.
    Delegate(&'a LiveSession, &'a Membership, &'a LiveService, &'a Granted),
    /// An operator.
    Operator(&'a Granted),
    /// A key of a person.
    KeyOfPerson(&'a LiveApiKey, &'a Membership),
    /// A key of a service.
    KeyOfService(&'a LiveApiKey, &'a LiveService),
    /// A service, by one of its secrets.
    Service(&'a LiveService, &'a Secret, &'a Granted),
    /// Somebody who acts elsewhere, as a member here.
    Staff(&'a Membership),
}

impl Bearer {
    /// The streams that say whether they stand and what they hold. Asked again while it grows, as a decision is.
    #[must_use]
    pub fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = vec![standing::stream(view.tenant)];
        let person = |needs: &mut Vec<StreamId>, user| {
            needs.push(user::stream(user));
            needs.extend(Membership::needs(view, user));
        };
        match self {
            Self::Session { session, user } => {
                // What the organisation asks of those who sign in.
                needs.push(policy::stream(view.tenant));
                needs.push(session::stream(*session));
                person(&mut needs, *user);
            }
            Self::Delegated { session, user, .. } => {
                needs.push(policy::stream(view.tenant));
                needs.push(session::stream(*session));
                let service = service_of(view, *session);
                needs.extend(
                    service.into_iter().flat_map(|it| [service::stream(it), consent::stream(*user, it)]),
                );
                person(&mut needs, *user);
            }
            Self::Operator { token, .. } => needs.push(access_token::stream(*token)),
            Self::ApiKey { key } => {
                needs.push(api_key::stream(*key));
                match api_key::live(view, *key).map(|it| it.owner) {
                    Some(KeyOwner::User(user)) => person(&mut needs, user),
                    Some(KeyOwner::Service(service)) => needs.push(service::stream(service)),
                    None => {}
                }
            }
            Self::Service { service, token, .. } => {
                needs.extend([service::stream(*service), access_token::stream(*token)]);
            }
            Self::Staff { user } => person(&mut needs, *user),
        }
        needs
    }

    /// Whether they stand, and what they hold. It says nothing of the organisation but how it stands.
    ///
    /// # Errors
    /// [`GateError::SessionEnded`], if what they came by has ended in any way, or whose it is may not act any more or is
    /// no member any more.
    pub fn look(&self, view: &View<'_>, table: &RoleTable) -> Result<Admission, GateError> {
        let standee = self.standee(view)?;
        let roles = |member: &Membership| grants::granted(member.roles(), table, grants::seen(view));
        let names = |key: &LiveApiKey| Granted::only(key.permissions.iter().map(ToString::to_string));
        let scopes = |service: &LiveService| Granted::only(service.scopes.iter().map(ToString::to_string));
        let granted = match &standee {
            Standee::Person(_, member) | Standee::Staff(member) => roles(member),
            Standee::Delegate(_, member, service, granted) => {
                roles(member).within(granted).within(&scopes(service))
            }
            Standee::Operator(granted) => (*granted).clone(),
            Standee::KeyOfPerson(key, member) => names(key).within(&roles(member)),
            Standee::KeyOfService(key, service) => names(key).within(&scopes(service)),
            Standee::Service(service, _, granted) => scopes(service).within(granted),
        };
        let session = standee.session().cloned();
        let lacks_factor = session.as_ref().is_some_and(|it| super::lacks_factor(view, it));
        let standing = Standing::of(view);
        let paces = self.paces(&standee, standing.allowance.as_ref());
        Ok(Admission {
            granted,
            status: standing.status,
            session,
            until: standee.until(),
            lacks_factor,
            paces,
        })
    }

    /// How often whoever asks may, as far as that is counted: people are not programs. A key counts for itself in what was booked,
    /// and with its service in what is said of that.
    fn paces(&self, standee: &Standee<'_>, allowance: Option<&Allowance>) -> Vec<Pace> {
        let service = self.service(standee);
        let booked = allowance.and_then(|it| match (self, service) {
            (Self::ApiKey { key }, _) => Some(Pace::booked(key.uuid(), it.api_key_per_minute)),
            (_, Some((service, _))) => Some(Pace::booked(service.uuid(), it.service_per_minute)),
            (_, None) => None,
        });
        let own = service.and_then(|(id, it)| Some(Pace::of_service(id, it.limits?)));
        booked.into_iter().chain(own).collect()
    }

    /// The service that asks, for itself or for a person.
    fn service<'a>(&self, standee: &Standee<'a>) -> Option<(ServiceId, &'a LiveService)> {
        match (self, standee) {
            (Self::Service { service, .. }, Standee::Service(it, ..)) => Some((*service, it)),
            (_, Standee::Delegate(session, _, it, _)) => Some((session.service_id?, it)),
            (_, Standee::KeyOfService(key, it)) => match key.owner {
                KeyOwner::Service(service) => Some((service, it)),
                KeyOwner::User(_) => None,
            },
            _ => None,
        }
    }

    /// The bearer, if it stands.
    pub(super) fn standee<'a>(&'a self, view: &View<'a>) -> Result<Standee<'a>, GateError> {
        let session_of = |session, user| {
            let standing = session::standing(view, session).map(|(session, _)| session);
            // Whoever was out while the organisation was suspended signs in anew.
            let counts =
                |it: &&LiveSession| Standing::of(view).sessions_from.is_none_or(|from| it.began_at >= from);
            standing.filter(|it| it.user_id == user).filter(counts)
        };
        let found = match self {
            Self::Session { session, user } => session_of(*session, *user)
                .filter(|it| it.service_id.is_none())
                .and_then(|it| Some(Standee::Person(it, member(view, *user)?))),
            Self::Delegated { session, user, granted } => {
                session_of(*session, *user).and_then(|it| Some((it, lent(view, it)?))).and_then(
                    |(it, service)| Some(Standee::Delegate(it, member(view, *user)?, service, granted)),
                )
            }
            Self::Operator { token, granted } => {
                (!is_revoked(view, *token)).then_some(Standee::Operator(granted))
            }
            Self::ApiKey { key } => api_key::live(view, *key).and_then(|key| match key.owner {
                KeyOwner::User(user) => {
                    user::active(view, user).ok()?;
                    Some(Standee::KeyOfPerson(key, member(view, user)?))
                }
                KeyOwner::Service(service) => {
                    service::live(view, service).ok().map(|it| Standee::KeyOfService(key, it))
                }
            }),
            Self::Service { service, secret, token, granted } => service::live(view, *service)
                .ok()
                .filter(|it| it.is_granted(CLIENT_CREDENTIALS) && !is_revoked(view, *token))
                .and_then(|it| Some((it, it.secret(*secret).filter(|it| !it.is_over(view.now))?)))
                .map(|(it, secret)| Standee::Service(it, secret, granted)),
            Self::Staff { user } => {
                user::active(view, *user).ok().and_then(|_| member(view, *user)).map(Standee::Staff)
            }
        };
        found.ok_or(GateError::SessionEnded)
    }
}

/// The service that a session was started for.
fn service_of(view: &View<'_>, session: SessionId) -> Option<ServiceId> {
    match view.find::<Session>(session.uuid()).map(|seen| seen.state) {
        Some(Session::Live(session)) => session.service_id,
        _ => None,
    }
}

/// The service that may have a session still, if it may: it works, comes by sessions in that way by now, and the person has
/// not taken back what they allowed it.
fn lent<'a>(view: &View<'a>, session: &LiveSession) -> Option<&'a LiveService> {
    let service = session.service_id?;
    let stands = consent::upholds(view, session.user_id, service, session.consent);
    service::live(view, service).ok().filter(|it| stands && it.is_granted(session.method.as_str()))
}

/// Whether somebody said that a token is good no more. Of most tokens nothing is ever said.
fn is_revoked(view: &View<'_>, token: TokenId) -> bool {
    let known = view.find::<AccessToken>(token.uuid()).map(|seen| seen.state);
    matches!(known, Some(AccessToken::Revoked { .. }))
}

fn member<'a>(view: &View<'a>, user: UserId) -> Option<&'a Membership> {
    Membership::of(view, user).filter(|it| it.is_member())
}

impl<'a> Standee<'a> {
    pub(super) const fn session(&self) -> Option<&'a LiveSession> {
        match self {
            Self::Person(session, _) | Self::Delegate(session, ..) => Some(session),
            _ => None,
        }
    }

    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Person(session, _) | Self::Delegate(session, ..) => Some(session.expires_at),
            Self::KeyOfPerson(key, _) | Self::KeyOfService(key, _) => key.expires_at,
            Self::Service(_, secret, _) => secret.expires_at,
            Self::Operator(_) | Self::Staff(_) => None,
        }
    }

    /// Whether they hold a permission: as [`Bearer::look`] says, without building all that they hold.
    pub(super) fn holds(&self, permission: &str, view: &View<'_>, table: &RoleTable) -> bool {
        let by_roles =
            |member: &Membership| grants::allows(member.roles(), permission, table, grants::seen(view));
        let by_key = |key: &LiveApiKey| key.permissions.iter().any(|it| it.as_str() == permission);
        let by_scope = |service: &LiveService| service.scopes.iter().any(|it| it.as_str() == permission);
        match self {
            Self::Person(_, member) | Self::Staff(member) => by_roles(member),
            Self::Delegate(_, member, service, granted) => {
                granted.allows(permission) && by_scope(service) && by_roles(member)
            }
            Self::Operator(granted) => granted.allows(permission),
            Self::KeyOfPerson(key, member) => by_key(key) && by_roles(member),
            Self::KeyOfService(key, service) => by_key(key) && by_scope(service),
            Self::Service(service, _, granted) => by_scope(service) && granted.allows(permission),
        }
    }
}
