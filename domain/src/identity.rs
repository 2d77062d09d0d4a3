//! Who may act: persons, their sessions, and the access tokens of operators.
//!
//! What they may do is the organisation's to say; how both come together is in `crate::gate` and `crate::sign_in`.

pub mod access_token;
pub mod assurance;
pub mod error;
pub mod factors;
pub mod session;
pub mod sign_in_day;
pub mod user;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use access_token::{
    AccessToken, AccessTokenError, AccessTokenMinted, AccessTokenRevoked, CODES, GiveBackToken,
    MintAccessToken, RevokeAccessToken, Role,
};
pub use error::IdentityError;
pub use factors::{
    AddPasskey, CheckPasskey, EnrolTotp, FactorRemoved, Factors, IssueRecoveryCodes, PasskeyAdded,
    PasskeyRegressed, RecoveryCodeUsed, RecoveryCodesIssued, RemoveAllFactors, RemoveFactor,
    ReportPasskeyRegression, TotpEnrolled, UseRecoveryCode,
};
pub use session::{
    EndSession, LiveSession, OrganizationSwitched, Session, SessionEnded, SessionStarted,
    SessionStrengthened, StrengthenSession,
};
pub use sign_in_day::{
    RecordSignIn, SignInDay, SignInFact, SignInFailed, SignInLocked, SignInUnlocked, month_subject,
};
pub use user::{
    ConfirmEmailChange, DeactivateUser, EMAIL_SCOPE, EMAIL_WANTED_SCOPE, ElsewhereHash, EmailChangeExpired,
    EmailChangeRequested, EmailChanged, EmailHash, EmailVerified, EndSessions, ErasePerson,
    ExpireEmailChange, Half, IdentitiesLinked, IdentitiesUnlinked, LinkIdentities, LinkedUser,
    PasswordChanged, Patch, PersonErased, PersonNames, ReactivateUser, RegisterUser, Registered,
    RequestEmailChange, SessionsEnded, SetPassword, UnlinkIdentities, UpdateProfile, User,
    UserAddressChanged, UserDeactivated, UserFamilyNameChanged, UserGivenNameChanged, UserLanguageChanged,
    UserPhoneChanged, UserReactivated, UserRegistered, UserRenamed, VerifyEmail, Withdraw,
};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum IdentityEvent {
    /// An access token was issued.
    #[serde(rename = "identity.access-token-minted")]
    AccessTokenMinted(AccessTokenMinted),
    /// An access token is good no more.
    #[serde(rename = "identity.access-token-revoked")]
    AccessTokenRevoked(AccessTokenRevoked),
    /// A person registered.
    #[serde(rename = "identity.user-registered")]
    UserRegistered(UserRegistered),
    /// They are called something else now.
    #[serde(rename = "identity.user-renamed")]
    UserRenamed(UserRenamed),
    /// Friends call them something else now.
    #[serde(rename = "identity.user-given-name-changed")]
    UserGivenNameChanged(UserGivenNameChanged),
    /// Their family is called something else now.
    #[serde(rename = "identity.user-family-name-changed")]
    UserFamilyNameChanged(UserFamilyNameChanged),
    /// Their telephone number is another one, or none.
    #[serde(rename = "identity.user-phone-changed")]
    UserPhoneChanged(UserPhoneChanged),
    /// They live somewhere else.
    #[serde(rename = "identity.user-address-changed")]
    UserAddressChanged(UserAddressChanged),
    /// They are written to in another language.
    #[serde(rename = "identity.user-language-changed")]
    UserLanguageChanged(UserLanguageChanged),
    /// They have shown that their address is theirs.
    #[serde(rename = "identity.email-verified")]
    EmailVerified(EmailVerified),
    /// They asked for another address.
    #[serde(rename = "identity.email-change-requested")]
    EmailChangeRequested(EmailChangeRequested),
    /// The address that they asked for is theirs now.
    #[serde(rename = "identity.email-changed")]
    EmailChanged(EmailChanged),
    /// The address that they asked for was not confirmed in time.
    #[serde(rename = "identity.email-change-expired")]
    EmailChangeExpired(EmailChangeExpired),
    /// They have another password.
    #[serde(rename = "identity.password-changed")]
    PasswordChanged(PasswordChanged),
    /// All their sessions, or all but one, ended.
    #[serde(rename = "identity.sessions-ended")]
    SessionsEnded(SessionsEnded),
    /// They may not act any more.
    #[serde(rename = "identity.user-deactivated")]
    UserDeactivated(UserDeactivated),
    /// They may act again.
    #[serde(rename = "identity.user-reactivated")]
    UserReactivated(UserReactivated),
    /// Everything personal about them is gone.
    #[serde(rename = "identity.person-erased")]
    PersonErased(PersonErased),
    /// A session was started.
    #[serde(rename = "identity.session-started")]
    SessionStarted(SessionStarted),
    /// The user showed again, or by more, who they are.
    #[serde(rename = "identity.session-strengthened")]
    SessionStrengthened(SessionStrengthened),
    /// A person went on in another of their organisations.
    #[serde(rename = "identity.organization-switched")]
    OrganizationSwitched(OrganizationSwitched),
    /// A session ended.
    #[serde(rename = "identity.session-ended")]
    SessionEnded(SessionEnded),
    /// Sign-ins of one kind failed within a minute.
    #[serde(rename = "identity.sign-in-failed")]
    SignInFailed(SignInFailed),
    /// Too many sign-ins failed: none is looked at for a while.
    #[serde(rename = "identity.sign-in-locked")]
    SignInLocked(SignInLocked),
    /// An administrator lifted a lock before its time.
    #[serde(rename = "identity.sign-in-unlocked")]
    SignInUnlocked(SignInUnlocked),
    /// A user enrolled an authenticator of time-based codes.
    #[serde(rename = "identity.totp-enrolled")]
    TotpEnrolled(TotpEnrolled),
    /// An authenticator is good no more, and the recovery codes with it.
    #[serde(rename = "identity.totp-removed")]
    TotpRemoved(FactorRemoved),
    /// A user got new recovery codes; those before are good no more.
    #[serde(rename = "identity.recovery-codes-issued")]
    RecoveryCodesIssued(RecoveryCodesIssued),
    /// A user used a recovery code, which is good no more.
    #[serde(rename = "identity.recovery-code-used")]
    RecoveryCodeUsed(RecoveryCodeUsed),
    /// A user added a passkey.
    #[serde(rename = "identity.passkey-added")]
    PasskeyAdded(PasskeyAdded),
    /// A passkey is good no more.
    #[serde(rename = "identity.passkey-removed")]
    PasskeyRemoved(FactorRemoved),
    /// A passkey counted backwards: there may be a copy of it.
    #[serde(rename = "identity.passkey-regressed")]
    PasskeyRegressed(PasskeyRegressed),
    /// Users of several organisations are shown to be one person.
    #[serde(rename = "identity.identities-linked")]
    IdentitiesLinked(IdentitiesLinked),
    /// A user is not taken for that person any more.
    #[serde(rename = "identity.identities-unlinked")]
    IdentitiesUnlinked(IdentitiesUnlinked),
}

impl IdentityEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AccessTokenMinted(_) => "identity.access-token-minted",
            Self::AccessTokenRevoked(_) => "identity.access-token-revoked",
            Self::UserRegistered(_) => "identity.user-registered",
            Self::UserRenamed(_) => "identity.user-renamed",
            Self::UserGivenNameChanged(_) => "identity.user-given-name-changed",
            Self::UserFamilyNameChanged(_) => "identity.user-family-name-changed",
            Self::UserPhoneChanged(_) => "identity.user-phone-changed",
            Self::UserAddressChanged(_) => "identity.user-address-changed",
            Self::UserLanguageChanged(_) => "identity.user-language-changed",
            Self::EmailVerified(_) => "identity.email-verified",
            Self::EmailChangeRequested(_) => "identity.email-change-requested",
            Self::EmailChanged(_) => "identity.email-changed",
            Self::EmailChangeExpired(_) => "identity.email-change-expired",
            Self::PasswordChanged(_) => "identity.password-changed",
            Self::SessionsEnded(_) => "identity.sessions-ended",
            Self::UserDeactivated(_) => "identity.user-deactivated",
            Self::UserReactivated(_) => "identity.user-reactivated",
            Self::PersonErased(_) => "identity.person-erased",
            Self::SessionStarted(_) => "identity.session-started",
            Self::SessionStrengthened(_) => "identity.session-strengthened",
            Self::OrganizationSwitched(_) => "identity.organization-switched",
            Self::SessionEnded(_) => "identity.session-ended",
            Self::SignInFailed(_) => "identity.sign-in-failed",
            Self::SignInLocked(_) => "identity.sign-in-locked",
            Self::SignInUnlocked(_) => "identity.sign-in-unlocked",
            Self::TotpEnrolled(_) => "identity.totp-enrolled",
            Self::TotpRemoved(_) => "identity.totp-removed",
            Self::RecoveryCodesIssued(_) => "identity.recovery-codes-issued",
            Self::RecoveryCodeUsed(_) => "identity.recovery-code-used",
            Self::PasskeyAdded(_) => "identity.passkey-added",
            Self::PasskeyRemoved(_) => "identity.passkey-removed",
            Self::PasskeyRegressed(_) => "identity.passkey-regressed",
            Self::IdentitiesLinked(_) => "identity.identities-linked",
            Self::IdentitiesUnlinked(_) => "identity.identities-unlinked",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        let known = match self {
            Self::UserRegistered(it) => [
                Some(("payload.email", &mut it.email)),
                it.given_name.as_mut().map(|name| ("payload.given_name", name)),
                it.family_name.as_mut().map(|name| ("payload.family_name", name)),
            ],
            Self::UserRenamed(it) => [
                it.given_name.as_mut().map(|name| ("payload.given_name", name)),
                it.family_name.as_mut().map(|name| ("payload.family_name", name)),
                None,
            ],
            Self::UserGivenNameChanged(it) => {
                [it.given_name.as_mut().map(|name| ("payload.given_name", name)), None, None]
            }
            Self::UserFamilyNameChanged(it) => {
                [it.family_name.as_mut().map(|name| ("payload.family_name", name)), None, None]
            }
            Self::UserPhoneChanged(it) => {
                [it.phone.as_mut().map(|phone| ("payload.phone", phone)), None, None]
            }
            Self::UserAddressChanged(it) => {
                [it.address.as_mut().map(|address| ("payload.address", address)), None, None]
            }
            Self::EmailChangeRequested(it) => [Some(("payload.email", &mut it.email)), None, None],
            Self::SessionStarted(it) => {
                [it.device.as_mut().map(|device| ("payload.device", device)), None, None]
            }
            Self::SignInFailed(it) => {
                [it.identifier.as_mut().map(|identifier| ("payload.identifier", identifier)), None, None]
            }
            Self::SignInLocked(it) => {
                [it.identifier.as_mut().map(|identifier| ("payload.identifier", identifier)), None, None]
            }
            Self::TotpEnrolled(it) => [it.label.as_mut().map(|label| ("payload.label", label)), None, None],
            Self::PasskeyAdded(it) => [it.label.as_mut().map(|label| ("payload.label", label)), None, None],
            Self::AccessTokenMinted(_)
            | Self::AccessTokenRevoked(_)
            | Self::UserLanguageChanged(_)
            | Self::EmailVerified(_)
            | Self::EmailChanged(_)
            | Self::EmailChangeExpired(_)
            | Self::PasswordChanged(_)
            | Self::SessionsEnded(_)
            | Self::UserDeactivated(_)
            | Self::UserReactivated(_)
            | Self::PersonErased(_)
            | Self::SessionStrengthened(_)
            | Self::OrganizationSwitched(_)
            | Self::SessionEnded(_)
            | Self::SignInUnlocked(_)
            | Self::TotpRemoved(_)
            | Self::RecoveryCodesIssued(_)
            | Self::RecoveryCodeUsed(_)
            | Self::PasskeyRemoved(_)
            | Self::PasskeyRegressed(_)
            | Self::IdentitiesLinked(_)
            | Self::IdentitiesUnlinked(_) => [None, None, None],
        };
        known.into_iter().flatten().collect()
    }

    /// The streams that it belongs to.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        vec![match self {
            Self::AccessTokenMinted(it) => access_token::stream(it.token_id),
            Self::AccessTokenRevoked(it) => access_token::stream(it.token_id),
            Self::UserRegistered(it) => user::stream(it.user_id),
            Self::UserRenamed(it) => user::stream(it.user_id),
            Self::UserGivenNameChanged(it) => user::stream(it.user_id),
            Self::UserFamilyNameChanged(it) => user::stream(it.user_id),
            Self::UserPhoneChanged(it) => user::stream(it.user_id),
            Self::UserAddressChanged(it) => user::stream(it.user_id),
            Self::UserLanguageChanged(it) => user::stream(it.user_id),
            Self::EmailVerified(it) => user::stream(it.user_id),
            Self::EmailChangeRequested(it) => user::stream(it.user_id),
            Self::EmailChanged(it) => user::stream(it.user_id),
            Self::EmailChangeExpired(it) => user::stream(it.user_id),
            Self::PasswordChanged(it) => user::stream(it.user_id),
            Self::SessionsEnded(it) => user::stream(it.user_id),
            Self::UserDeactivated(it) => user::stream(it.user_id),
            Self::UserReactivated(it) => user::stream(it.user_id),
            Self::PersonErased(it) => user::stream(it.user_id),
            Self::SessionStarted(it) => session::stream(it.session_id),
            Self::SessionStrengthened(it) => session::stream(it.session_id),
            Self::OrganizationSwitched(it) => session::stream(it.session_id),
            Self::SessionEnded(it) => session::stream(it.session_id),
            Self::SignInFailed(it) => sign_in_day::stream(it.last_at.date_naive()),
            Self::SignInLocked(it) => sign_in_day::stream(it.at.date_naive()),
            Self::SignInUnlocked(it) => sign_in_day::stream(it.at.date_naive()),
            Self::TotpEnrolled(it) => factors::stream(it.user_id),
            Self::TotpRemoved(it) | Self::PasskeyRemoved(it) => factors::stream(it.user_id),
            Self::RecoveryCodesIssued(it) => factors::stream(it.user_id),
            Self::RecoveryCodeUsed(it) => factors::stream(it.user_id),
            Self::PasskeyAdded(it) => factors::stream(it.user_id),
            Self::PasskeyRegressed(it) => factors::stream(it.user_id),
            Self::IdentitiesLinked(it) => user::stream(it.user_id),
            Self::IdentitiesUnlinked(it) => user::stream(it.user_id),
        }]
    }
}

#[cfg(test)]
pub(crate) mod sample;
