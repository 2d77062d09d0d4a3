//! Who may act.

use domain::identity::{
    AccessToken, AccessTokenMinted, AccessTokenRevoked, EmailChangeExpired, EmailChangeRequested,
    EmailChanged, EmailVerified, FactorRemoved, Factors, IdentitiesLinked, IdentitiesUnlinked, IdentityEvent,
    OrganizationSwitched, PasskeyAdded, PasskeyRegressed, PasswordChanged, PersonErased, RecoveryCodeUsed,
    RecoveryCodesIssued, Session, SessionEnded, SessionStarted, SessionStrengthened, SessionsEnded,
    SignInDay, SignInFailed, SignInLocked, SignInUnlocked, TotpEnrolled, User, UserAddressChanged,
    UserDeactivated, UserFamilyNameChanged, UserGivenNameChanged, UserLanguageChanged, UserPhoneChanged,
    UserReactivated, UserRegistered, UserRenamed,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<AccessToken, IdentityEvent, AccessTokenMinted>(
        "identity.access-token-minted",
        "An access token was issued by an operator.",
    ),
    event::<AccessToken, IdentityEvent, AccessTokenRevoked>(
        "identity.access-token-revoked",
        "An access token is good no more.",
    ),
    event::<User, IdentityEvent, UserRegistered>("identity.user-registered", "A person registered."),
    event::<User, IdentityEvent, UserRenamed>(
        "identity.user-renamed",
        "A person is called something else now.",
    ),
    event::<User, IdentityEvent, UserGivenNameChanged>(
        "identity.user-given-name-changed",
        "Friends call a person something else now, or it is not known any more; their family's name stays.",
    ),
    event::<User, IdentityEvent, UserFamilyNameChanged>(
        "identity.user-family-name-changed",
        "A person's family is called something else now, or it is not known any more; their given name stays.",
    ),
    event::<User, IdentityEvent, UserPhoneChanged>(
        "identity.user-phone-changed",
        "A person's telephone number is another one, or none.",
    ),
    event::<User, IdentityEvent, UserAddressChanged>(
        "identity.user-address-changed",
        "A person lives somewhere else, or it is not known any more.",
    ),
    event::<User, IdentityEvent, UserLanguageChanged>(
        "identity.user-language-changed",
        "A person is written to in another language.",
    ),
    event::<User, IdentityEvent, EmailVerified>(
        "identity.email-verified",
        "A person has shown that their address is theirs.",
    ),
    event::<User, IdentityEvent, EmailChangeRequested>(
        "identity.email-change-requested",
        "A person asked for another address, which is kept for them until it is confirmed.",
    ),
    event::<User, IdentityEvent, EmailChanged>(
        "identity.email-changed",
        "The address that a person asked for is theirs now, and verified.",
    ),
    event::<User, IdentityEvent, EmailChangeExpired>(
        "identity.email-change-expired",
        "The address that a person asked for was not confirmed in time, and is free again.",
    ),
    event::<User, IdentityEvent, PasswordChanged>(
        "identity.password-changed",
        "A person has another password, of which nothing is recorded.",
    ),
    event::<User, IdentityEvent, SessionsEnded>(
        "identity.sessions-ended",
        "All sessions of a person, or all but one, ended.",
    ),
    event::<User, IdentityEvent, UserDeactivated>(
        "identity.user-deactivated",
        "A person may not act any more, until they are reactivated.",
    ),
    event::<User, IdentityEvent, UserReactivated>("identity.user-reactivated", "A person may act again."),
    event::<User, IdentityEvent, PersonErased>(
        "identity.person-erased",
        "Everything personal about a person is gone for ever.",
    ),
    event::<Session, IdentityEvent, SessionStarted>("identity.session-started", "A person signed in."),
    event::<Session, IdentityEvent, SessionStrengthened>(
        "identity.session-strengthened",
        "A person showed again, or by more, who they are.",
    ),
    event::<Session, IdentityEvent, SessionEnded>("identity.session-ended", "A session ended."),
    event::<SignInDay, IdentityEvent, SignInFailed>(
        "identity.sign-in-failed",
        "Sign-ins of one kind failed within a minute.",
    ),
    event::<SignInDay, IdentityEvent, SignInLocked>(
        "identity.sign-in-locked",
        "Too many sign-ins failed: none is looked at for a while.",
    ),
    event::<SignInDay, IdentityEvent, SignInUnlocked>(
        "identity.sign-in-unlocked",
        "An administrator lifted a lock before its time.",
    ),
    event::<Factors, IdentityEvent, TotpEnrolled>(
        "identity.totp-enrolled",
        "A user enrolled an authenticator of time-based codes.",
    ),
    event::<Factors, IdentityEvent, FactorRemoved>(
        "identity.totp-removed",
        "An authenticator is good no more, and the recovery codes with it.",
    ),
    event::<Factors, IdentityEvent, RecoveryCodesIssued>(
        "identity.recovery-codes-issued",
        "A user got new recovery codes; those before are good no more.",
    ),
    event::<Factors, IdentityEvent, RecoveryCodeUsed>(
        "identity.recovery-code-used",
        "A user used a recovery code, which is good no more.",
    ),
    event::<Factors, IdentityEvent, PasskeyAdded>("identity.passkey-added", "A user added a passkey."),
    event::<Factors, IdentityEvent, FactorRemoved>("identity.passkey-removed", "A passkey is good no more."),
    event::<Factors, IdentityEvent, PasskeyRegressed>(
        "identity.passkey-regressed",
        "A passkey counted backwards: there may be a copy of it.",
    ),
    event::<Session, IdentityEvent, OrganizationSwitched>(
        "identity.organization-switched",
        "A person went on in another of their organisations, in a session there.",
    ),
    event::<User, IdentityEvent, IdentitiesLinked>(
        "identity.identities-linked",
        "A user and one of another organisation are shown to be one person.",
    ),
    event::<User, IdentityEvent, IdentitiesUnlinked>(
        "identity.identities-unlinked",
        "A user and one of another organisation are not taken for one person any more.",
    ),
];

pub(super) const AGGREGATES: &[AggregateType] = &[
    aggregate::<AccessToken>(),
    aggregate::<User>(),
    aggregate::<Session>(),
    aggregate::<SignInDay>(),
    aggregate::<Factors>(),
];
