-- One row a key with which a program acts. Of what it is made of, nothing is here.
create table read.api_keys (
    tenant_id      uuid not null,
    key_id         uuid not null,
    -- As its stream tells it: whether a live one is still in time is asked of `expires_at`.
    status         text not null check (status in ('live', 'revoked')),
    owner_kind     text not null check (owner_kind in ('user', 'service')),
    owner_id       uuid not null,
    name           text collate "C" not null,
    permissions    jsonb not null,
    issued_at      timestamptz not null,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    revoked_by     uuid,
    version        bigint not null,
    first_position bigint not null,
    position       bigint not null,
    primary key (tenant_id, key_id)
) with (fillfactor = 85);

create unique index api_keys_by_position on read.api_keys (tenant_id, first_position);
create index api_keys_by_owner on read.api_keys (tenant_id, owner_id, first_position);

call run.wall('read.api_keys');
