//! Which events matter to security, and what of them is told: whom they concern, how it came about, and why.

use domain::Event;
use domain::application::{ApplicationEvent, KeyOwner};
use domain::federation::FederationEvent;
use domain::identity::IdentityEvent;
use domain::ids::UserId;
use domain::organisation::OrganisationEvent;
use domain::platform::PlatformEvent;
use domain::words::Word;
use uuid::Uuid;

/// What is told of an event beyond its envelope.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Whom it concerns, if it is somebody.
    pub(super) user: Option<Uuid>,
    /// Whom it concerns too.
    pub(super) other: Option<Uuid>,
    pub(super) method: Option<String>,
    pub(super) because: Option<String>,
}

impl Told {
    /// It concerns the organisation, and nobody in particular.
    fn organisation() -> Self {
        Self::default()
    }

    fn user(user: UserId) -> Self {
        Self { user: Some(user.uuid()), ..Self::default() }
    }

    fn maybe(user: Option<UserId>) -> Self {
        Self { user: user.map(UserId::uuid), ..Self::default() }
    }

    fn and(self, other: UserId) -> Self {
        Self { other: Some(other.uuid()), ..self }
    }

    fn by(self, method: &Word) -> Self {
        Self { method: Some(method.to_string()), ..self }
    }

    fn because(self, because: &Word) -> Self {
        Self { because: Some(because.to_string()), ..self }
    }
}

/// What is told of an event; `None` if it does not matter to security.
pub(super) fn told(event: &Event) -> Option<Told> {
    match event {
        Event::Identity(event) => of_person(event),
        Event::Organisation(event) => of_organisation(event),
        Event::Federation(event) => Some(match event {
            FederationEvent::ProviderConfigured(_) | FederationEvent::ProviderRemoved(_) => {
                Told::organisation()
            }
            FederationEvent::IdentityLinked(it) => Told::user(it.user_id),
            FederationEvent::IdentityUnlinked(it) => Told::user(it.user_id),
        }),
        Event::Application(event) => Some(of_program(event)),
        Event::Platform(PlatformEvent::ImpersonationStarted(it)) => Some(Told::user(it.user_id)),
        Event::Platform(PlatformEvent::ImpersonationEnded(it)) => {
            Some(Told::user(it.user_id).because(&it.because))
        }
        Event::Platform(_) | Event::Ledger(_) | Event::Audit(_) => None,
    }
}

fn of_person(event: &IdentityEvent) -> Option<Told> {
    Some(match event {
        IdentityEvent::AccessTokenMinted(_) | IdentityEvent::AccessTokenRevoked(_) => Told::organisation(),
        IdentityEvent::UserRegistered(it) => Told::user(it.user_id).by(&it.via),
        IdentityEvent::EmailVerified(it) => Told::user(it.user_id).by(&it.via),
        IdentityEvent::EmailChangeRequested(it) => Told::user(it.user_id),
        IdentityEvent::EmailChanged(it) => Told::user(it.user_id),
        IdentityEvent::EmailChangeExpired(it) => Told::user(it.user_id),
        IdentityEvent::PasswordChanged(it) => Told::user(it.user_id).because(&it.because),
        IdentityEvent::SessionsEnded(it) => Told::user(it.user_id).because(&it.because),
        IdentityEvent::UserDeactivated(it) => Told::user(it.user_id).because(&it.because),
        IdentityEvent::UserReactivated(it) => Told::user(it.user_id),
        IdentityEvent::PersonErased(it) => Told::user(it.user_id),
        IdentityEvent::SessionStarted(it) => Told::user(it.user_id).by(&it.method),
        IdentityEvent::SessionStrengthened(it) => Told::user(it.user_id).by(&it.method),
        IdentityEvent::OrganizationSwitched(it) => Told::user(it.user_id),
        IdentityEvent::SessionEnded(it) => Told::user(it.user_id).because(&it.because),
        IdentityEvent::SignInFailed(it) => Told::maybe(it.user_id).by(&it.method).because(&it.because),
        IdentityEvent::SignInLocked(it) => Told::maybe(it.user_id).by(&it.method),
        IdentityEvent::SignInUnlocked(it) => Told::user(it.user_id),
        IdentityEvent::TotpEnrolled(it) => Told::user(it.user_id),
        IdentityEvent::TotpRemoved(it) | IdentityEvent::PasskeyRemoved(it) => {
            Told::user(it.user_id).because(&it.because)
        }
        IdentityEvent::RecoveryCodesIssued(it) => Told::user(it.user_id),
        IdentityEvent::RecoveryCodeUsed(it) => Told::user(it.user_id),
        IdentityEvent::PasskeyAdded(it) => Told::user(it.user_id),
        IdentityEvent::PasskeyRegressed(it) => Told::user(it.user_id),
        IdentityEvent::IdentitiesLinked(it) => Told::user(it.user_id),
        IdentityEvent::IdentitiesUnlinked(it) => Told::user(it.user_id),
        IdentityEvent::UserRenamed(_)
        | IdentityEvent::UserGivenNameChanged(_)
        | IdentityEvent::UserFamilyNameChanged(_)
        | IdentityEvent::UserPhoneChanged(_)
        | IdentityEvent::UserAddressChanged(_)
        | IdentityEvent::UserLanguageChanged(_) => return None,
    })
}

fn of_organisation(event: &OrganisationEvent) -> Option<Told> {
    Some(match event {
        OrganisationEvent::StandingChanged(it) => Told::organisation().because(&it.because),
        OrganisationEvent::ProfileRenamed(_)
        | OrganisationEvent::PolicyChanged(_)
        | OrganisationEvent::RoleDefined(_)
        | OrganisationEvent::RoleRedefined(_)
        | OrganisationEvent::RoleDeleted(_)
        | OrganisationEvent::InvitationResent(_)
        | OrganisationEvent::InvitationDeclined(_)
        | OrganisationEvent::InvitationRevoked(_)
        | OrganisationEvent::InvitationExpired(_) => Told::organisation(),
        OrganisationEvent::InvitationSent(it) => Told::maybe(it.inviter),
        OrganisationEvent::InvitationAccepted(it) => Told::user(it.user_id),
        OrganisationEvent::MemberAdded(it) => Told::user(it.user_id),
        OrganisationEvent::RolesAssigned(it) => Told::user(it.user_id),
        OrganisationEvent::MemberRemoved(it) => Told::user(it.user_id).because(&it.because),
        OrganisationEvent::OwnershipTransferred(it) => Told::user(it.from).and(it.to),
        // The platform's own books, of which each organisation has its standing.
        OrganisationEvent::TenantCreated(_)
        | OrganisationEvent::TenantRequested(_)
        | OrganisationEvent::TenantApproved(_)
        | OrganisationEvent::TenantRejected(_)
        | OrganisationEvent::TenantSuspended(_)
        | OrganisationEvent::TenantReactivated(_)
        | OrganisationEvent::TenantClosed(_)
        | OrganisationEvent::TenantRenamed(_)
        | OrganisationEvent::TenantTierChanged(_) => return None,
    })
}

fn of_program(event: &ApplicationEvent) -> Told {
    match event {
        ApplicationEvent::ServiceSuspended(it) => Told::organisation().because(&it.because),
        ApplicationEvent::SecretRemoved(it) => Told::organisation().because(&it.because),
        ApplicationEvent::ServiceRegistered(_)
        | ApplicationEvent::ServiceRenamed(_)
        | ApplicationEvent::RedirectUrisChanged(_)
        | ApplicationEvent::GrantsChanged(_)
        | ApplicationEvent::ScopesChanged(_)
        | ApplicationEvent::ServiceLimited(_)
        | ApplicationEvent::ServiceUnlimited(_)
        | ApplicationEvent::ServiceResumed(_)
        | ApplicationEvent::ServiceRemoved(_)
        | ApplicationEvent::SecretAdded(_)
        | ApplicationEvent::ApiKeyRevoked(_) => Told::organisation(),
        ApplicationEvent::ConsentGranted(it) => Told::user(it.user_id),
        ApplicationEvent::ConsentQuestioned(it) => Told::user(it.user_id),
        ApplicationEvent::ConsentRevoked(it) => Told::user(it.user_id),
        ApplicationEvent::DeviceGrantApproved(it) => Told::user(it.user_id),
        ApplicationEvent::DeviceGrantDenied(it) => Told::user(it.user_id),
        ApplicationEvent::DeviceGrantRedeemed(it) => Told::user(it.user_id),
        ApplicationEvent::ApiKeyIssued(it) => match it.owner {
            KeyOwner::User(user) => Told::user(user),
            KeyOwner::Service(_) => Told::organisation(),
        },
    }
}
