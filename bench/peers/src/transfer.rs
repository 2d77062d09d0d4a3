//! What the event stores are given to append: a transfer of some 300 bytes of JSON, the payload of the bare insert that
//! `./dev bench` measures them beside.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A transfer, as an event of the account that pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    transfer_id: Uuid,
    legs: [Leg; 2],
    currency: String,
    code: String,
    note: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Leg {
    account_id: Uuid,
    side: String,
    amount: String,
}

impl Transfer {
    /// One that nobody has made before.
    pub(crate) fn any(random: &mut Rng) -> Self {
        let mut leg = |side: &str| Leg {
            account_id: Uuid::from_u128(random.u128(..)),
            side: side.to_owned(),
            amount: "12.50".to_owned(),
        };
        Self {
            transfer_id: Uuid::now_v7(),
            legs: [leg("debit"), leg("credit")],
            currency: "EUR".to_owned(),
            code: "sale".to_owned(),
            note: "thirty bytes of a remark more".to_owned(),
        }
    }
}
