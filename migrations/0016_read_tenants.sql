-- One row a tenant, readable by itself.
create table read.tenants (
    tenant_id  uuid primary key,
    slug       text collate "C" not null,
    name       text not null,
    created_at timestamptz not null,
    position   bigint not null
);

call run.wall('read.tenants');
