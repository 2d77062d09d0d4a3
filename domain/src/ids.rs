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

impl TenantId {
    /// The platform itself: tenant zero.
    pub const PLATFORM: Self = Self(Uuid::nil());
}

impl ActorId {
    /// The product's own processes, where no person asked.
    pub const SYSTEM: Self = Self(Uuid::nil());
}
