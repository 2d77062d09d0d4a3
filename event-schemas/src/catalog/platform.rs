//! What is the platform's own.

use domain::platform::{
    Impersonation, ImpersonationEnded, ImpersonationStarted, Permissions, PermissionsRecorded, PlatformEvent,
    SigningKey, SigningKeyActivated, SigningKeyAnnounced, SigningKeyRemoved, SigningKeyRetired,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<SigningKey, PlatformEvent, SigningKeyAnnounced>(
        "platform.signing-key-announced",
        "A key for signing tokens was published, before it is used.",
    ),
    event::<SigningKey, PlatformEvent, SigningKeyActivated>(
        "platform.signing-key-activated",
        "Tokens are signed with a key from now on.",
    ),
    event::<SigningKey, PlatformEvent, SigningKeyRetired>(
        "platform.signing-key-retired",
        "A key signs nothing any more; its tokens are believed until they have ended.",
    ),
    event::<SigningKey, PlatformEvent, SigningKeyRemoved>(
        "platform.signing-key-removed",
        "No token of a key is believed any more.",
    ),
    event::<Permissions, PlatformEvent, PermissionsRecorded>(
        "platform.permissions-recorded",
        "Built-in roles grant this from now on.",
    ),
    event::<Impersonation, PlatformEvent, ImpersonationStarted>(
        "platform.impersonation-started",
        "Staff of the platform began to act for a user.",
    ),
    event::<Impersonation, PlatformEvent, ImpersonationEnded>(
        "platform.impersonation-ended",
        "Staff of the platform do not act for a user any more.",
    ),
];

pub(super) const AGGREGATES: &[AggregateType] =
    &[aggregate::<SigningKey>(), aggregate::<Permissions>(), aggregate::<Impersonation>()];
