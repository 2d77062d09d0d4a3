-- One row a service of an organisation. Of its secrets, the identifiers of those that are not removed.
create table read.services (
    tenant_id      uuid not null,
    service_id     uuid not null,
    status         text not null check (status in ('active', 'suspended', 'removed')),
    name           text collate "C" not null,
    confidential   boolean not null,
    redirect_uris  jsonb not null,
    grants         jsonb not null,
    scopes         jsonb not null,
    limits         jsonb,
    secrets        jsonb not null,
    -- Why it is suspended, in a word.
    because        text,
    registered_at  timestamptz not null,
    version        bigint not null,
    first_position bigint not null,
    position       bigint not null,
    primary key (tenant_id, service_id)
) with (fillfactor = 85);

create unique index services_by_position on read.services (tenant_id, first_position);

call run.wall('read.services');
