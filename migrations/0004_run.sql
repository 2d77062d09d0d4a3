-- What the projector remembers. Losing it costs a rebuild, never history.

create table run.projections (
    model       text not null,
    version     integer not null,
    epoch       integer not null,
    position    bigint not null,
    recorded_at timestamptz not null,
    lease_owner text,
    lease_epoch bigint not null default 0,
    lease_until timestamptz not null default '-infinity',
    updated_at  timestamptz not null default clock_timestamp(),
    primary key (model, version)
) with (fillfactor = 20);

-- Which version of a read model answers queries.
create table run.active_models (
    model   text primary key,
    version integer not null
);

-- A partition of a read model that met an event it could not take: its later events queue behind this one.
create table run.parked (
    model     text not null,
    version   integer not null,
    tenant_id uuid not null,
    partition uuid not null,
    position  bigint not null,
    reason    text not null,
    attempts  integer not null default 1,
    parked_at timestamptz not null default clock_timestamp(),
    retry_at  timestamptz not null,
    primary key (model, version, tenant_id, partition)
);

create table run.publisher (
    id             smallint primary key check (id = 1),
    epoch          integer not null,
    position       bigint not null,
    stream_created timestamptz,
    stream_seq     bigint not null default 0,
    lease_owner    text,
    lease_epoch    bigint not null default 0,
    lease_until    timestamptz not null default '-infinity',
    updated_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 20);

-- What a process manager must do later. `kind` names the manager, `subject_id` what it is about.
create table run.deadlines (
    tenant_id  uuid not null,
    kind       text not null,
    subject_id uuid not null,
    due_at     timestamptz not null,
    position   bigint not null,
    primary key (tenant_id, kind, subject_id)
);

create index deadlines_due on run.deadlines (kind, due_at);

alter table run.parked enable row level security;
alter table run.parked force row level security;
alter table run.deadlines enable row level security;
alter table run.deadlines force row level security;
create policy every_tenant on run.parked to quipu_projector using (true) with check (true);
create policy every_tenant on run.deadlines to quipu_projector, quipu_reactor using (true) with check (true);
create policy served_tenants_read on run.parked for select to quipu_query
    using (tenant_id = any ((select store.served_tenants())::uuid[]));

grant select, insert, update on run.projections, run.active_models, run.publisher to quipu_projector;
grant select, insert, update, delete on run.parked, run.deadlines to quipu_projector;
grant select on run.deadlines to quipu_reactor;
grant select on run.projections, run.active_models, run.parked, run.publisher to quipu_query;
