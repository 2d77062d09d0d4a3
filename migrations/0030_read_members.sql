-- One row a member of an organisation, those who were one among them.
create table read.members (
    tenant_id      uuid not null,
    user_id        uuid not null,
    status         text not null check (status in ('member', 'removed')),
    roles          jsonb not null,
    since          timestamptz not null,
    removed_at     timestamptz,
    version        bigint not null,
    first_position bigint not null,
    position       bigint not null,
    primary key (tenant_id, user_id)
) with (fillfactor = 85);

create unique index members_by_position on read.members (tenant_id, first_position);
create index members_by_role on read.members using gin (roles jsonb_path_ops);

call run.wall('read.members');
