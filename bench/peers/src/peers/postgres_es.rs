//! postgres-es with cqrs-es: a command loads an aggregate by its events and appends the event that it decides on.
//!
//! Without views and snapshots: both would be further statements of every command.

use std::convert::Infallible;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use fastrand::Rng;
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::Executor as _;
use sqlx::postgres::PgConnectOptions;

use super::{Outcome, Peer, STREAMS, any_stream, pool};
use crate::transfer::Transfer;

/// The table of `db/init.sql` in the crate, which has no migrations.
const TABLE: &str = "
    create table events (
        aggregate_type text not null,
        aggregate_id text not null,
        sequence bigint check (sequence >= 0) not null,
        event_type text not null,
        event_version text not null,
        payload json not null,
        metadata json not null,
        primary key (aggregate_type, aggregate_id, sequence))";

/// An event for each stream, so that plans are made for a table with rows in it.
const FILL: &str = "
    insert into events
    select 'account', 'account-' || lpad(n::text, 8, '0'), 1, 'Posted', '1.0', $1::json, '{}'
    from generate_series(1, $2) n";

/// The peer.
pub(crate) struct PostgresEs {
    framework: PostgresCqrs<Account>,
}

/// An aggregate that remembers how often something was posted to it.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    entries: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum AccountEvent {
    Posted(Transfer),
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        "Posted".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Transfer;
    type Event = AccountEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(&mut self, command: Transfer, (): &(), sink: &EventSink<Self>) -> Result<(), Infallible> {
        sink.write(AccountEvent::Posted(command), self).await;
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Posted(_) => self.entries += 1,
        }
    }
}

impl Peer for PostgresEs {
    const CONNECTIONS: u32 = 16;

    async fn set_up(database: PgConnectOptions) -> anyhow::Result<()> {
        let pool = pool(database, 1).await?;
        pool.execute(TABLE).await?;
        let first = AccountEvent::Posted(Transfer::any(&mut Rng::with_seed(0)));
        sqlx::query(FILL)
            .bind(serde_json::to_string(&first)?)
            .bind(i64::from(STREAMS))
            .execute(&pool)
            .await?;
        pool.execute("vacuum analyze events").await?;
        Ok(())
    }

    async fn open(database: PgConnectOptions, connections: u32) -> anyhow::Result<Self> {
        Ok(Self { framework: postgres_cqrs(pool(database, connections).await?, Vec::new(), ()) })
    }

    async fn operate(&self, random: &mut Rng) -> anyhow::Result<Outcome> {
        match self.framework.execute(&any_stream(random), Transfer::any(random)).await {
            Ok(()) => Ok(Outcome::Done),
            Err(AggregateError::AggregateConflict) => Ok(Outcome::GivenUp),
            Err(error) => Err(error.into()),
        }
    }
}
