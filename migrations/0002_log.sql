-- The log. One head row gives positions under its lock, so they are dense and in commit order.

create table store.log_head (
    id          smallint primary key check (id = 1),
    position    bigint not null check (position >= 0),
    recorded_at timestamptz not null,
    epoch       integer not null check (epoch > 0),
    timeline    bigint not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The timeline is in the name of the current WAL file; a standby cannot answer, and cannot write either.
create function store.current_timeline() returns bigint
    language sql volatile
    return ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint;

insert into store.log_head values (1, 0, '2000-01-01T00:00:00Z', 1, store.current_timeline());

create table store.tenant_heads (
    tenant_id uuid primary key,
    seq       bigint not null check (seq > 0)
) with (fillfactor = 50);

create table store.events (
    position       bigint not null,
    tenant_id      uuid not null,
    tenant_seq     bigint not null,
    category       smallint not null,
    stream_id      uuid not null,
    version        bigint not null check (version > 0),
    type           text not null,
    schema_version smallint not null check (schema_version > 0),
    event_id       uuid not null,
    recorded_at    timestamptz not null,
    payload        json not null,
    meta           json not null,
    leaf           bytea not null check (octet_length(leaf) = 32),
    primary key (position)
) partition by range (position);

-- Which events belong to which streams, and as which version: an event is stored once and belongs to one or more.
-- The primary key is the tripwire against two events with one version.
create table store.stream_events (
    tenant_id uuid not null,
    category  smallint not null,
    stream_id uuid not null,
    version   bigint not null check (version > 0),
    position  bigint not null,
    primary key (tenant_id, category, stream_id, version)
);

-- Rows arrive in order of position, so a few pages tell which streams an event belongs to.
create index stream_events_position on store.stream_events using brin (position) with (pages_per_range = 16);

create table store.claims (
    tenant_id uuid not null,
    scope     text not null,
    value     text collate "C" not null,
    category  smallint not null,
    stream_id uuid not null,
    primary key (tenant_id, scope, value)
);

-- The answer to a command, kept with its key in the transaction of its effect.
create table store.idempotency (
    tenant_id   uuid not null,
    scope       bytea not null check (octet_length(scope) = 32),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    body        json not null,
    position    bigint not null,
    recorded_at timestamptz not null,
    primary key (tenant_id, scope)
);

-- One key a data subject, wrapped by the master key that lives outside the database.
create table keys.subject_keys (
    tenant_id  uuid not null,
    subject_id uuid not null,
    wrapped    bytea not null,
    created_at timestamptz not null,
    primary key (tenant_id, subject_id)
);

create function store.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the log is append-only: % on %.% is refused', tg_op, tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete on store.events
    for each row execute function store.refuse_change();
create trigger append_only_truncate before truncate on store.events
    for each statement execute function store.refuse_change();
create trigger append_only before update or delete on store.stream_events
    for each row execute function store.refuse_change();
create trigger append_only_truncate before truncate on store.stream_events
    for each statement execute function store.refuse_change();

-- Whoever may write may move the head, but only onwards.
create function store.refuse_step_back() returns trigger language plpgsql as $$
begin
    if new.position < old.position or new.recorded_at < old.recorded_at or new.epoch < old.epoch then
        raise exception 'the head of the log only moves on' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create trigger onwards before update on store.log_head for each row execute function store.refuse_step_back();

create function store.refuse_lower_sequence() returns trigger language plpgsql as $$
begin
    if new.seq < old.seq then
        raise exception 'the sequence of a tenant only moves on' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;

create trigger onwards before update on store.tenant_heads for each row execute function store.refuse_lower_sequence();

alter table store.tenant_heads enable row level security;
alter table store.tenant_heads force row level security;
alter table store.events enable row level security;
alter table store.events force row level security;
alter table store.stream_events enable row level security;
alter table store.stream_events force row level security;
alter table store.claims enable row level security;
alter table store.claims force row level security;
alter table store.idempotency enable row level security;
alter table store.idempotency force row level security;
alter table keys.subject_keys enable row level security;
alter table keys.subject_keys force row level security;

do $$
declare
    guarded text;
begin
    foreach guarded in array array['store.tenant_heads', 'store.events', 'store.stream_events', 'store.claims',
                                   'store.idempotency', 'keys.subject_keys']
    loop
        execute format($policy$
            create policy served_tenants on %s to quipu_command, quipu_reactor, quipu_platform
                using (tenant_id = any ((select store.served_tenants())::uuid[]))
                with check (tenant_id = any ((select store.served_tenants())::uuid[]))
        $policy$, guarded);
    end loop;
    foreach guarded in array array['store.events', 'store.stream_events', 'keys.subject_keys']
    loop
        execute format($policy$
            create policy served_tenants_read on %s for select to quipu_query
                using (tenant_id = any ((select store.served_tenants())::uuid[]))
        $policy$, guarded);
    end loop;
    -- The projector follows the whole log.
    foreach guarded in array array['store.events', 'store.stream_events']
    loop
        execute format('create policy whole_log on %s for select to quipu_projector using (true)', guarded);
    end loop;
end $$;

grant select, update (position, recorded_at) on store.log_head to quipu_command, quipu_reactor;
-- The platform's operator says what a restore means: see `quipu epoch`.
grant select, update on store.log_head to quipu_platform;
grant select on store.log_head to quipu_projector, quipu_query;
grant select, insert, update on store.tenant_heads to quipu_command, quipu_reactor, quipu_platform;
grant select, insert on store.events, store.stream_events to quipu_command, quipu_reactor, quipu_platform;
grant select, insert, delete on store.claims to quipu_command, quipu_reactor, quipu_platform;
grant select, insert on store.idempotency to quipu_command, quipu_reactor, quipu_platform;
grant select, insert on keys.subject_keys to quipu_command, quipu_reactor, quipu_platform;
grant select on store.events, store.stream_events to quipu_projector, quipu_query;
grant select on keys.subject_keys to quipu_query;

-- Makes the partitions for the next events: each of a million positions, always one in reserve. Runs with the owner's
-- rights, and does nothing that a caller could steer.
create function store.ensure_partitions() returns integer
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    size    constant bigint := 1000000;
    first   bigint;
    made    integer := 0;
    name    text;
begin
    select position / size into strict first from store.log_head;
    for n in first .. first + 2 loop
        name := format('events_%s', lpad(n::text, 6, '0'));
        continue when to_regclass('store.' || name) is not null;
        begin
            -- Attaching takes a weaker lock on the log than creating in place.
            execute format('create table store.%I (like store.events including all)', name);
            execute format('alter table store.%I enable row level security', name);
            execute format('alter table store.%I force row level security', name);
            execute format('create trigger append_only_truncate before truncate on store.%I
                            for each statement execute function store.refuse_change()', name);
            execute format('alter table store.events attach partition store.%I for values from (%s) to (%s)',
                           name, n * size, (n + 1) * size);
            made := made + 1;
        exception when duplicate_table then
            null; -- Another process was quicker.
        end;
    end loop;
    return made;
end $$;

revoke execute on function store.ensure_partitions() from public;
grant execute on function store.ensure_partitions() to quipu_command, quipu_reactor, quipu_projector, quipu_platform;
select store.ensure_partitions();
