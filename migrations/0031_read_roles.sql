-- One row a role that an organisation made itself.
create table read.roles (
    tenant_id      uuid not null,
    role_id        uuid not null,
    name           text collate "C" not null,
    permissions    jsonb not null,
    version        bigint not null,
    first_position bigint not null,
    position       bigint not null,
    deleted        boolean not null,
    primary key (tenant_id, role_id)
) with (fillfactor = 85);

create unique index roles_by_position on read.roles (tenant_id, first_position);

call run.wall('read.roles');
