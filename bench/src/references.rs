//! The physical limit, measured in the same run: what the same server does with nothing of ours in between.

use std::time::Duration;

use tempfile::TempDir;

use crate::server::Server;

/// Clients of the bare insert.
const INSERT_CLIENTS: u32 = 32;
/// Clients of the classic transfer.
const TRANSFER_CLIENTS: u32 = 64;

/// Accounts of the classic transfer.
pub(crate) const ACCOUNTS: u32 = 10_000;

/// `R`: an insert of one event of 300 bytes a transaction. `S`: the transfer that everybody writes first.
pub(crate) struct References {
    server: Server,
    scripts: TempDir,
}

const TABLES: &str = "
    create table events (
        global_position bigint generated always as identity primary key,
        stream_id uuid not null, version bigint not null, type text not null, tenant_id uuid not null,
        data jsonb not null, metadata jsonb not null, recorded_at timestamptz not null default now(),
        unique (stream_id, version));
    create table accounts (id bigint primary key, balance bigint not null check (balance >= 0));
    create table transfers (
        id uuid primary key, debit bigint not null, credit bigint not null, amount bigint not null,
        at timestamptz not null default now());
    insert into accounts select n, 1000000000 from generate_series(1, 10000) n;";

const INSERT: &str = r#"insert into events (stream_id, version, type, tenant_id, data, metadata) values (gen_random_uuid(), 1, 'ledger.transfer-posted', '00000000-0000-0000-0000-000000000001', '{"transfer_id":"0190a5c4-7c1e-7000-8000-000000000001","legs":[{"account_id":"0190a5c4-7c1e-7000-8000-000000000002","side":"debit","amount":"12.50"},{"account_id":"0190a5c4-7c1e-7000-8000-000000000003","side":"credit","amount":"12.50"}],"currency":"EUR","code":"sale","note":"thirty bytes of a remark more"}', '{"actor":"0190a5c4-7c1e-7000-8000-000000000009","trace":1}');
"#;

/// `debit` and `credit` are set before.
const TRANSFER: &str = r"\set first least(:debit, :credit)
\set second greatest(:debit, :credit)
begin;
select balance from accounts where id = :first for update;
select balance from accounts where id = :second for update;
select balance >= 1 as funded from accounts where id = :debit \gset
\if :funded
update accounts set balance = balance - 1 where id = :debit;
update accounts set balance = balance + 1 where id = :credit;
insert into transfers (id, debit, credit, amount) values (gen_random_uuid(), :debit, :credit, 1);
\endif
commit;
";

impl References {
    /// Makes their tables in a database of their own.
    pub(crate) async fn prepare(server: &Server) -> anyhow::Result<Self> {
        let server = server.database("bench_references").await?;
        server.run(TABLES).await?;
        server.run("vacuum analyze accounts").await?;
        let scripts = tempfile::tempdir()?;
        let uniform = format!(
            "\\set debit random(1, {ACCOUNTS})\n\\set credit 1 + (:debit + random(0, {ACCOUNTS} - 2)) % {ACCOUNTS}\n{TRANSFER}"
        );
        let hot = format!("\\set debit 1\n\\set credit random(2, {ACCOUNTS})\n{TRANSFER}");
        for (name, script) in [("insert", INSERT), ("uniform", &uniform), ("hot", &hot)] {
            std::fs::write(scripts.path().join(name), script)?;
        }
        Ok(Self { server, scripts })
    }

    /// `R`, a second.
    pub(crate) async fn inserts(&self, time: Duration) -> anyhow::Result<f64> {
        self.server.pgbench(&self.scripts.path().join("insert"), INSERT_CLIENTS, time).await
    }

    /// `S`, a second, over all accounts.
    pub(crate) async fn transfers(&self, time: Duration) -> anyhow::Result<f64> {
        self.server.pgbench(&self.scripts.path().join("uniform"), TRANSFER_CLIENTS, time).await
    }

    /// `S`, a second, all from one account.
    pub(crate) async fn hot_transfers(&self, time: Duration) -> anyhow::Result<f64> {
        self.server.pgbench(&self.scripts.path().join("hot"), TRANSFER_CLIENTS, time).await
    }
}
