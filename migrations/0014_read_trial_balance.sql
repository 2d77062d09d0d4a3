-- The newest totals of each account, and their sums a currency: the sums are moved by the difference that an event
-- makes to its accounts, so both always agree.
create table read.trial_balance_accounts (
    tenant_id       uuid not null,
    currency        text collate "C" not null,
    account_id      uuid not null,
    debits_posted   numeric(38, 4) not null,
    credits_posted  numeric(38, 4) not null,
    debits_pending  numeric(38, 4) not null,
    credits_pending numeric(38, 4) not null,
    primary key (tenant_id, currency, account_id)
) with (fillfactor = 70);

create table read.trial_balance (
    tenant_id       uuid not null,
    currency        text collate "C" not null,
    debits_posted   numeric(38, 4) not null,
    credits_posted  numeric(38, 4) not null,
    debits_pending  numeric(38, 4) not null,
    credits_pending numeric(38, 4) not null,
    position        bigint not null,
    primary key (tenant_id, currency)
) with (fillfactor = 20);

call run.wall('read.trial_balance_accounts');
call run.wall('read.trial_balance');
