-- One row a transfer, as it is now.
create table read.transfers (
    tenant_id       uuid not null,
    transfer_id     uuid not null,
    status          text not null check (status in ('posted', 'pending', 'voided', 'expired')),
    reversed        boolean not null,
    reverses        uuid,
    code            text,
    metadata        jsonb not null,
    legs            jsonb not null,
    effective_at    timestamptz not null,
    recorded_at     timestamptz not null,
    expires_at      timestamptz,
    version         bigint not null,
    first_position  bigint not null,
    posted_position bigint,
    position        bigint not null,
    primary key (tenant_id, transfer_id)
) with (fillfactor = 85);

create unique index transfers_by_position on read.transfers (tenant_id, first_position);
create index transfers_by_status on read.transfers (tenant_id, status, first_position);
create index transfers_by_recording on read.transfers (tenant_id, recorded_at, first_position);
-- The journal.
create unique index transfers_by_posting on read.transfers (tenant_id, posted_position) where posted_position is not null;

call run.wall('read.transfers');
