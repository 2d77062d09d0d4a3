//! Typed identifiers. A bare `Uuid` appears only where SQL or the log's envelope begins.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an identifier that came from the edge, the log or a generator.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The bare identifier, for SQL and envelopes.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

typed_id!(
    /// An organisation: the border of isolation.
    TenantId
);
typed_id!(
    /// Who acts: a person, a service or the platform's own processes.
    ActorId
);
typed_id!(
    /// One issued access token.
    TokenId
);
typed_id!(
    /// A ledger account.
    AccountId
);
typed_id!(
    /// A ledger transfer, whether posted at once, held first or reversing another.
    TransferId
);
typed_id!(
    /// An export of the audit trail.
    ExportId
);
typed_id!(
    /// A person in one organisation: who has accounts in two organisations has two of them.
    UserId
);
typed_id!(
    /// A signed-in session.
    SessionId
);
typed_id!(
    /// A role that an organisation made itself.
    RoleId
);
typed_id!(
    /// An invitation to an organisation.
    InvitationId
);
typed_id!(
    /// A program of an organisation that lets people sign in, or signs in itself.
    ServiceId
);
typed_id!(
    /// A key with which a program acts for its maker.
    ApiKeyId
);
typed_id!(
    /// Somebody elsewhere who vouches for people, as an organisation has set it up.
    ProviderId
);
typed_id!(
    /// The tie between a user and who a provider says that it is.
    LinkId
);
typed_id!(
    /// A device that asked to be signed in.
    GrantId
);
typed_id!(
    /// A key with which tokens are signed.
    KeyId
);
typed_id!(
    /// A stretch of time in which staff of the platform act for a user.
    ImpersonationId
);
typed_id!(
    /// A second factor or passkey of a user.
    FactorId
);
typed_id!(
    /// A secret of a service; the secret itself is elsewhere.
    SecretId
);

impl TenantId {
    /// The platform itself: tenant zero.
    pub const PLATFORM: Self = Self(Uuid::nil());
}

impl UserId {
    /// The user, as one who acts.
    #[must_use]
    pub const fn actor(self) -> ActorId {
        ActorId::new(self.0)
    }
}

impl ServiceId {
    /// The service, as one who acts.
    #[must_use]
    pub const fn actor(self) -> ActorId {
        ActorId::new(self.0)
    }
}

impl ActorId {
    /// The product's own processes, where no person asked.
    pub const SYSTEM: Self = Self(Uuid::nil());
}
