-- One row for each event that touched an account's money, with the account's totals after it. Never updated.
create table read.account_entries (
    tenant_id       uuid not null,
    account_id      uuid not null,
    version         bigint not null,
    position        bigint not null,
    transfer_id     uuid not null,
    kind            text not null check (kind in ('posted', 'held', 'hold-posted', 'hold-voided', 'hold-expired', 'reversed')),
    side            text not null check (side in ('debit', 'credit')),
    amount          numeric(38, 4) not null,
    pending_amount  numeric(38, 4) not null,
    currency        text collate "C" not null,
    debits_posted   numeric(38, 4) not null,
    credits_posted  numeric(38, 4) not null,
    debits_pending  numeric(38, 4) not null,
    credits_pending numeric(38, 4) not null,
    balance_after   numeric(38, 4) not null,
    code            text,
    effective_at    timestamptz not null,
    recorded_at     timestamptz not null,
    primary key (tenant_id, account_id, version)
);

-- As of a moment of recording, and as of a place in the log.
create index account_entries_by_recording on read.account_entries (tenant_id, account_id, recorded_at, version);
create index account_entries_by_position on read.account_entries (tenant_id, account_id, position);
-- As of a value date: sums over it need no table.
create index account_entries_by_effect on read.account_entries (tenant_id, account_id, effective_at, version)
    include (side, amount, position);

call run.wall('read.account_entries');
