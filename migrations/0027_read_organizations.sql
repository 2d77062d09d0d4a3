-- One row an organisation, as the platform sees it: its rows are the platform's own, tenant zero's.
create table read.organizations (
    tenant_id       uuid not null,
    organization_id uuid not null,
    status          text not null check (status in ('pending', 'active', 'suspended', 'rejected', 'closed')),
    slug            text collate "C" not null,
    name            text not null,
    founder         uuid,
    tier            text,
    requested_at    timestamptz not null,
    -- When and by whom its status was set last, why in a word, and in words for the founder.
    decided_at      timestamptz,
    decided_by      uuid,
    because         text,
    reason          jsonb,
    version         bigint not null,
    first_position  bigint not null,
    position        bigint not null,
    primary key (tenant_id, organization_id)
) with (fillfactor = 85);

create unique index organizations_by_position on read.organizations (tenant_id, first_position);
create index organizations_by_status on read.organizations (tenant_id, status, first_position);

call run.wall('read.organizations');
