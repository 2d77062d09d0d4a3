//! How this context says no, and the reference of it.

use std::collections::BTreeMap;

use crate::error::{CodeDoc, DomainError, ErrorKind};
use crate::ids::SessionId;
use crate::words::Scope;

/// Each command names those that it gives, in the order in which it looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// It cannot be compared to the letter, or leads who knows where.
    #[error("a redirect URI is absolute, by https or to the own machine, without fragment and wildcard")]
    UriMalformed,
    /// More of something than there may be.
    #[error("there are {max} {what} at most")]
    LimitReached {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u32,
    },
    /// It could do nothing.
    #[error("a service needs a grant")]
    GrantMissing,
    /// People could not be sent back.
    #[error("people must be sent back to somewhere")]
    RedirectUriMissing,
    /// It cannot keep a secret.
    #[error("a service that cannot keep a secret cannot sign in by itself")]
    PublicService,
    /// The identifier is in use.
    #[error("a service with this id exists")]
    ServiceExists,
    /// Another service has the name.
    #[error("a service is called {name} already")]
    ServiceNameTaken {
        /// Which name.
        name: String,
    },
    /// There is none.
    #[error("there is no such service")]
    ServiceNotFound,
    /// It may not work.
    #[error("the service is suspended")]
    ServiceSuspended,
    /// The service may not ask for it.
    #[error("the scope {scope} is not registered")]
    ScopeNotRegistered {
        /// Which.
        scope: Scope,
    },
    /// The identifier is in use.
    #[error("a secret with this id exists")]
    SecretExists,
    /// There is none.
    #[error("there is no such secret")]
    SecretNotFound,
    /// The person does not allow it.
    #[error("the person does not allow the service this")]
    ConsentNotFound,
    /// Somebody has decided.
    #[error("the request of the device was decided")]
    GrantDecided,
    /// Nobody let it in.
    #[error("nobody let the device in")]
    GrantNotFound,
    /// It has fetched its tokens.
    #[error("the device has fetched its tokens")]
    GrantRedeemed {
        /// The session that began.
        session_id: SessionId,
    },
    /// It would allow nothing.
    #[error("a key needs a scope")]
    KeyEmpty,
    /// It would be dead at birth.
    #[error("a key must expire in the future")]
    KeyExpired,
    /// The identifier is in use.
    #[error("a key with this id exists")]
    KeyExists,
    /// There is none.
    #[error("there is no such key")]
    KeyNotFound,
}

const URI_MALFORMED: CodeDoc = CodeDoc::new(
    ErrorKind::Invalid,
    "application.redirect-uri-malformed",
    "a redirect URI cannot be used",
    "send an absolute URI by https, by http to the own machine, or of a private scheme with a dot; no fragment, no wildcard",
);
const LIMIT_REACHED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.limit-reached",
    "there are as many as there may be",
    "see `what` and `max` in `details`; remove one that is not used",
);
const GRANT_MISSING: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.grant-missing",
    "a service that is granted nothing could do nothing",
    "name at least one grant",
);
const REDIRECT_URI_MISSING: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.redirect-uri-missing",
    "a service that lets people sign in names no redirect URI",
    "name at least one",
);
const PUBLIC_SERVICE: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.public-service",
    "a service that cannot keep a secret has none and does not sign in by itself",
    "register it as confidential, if it runs on a server of its own",
);
const SERVICE_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.service-exists",
    "the service's identifier is in use",
    "take a fresh identifier for each service",
);
const SERVICE_NAME_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.service-name-taken",
    "another service has the name",
    "choose another name; upper and lower case are the same",
);
const SERVICE_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "application.service-not-found",
    "there is no such service",
    "check the identifier against the list of services",
);
const SERVICE_SUSPENDED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "application.service-suspended",
    "the service may not work now",
    "resume it first",
);
const SCOPE_NOT_REGISTERED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.scope-not-registered",
    "a scope is not among those of the service",
    "register the scope with the service first",
);
const SECRET_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.secret-exists",
    "the secret's identifier is in use",
    "take a fresh identifier for each secret",
);
const SECRET_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "application.secret-not-found",
    "the service has no such secret",
    "see the service",
);
const CONSENT_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "application.consent-not-found",
    "the person does not allow the service this",
    "see which services the person let in",
);
const GRANT_DECIDED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.grant-decided",
    "the request of the device was decided already",
    "start again on the device",
);
const GRANT_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "application.grant-not-found",
    "nobody let the device in, or not for this service",
    "start again on the device",
);
const GRANT_REDEEMED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.grant-redeemed",
    "the device has fetched its tokens already",
    "start again on the device",
);
const KEY_EMPTY: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.key-empty",
    "a key would allow nothing",
    "name at least one permission",
);
const KEY_EXPIRED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "application.key-expired",
    "the key would have expired already",
    "ask for an expiry in the future",
);
const KEY_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "application.key-exists",
    "the key's identifier is in use",
    "take a fresh identifier for each key",
);
const KEY_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "application.key-not-found",
    "there is no such key",
    "check the identifier against the list of keys",
);

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[("application.redirect-uri-malformed", ErrorKind::Invalid)];

/// Every code of [`ApplicationError`].
pub const CODES: &[CodeDoc] = &[
    URI_MALFORMED,
    LIMIT_REACHED,
    GRANT_MISSING,
    REDIRECT_URI_MISSING,
    PUBLIC_SERVICE,
    SERVICE_EXISTS,
    SERVICE_NAME_TAKEN,
    SERVICE_NOT_FOUND,
    SERVICE_SUSPENDED,
    SCOPE_NOT_REGISTERED,
    SECRET_EXISTS,
    SECRET_NOT_FOUND,
    CONSENT_NOT_FOUND,
    GRANT_DECIDED,
    GRANT_NOT_FOUND,
    GRANT_REDEEMED,
    KEY_EMPTY,
    KEY_EXPIRED,
    KEY_EXISTS,
    KEY_NOT_FOUND,
];

impl ApplicationError {
    const fn doc(&self) -> CodeDoc {
        match self {
            Self::UriMalformed => URI_MALFORMED,
            Self::LimitReached { .. } => LIMIT_REACHED,
            Self::GrantMissing => GRANT_MISSING,
            Self::RedirectUriMissing => REDIRECT_URI_MISSING,
            Self::PublicService => PUBLIC_SERVICE,
            Self::ServiceExists => SERVICE_EXISTS,
            Self::ServiceNameTaken { .. } => SERVICE_NAME_TAKEN,
            Self::ServiceNotFound => SERVICE_NOT_FOUND,
            Self::ServiceSuspended => SERVICE_SUSPENDED,
            Self::ScopeNotRegistered { .. } => SCOPE_NOT_REGISTERED,
            Self::SecretExists => SECRET_EXISTS,
            Self::SecretNotFound => SECRET_NOT_FOUND,
            Self::ConsentNotFound => CONSENT_NOT_FOUND,
            Self::GrantDecided => GRANT_DECIDED,
            Self::GrantNotFound => GRANT_NOT_FOUND,
            Self::GrantRedeemed { .. } => GRANT_REDEEMED,
            Self::KeyEmpty => KEY_EMPTY,
            Self::KeyExpired => KEY_EXPIRED,
            Self::KeyExists => KEY_EXISTS,
            Self::KeyNotFound => KEY_NOT_FOUND,
        }
    }
}

impl DomainError for ApplicationError {
    fn code(&self) -> &'static str {
        self.doc().code
    }

    fn kind(&self) -> ErrorKind {
        self.doc().kind
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::LimitReached { what, max } => {
                BTreeMap::from([("what", (*what).to_owned()), ("max", max.to_string())])
            }
            Self::ServiceNameTaken { name } => BTreeMap::from([("name", name.clone())]),
            Self::ScopeNotRegistered { scope } => BTreeMap::from([("scope", scope.to_string())]),
            Self::GrantRedeemed { session_id } => BTreeMap::from([("session_id", session_id.to_string())]),
            _ => BTreeMap::new(),
        }
    }
}
