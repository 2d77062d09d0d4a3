//! How this context says no, and the reference of it. Tokens of operators have their own in `access_token.rs`.

use std::collections::BTreeMap;

use crate::error::{CodeDoc, DomainError, ErrorKind};
use crate::ids::UserId;

/// Each command names those that it gives, in the order in which it looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The identifier is in use.
    #[error("a user with this id exists")]
    UserExists,
    /// Another user of the organisation has the address, or has asked for it.
    #[error("the address belongs to another user")]
    EmailTaken,
    /// Nobody has the identifier.
    #[error("there is no user {user_id}")]
    UserNotFound {
        /// Which.
        user_id: UserId,
    },
    /// Everything personal about them was erased.
    #[error("the user's personal data was erased")]
    PersonErased,
    /// They were deactivated.
    #[error("the user is not active")]
    UserInactive,
    /// Nobody has shown that the address is theirs.
    #[error("the address is not verified")]
    EmailUnverified,
    /// What was mailed is about an address, or a request, that is not the newest any more.
    #[error("the link is not good, or not any more")]
    LinkInvalid,
    /// Another address was asked for and neither confirmed nor given up.
    #[error("a change of the address waits for its confirmation")]
    EmailChangePending,
    /// The address is not the one that was looked at.
    #[error("the address has changed meanwhile")]
    EmailChanged,
    /// The password is not the one that was looked at.
    #[error("the password has changed meanwhile")]
    CredentialChanged,
    /// The identifier is in use.
    #[error("a session with this id exists")]
    SessionExists,
    /// There is no such session, or it is somebody else's.
    #[error("there is no such session")]
    SessionNotFound,
    /// It has ended.
    #[error("the session has ended")]
    SessionOver,
    /// There is no such token.
    #[error("there is no such access token")]
    TokenNotFound,
    /// There is one.
    #[error("there is such a factor already")]
    FactorExists,
    /// The organisation has none.
    #[error("nobody in the organisation can enrol a factor")]
    FactorsOff,
    /// There is none.
    #[error("there is no such factor")]
    FactorNotFound,
    /// More than anybody carries.
    #[error("a user has {max} passkeys at most")]
    TooManyFactors {
        /// How many there may be.
        max: usize,
    },
    /// They have one, and did not show it.
    #[error("a second factor is asked for")]
    SecondFactorRequired,
    /// One of the two is linked to somebody of the other's organisation already.
    #[error("the user is linked to somebody of that organisation already")]
    LinkedToAnother,
    /// More than anybody has.
    #[error("a person has {max} users at most")]
    TooManyLinks {
        /// How many there may be.
        max: usize,
    },
    /// They are nobody there, or their link was taken away.
    #[error("the person has no linked user there")]
    NotLinked,
    /// It was shown once already, is over, or is for somebody else.
    #[error("the code is not good, or not any more")]
    LinkCodeInvalid,
    /// They are there already.
    #[error("that is the organisation in which the person is signed in")]
    SameOrganisation,
    /// Nothing that the person showed to this product themselves lets them in elsewhere.
    #[error("the person must have shown a proof of their own in this session")]
    OwnProofRequired,
}

const USER_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.user-exists",
    "the user's identifier is in use",
    "take a fresh identifier for each user",
);
const EMAIL_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.email-taken",
    "the address belongs to another user of the organisation",
    "sign in with it, or take another address",
);
const USER_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.user-not-found",
    "there is no such user",
    "check the identifier, and that the token is of the right organisation",
);
const PERSON_ERASED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.person-erased",
    "the person was erased, and nothing can be said about them any more",
    "register them anew, if they ask for it",
);
const USER_INACTIVE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.user-inactive",
    "the user was deactivated",
    "ask an administrator of the organisation to reactivate them",
);
const EMAIL_UNVERIFIED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "identity.email-unverified",
    "nobody has shown yet that the user's address is theirs",
    "follow the link that was mailed, or ask for another one",
);
const LINK_INVALID: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.link-invalid",
    "a link or code that was mailed is not good, or not any more",
    "ask for another one; the newest alone is good, once and for a time",
);
const EMAIL_CHANGE_PENDING: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.email-change-pending",
    "another change of the address waits for its confirmation",
    "confirm it or let it expire, or ask again",
);
const EMAIL_CHANGED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.email-changed-meanwhile",
    "the address changed while the request was worked on",
    "send it again",
);
const CREDENTIAL_CHANGED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.credential-changed",
    "the password changed after it was checked",
    "sign in with the new password",
);
const SESSION_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.session-exists",
    "the session's identifier is in use",
    "take a fresh identifier for each session",
);
const SESSION_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.session-not-found",
    "there is no such session, or it is another person's",
    "see the list of sessions",
);
const SESSION_OVER: CodeDoc =
    CodeDoc::new(ErrorKind::Conflict, "identity.session-over", "the session has ended", "sign in again");
const TOKEN_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.token-not-found",
    "there is no such access token",
    "check the identifier, and that the token is of the right organisation",
);
const FACTOR_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.factor-exists",
    "the user has such a factor already",
    "remove that one first",
);
const FACTORS_OFF: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.factors-off",
    "the policy of the organisation lets nobody enrol a factor",
    "ask whoever runs the organisation; what is enrolled already stays good",
);
const FACTOR_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.factor-not-found",
    "the user has no such factor",
    "see the list of factors",
);
const TOO_MANY_FACTORS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "identity.too-many-factors",
    "the user has as many passkeys as they may have",
    "remove one that is not used",
);
const SECOND_FACTOR_REQUIRED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "identity.second-factor-required",
    "the user has a second factor, which was not shown",
    "show it with the ticket of this answer",
);
const LINKED_TO_ANOTHER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "identity.linked-to-another",
    "one of the two users is linked to somebody of the other's organisation already",
    "take that link away first",
);
const TOO_MANY_LINKS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "identity.too-many-links",
    "the person has as many users as one may have",
    "unlink one first",
);
const NOT_LINKED: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.not-linked",
    "the person has no linked user in that organisation, or the link was taken away",
    "sign in there, and link the two",
);
const LINK_CODE_INVALID: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "identity.link-code-invalid",
    "a code that links two users is used, over, or for somebody else",
    "ask for another one, naming the organisation and the address with which you are signed in where you show it",
);
const SAME_ORGANISATION: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "identity.same-organisation",
    "it was asked for the organisation in which the person is signed in",
    "name another one",
);
const OWN_PROOF_REQUIRED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "identity.own-proof-required",
    "the caller is no person in a session of their own, or all that they showed in it is the word of a provider",
    "sign in with a password or a passkey, or show one of them in this session",
);

/// Every code of [`IdentityError`].
pub const CODES: &[CodeDoc] = &[
    USER_EXISTS,
    EMAIL_TAKEN,
    USER_NOT_FOUND,
    PERSON_ERASED,
    USER_INACTIVE,
    EMAIL_UNVERIFIED,
    LINK_INVALID,
    EMAIL_CHANGE_PENDING,
    EMAIL_CHANGED,
    CREDENTIAL_CHANGED,
    SESSION_EXISTS,
    SESSION_NOT_FOUND,
    SESSION_OVER,
    TOKEN_NOT_FOUND,
    FACTOR_EXISTS,
    FACTORS_OFF,
    FACTOR_NOT_FOUND,
    TOO_MANY_FACTORS,
    SECOND_FACTOR_REQUIRED,
    LINKED_TO_ANOTHER,
    TOO_MANY_LINKS,
    NOT_LINKED,
    LINK_CODE_INVALID,
    SAME_ORGANISATION,
    OWN_PROOF_REQUIRED,
];

impl IdentityError {
    const fn doc(&self) -> CodeDoc {
        match self {
            Self::UserExists => USER_EXISTS,
            Self::EmailTaken => EMAIL_TAKEN,
            Self::UserNotFound { .. } => USER_NOT_FOUND,
            Self::PersonErased => PERSON_ERASED,
            Self::UserInactive => USER_INACTIVE,
            Self::EmailUnverified => EMAIL_UNVERIFIED,
            Self::LinkInvalid => LINK_INVALID,
            Self::EmailChangePending => EMAIL_CHANGE_PENDING,
            Self::EmailChanged => EMAIL_CHANGED,
            Self::CredentialChanged => CREDENTIAL_CHANGED,
            Self::SessionExists => SESSION_EXISTS,
            Self::SessionNotFound => SESSION_NOT_FOUND,
            Self::SessionOver => SESSION_OVER,
            Self::TokenNotFound => TOKEN_NOT_FOUND,
            Self::FactorExists => FACTOR_EXISTS,
            Self::FactorsOff => FACTORS_OFF,
            Self::FactorNotFound => FACTOR_NOT_FOUND,
            Self::TooManyFactors { .. } => TOO_MANY_FACTORS,
            Self::SecondFactorRequired => SECOND_FACTOR_REQUIRED,
            Self::LinkedToAnother => LINKED_TO_ANOTHER,
            Self::TooManyLinks { .. } => TOO_MANY_LINKS,
            Self::NotLinked => NOT_LINKED,
            Self::LinkCodeInvalid => LINK_CODE_INVALID,
            Self::SameOrganisation => SAME_ORGANISATION,
            Self::OwnProofRequired => OWN_PROOF_REQUIRED,
        }
    }
}

impl DomainError for IdentityError {
    fn code(&self) -> &'static str {
        self.doc().code
    }

    fn kind(&self) -> ErrorKind {
        self.doc().kind
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::UserNotFound { user_id } => BTreeMap::from([("user_id", user_id.to_string())]),
            Self::TooManyFactors { max } | Self::TooManyLinks { max } => {
                BTreeMap::from([("max", max.to_string())])
            }
            _ => BTreeMap::new(),
        }
    }
}
