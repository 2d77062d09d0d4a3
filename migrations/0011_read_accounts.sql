-- One row an account, as it is now. Names sort and are searched by code point.
create table read.accounts (
    tenant_id       uuid not null,
    account_id      uuid not null,
    name            text collate "C" not null,
    currency        text collate "C" not null,
    normal_side     text not null,
    min_balance     numeric(38, 4),
    max_balance     numeric(38, 4),
    status          text not null check (status in ('open', 'frozen', 'closed')),
    frozen          text not null check (frozen in ('none', 'debits', 'credits', 'both')),
    debits_posted   numeric(38, 4) not null,
    credits_posted  numeric(38, 4) not null,
    debits_pending  numeric(38, 4) not null,
    credits_pending numeric(38, 4) not null,
    balance         numeric(38, 4) not null,
    available       numeric(38, 4),
    version         bigint not null,
    metadata        jsonb not null,
    opened_at       timestamptz not null,
    changed_at      timestamptz not null,
    position        bigint not null,
    primary key (tenant_id, account_id)
) with (fillfactor = 70);

create index accounts_by_opening on read.accounts (tenant_id, opened_at, account_id);
create index accounts_by_name on read.accounts (tenant_id, name, account_id);

call run.wall('read.accounts');
