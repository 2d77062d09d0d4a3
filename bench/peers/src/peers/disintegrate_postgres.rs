//! disintegrate with disintegrate-postgres: a decision loads the events that it rests on and appends what it comes to,
//! unless another of them has been appended since. It does so under SERIALIZABLE, which also refuses appends to
//! unrelated streams that met in an index; what is refused is counted as failed.

use std::convert::Infallible;

use disintegrate::serde::json::Json;
use disintegrate::{Decision, DecisionError, Event, EventStore as _, NoSnapshot, StateMutate, StateQuery};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventStore, decision_maker};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use sqlx::Executor as _;
use sqlx::postgres::PgConnectOptions;

use super::{Outcome, Peer, STREAMS, any_stream, pool, stream};
use crate::transfer::Transfer;

/// Events of one statement while the table is filled.
const FILL_EVENTS: usize = 1_000;
/// What PostgreSQL says of a transaction that cannot be put in an order with others.
const SERIALIZATION_FAILURE: &str = "40001";

/// The peer.
pub(crate) struct DisintegratePostgres {
    decisions: PgDecisionMaker<AccountEvent, Json<AccountEvent>, NoSnapshot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
enum AccountEvent {
    Posted {
        #[id]
        account_id: String,
        transfer: Transfer,
    },
}

/// A state that remembers how often something was posted to it.
#[derive(Default, Clone, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
struct Account {
    #[id]
    account_id: String,
    entries: u64,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Posted { .. } => self.entries += 1,
        }
    }
}

/// To post a transfer to an account.
struct Post {
    account_id: String,
    transfer: Transfer,
}

impl Decision for Post {
    type Event = AccountEvent;
    type StateQuery = Account;
    type Error = Infallible;

    fn state_query(&self) -> Account {
        Account { account_id: self.account_id.clone(), entries: 0 }
    }

    fn process(&self, _state: &Account) -> Result<Vec<AccountEvent>, Infallible> {
        let (account_id, transfer) = (self.account_id.clone(), self.transfer.clone());
        Ok(vec![AccountEvent::Posted { account_id, transfer }])
    }
}

impl Peer for DisintegratePostgres {
    const CONNECTIONS: u32 = 2;

    async fn set_up(database: PgConnectOptions) -> anyhow::Result<()> {
        let pool = pool(database, 1).await?;
        let store = PgEventStore::try_new(pool.clone(), Json::<AccountEvent>::default()).await?;
        let (mut random, numbers) = (Rng::with_seed(0), (1..=STREAMS).collect::<Vec<_>>());
        for numbers in numbers.chunks(FILL_EVENTS) {
            let event = |number: &u32| AccountEvent::Posted {
                account_id: stream(*number),
                transfer: Transfer::any(&mut random),
            };
            store.append_without_validation(numbers.iter().map(event).collect()).await?;
        }
        pool.execute("vacuum analyze event").await?;
        Ok(())
    }

    async fn open(database: PgConnectOptions, connections: u32) -> anyhow::Result<Self> {
        let store = PgEventStore::new_uninitialized(pool(database, connections).await?, Json::default());
        Ok(Self { decisions: decision_maker(store, NoSnapshot) })
    }

    async fn operate(&self, random: &mut Rng) -> anyhow::Result<Outcome> {
        let post = Post { account_id: any_stream(random), transfer: Transfer::any(random) };
        match self.decisions.make(post).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if lost_to_another(&error) => Ok(Outcome::GivenUp),
            Err(error) => Err(error.into()),
        }
    }
}

/// The crate names the conflict that it looks for itself, and the one that a commit meets; one that a statement before
/// meets is an error of the database.
fn lost_to_another(error: &DecisionError<Infallible>) -> bool {
    let DecisionError::StateStore(error) = error else { return false };
    match error.downcast_ref::<Error>() {
        Some(Error::Concurrency) => true,
        Some(Error::Database(sqlx::Error::Database(error))) => {
            error.code().is_some_and(|code| code == SERIALIZATION_FAILURE)
        }
        _ => false,
    }
}
