//! cala-ledger: a transfer is a transaction of two entries after a template, and keeps both balances.
//!
//! Without velocity controls, so nobody looks whether the payer has the money, and without account sets. The job that
//! rolls sets up is registered, since the crate demands it, and never started.

use cala_ledger::account::NewAccount;
use cala_ledger::job::{JobSvcConfig, Jobs};
use cala_ledger::journal::NewJournal;
use cala_ledger::tx_template::{
    NewParamDefinition, NewTxTemplate, NewTxTemplateEntry, NewTxTemplateTransaction, ParamDataType, Params,
};
use cala_ledger::{AccountId, CalaLedgerConfig, JournalId, TransactionId};
use fastrand::Rng;
use rust_decimal::Decimal;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPool};
use uuid::Uuid;

use super::{Outcome, Peer, pool};

/// As many as ours has.
const ACCOUNTS: u32 = 10_000;
/// Accounts of one statement while they are set up.
const SET_UP_ACCOUNTS: usize = 500;
const TEMPLATE: &str = "TRANSFER";

/// The peer.
pub(crate) struct CalaLedger {
    ledger: cala_ledger::CalaLedger,
    /// Listens for jobs for as long as it lives; there are none.
    _jobs: Jobs,
}

impl CalaLedger {
    async fn on(pool: PgPool, migrate: bool) -> anyhow::Result<Self> {
        let mut jobs = Jobs::init(JobSvcConfig::builder().pool(pool.clone()).build()?).await?;
        let config = CalaLedgerConfig::builder().pool(pool).exec_migrations(migrate).build()?;
        Ok(Self { ledger: cala_ledger::CalaLedger::init(config, &mut jobs).await?, _jobs: jobs })
    }
}

impl Peer for CalaLedger {
    const CONNECTIONS: u32 = 16;

    async fn set_up(database: PgConnectOptions) -> anyhow::Result<()> {
        let pool = pool(database, 4).await?;
        let ledger = Self::on(pool.clone(), true).await?.ledger;
        ledger.journals().create(NewJournal::builder().id(journal()).name("transfers").build()).await?;
        ledger.tx_templates().create(template()?).await?;
        let numbers: Vec<u32> = (1..=ACCOUNTS).collect();
        for numbers in numbers.chunks(SET_UP_ACCOUNTS) {
            let account = |number: &u32| {
                let name = format!("account {number}");
                NewAccount::builder().id(account(*number)).code(name.clone()).name(name).build()
            };
            ledger.accounts().create_all(numbers.iter().map(account).collect()).await?;
        }
        pool.execute("vacuum analyze").await?;
        Ok(())
    }

    async fn open(database: PgConnectOptions, connections: u32) -> anyhow::Result<Self> {
        Self::on(pool(database, connections).await?, false).await
    }

    async fn operate(&self, random: &mut Rng) -> anyhow::Result<Outcome> {
        let from = random.u32(1..=ACCOUNTS);
        let to = 1 + (from + random.u32(0..ACCOUNTS - 1)) % ACCOUNTS;
        let mut params = Params::new();
        params.insert("sender", account(from));
        params.insert("recipient", account(to));
        params.insert("amount", Decimal::new(1, 2));
        match self.ledger.post_transaction(TransactionId::new(), TEMPLATE, params).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if error.as_transient().is_some() => Ok(Outcome::GivenUp),
            Err(error) => Err(error.into()),
        }
    }
}

fn journal() -> JournalId {
    JournalId::from(Uuid::from_u128(1))
}

fn account(number: u32) -> AccountId {
    AccountId::from(Uuid::from_u128(0x0190_a5c4_7c1e_7000_8000_0000_0000_0000 + u128::from(number)))
}

/// Moves `amount` from `sender` to `recipient`.
fn template() -> anyhow::Result<NewTxTemplate> {
    let param = |name: &str, r#type| NewParamDefinition::builder().name(name).r#type(r#type).build();
    let entry = |kind: &str, account: &str, direction: &str| {
        NewTxTemplateEntry::builder()
            .entry_type(kind)
            .account_id(account)
            .layer("SETTLED")
            .direction(direction)
            .units("params.amount")
            .currency("'EUR'")
            .build()
    };
    let transaction = NewTxTemplateTransaction::builder()
        .effective("date()")
        .journal_id(format!("uuid('{}')", journal()))
        .build()?;
    Ok(NewTxTemplate::builder()
        .id(Uuid::from_u128(2))
        .code(TEMPLATE)
        .params(vec![
            param("sender", ParamDataType::Uuid)?,
            param("recipient", ParamDataType::Uuid)?,
            param("amount", ParamDataType::Decimal)?,
        ])
        .transaction(transaction)
        .entries(vec![
            entry("'TRANSFER_DR'", "params.sender", "DEBIT")?,
            entry("'TRANSFER_CR'", "params.recipient", "CREDIT")?,
        ])
        .build())
}
