-- Building read models again beside the live ones. The projector's role owns nothing, so shadows are made, indexed, put
-- in place and dropped by functions of the owner; which names they may touch follows from a model's name and tables.

-- One rebuild a model at a time. `tenant` is null if it is of all tenants.
create table run.rebuilds (
    model       text primary key check (model ~ '^[a-z][a-z0-9_]{0,39}$'),
    version     integer not null,
    tenant      uuid,
    state       text not null check (state in ('building', 'indexing', 'catching-up', 'verified', 'differs', 'swapped',
                                               'compared', 'failed', 'cancelled')),
    epoch       integer not null,
    target      bigint not null,
    -- How far the shadow as a whole has come; nothing until every part has reached the target.
    position    bigint,
    recorded_at timestamptz,
    comparison  json,
    error       text,
    lease_owner text,
    lease_epoch bigint not null default 0,
    lease_until timestamptz not null default '-infinity',
    started_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default clock_timestamp()
) with (fillfactor = 20);

-- Partitions are dealt to parts by hash; each part has folded and written the log up to its position. The lease stands
-- in each row too, so that one who has lost it finds out in the very row that it moves.
create table run.rebuild_parts (
    model       text not null,
    part        smallint not null,
    position    bigint not null,
    lease_epoch bigint not null,
    primary key (model, part)
) with (fillfactor = 20);

-- What stands in `read_prev_<model>`: the tables that a rebuild has replaced, and how far they had come.
create table run.previous_models (
    model       text primary key,
    version     integer not null,
    epoch       integer not null,
    position    bigint not null,
    recorded_at timestamptz not null,
    swapped_at  timestamptz not null default clock_timestamp()
);

-- Partitions parked in tables that are not live: those being built (`next`) and those that were replaced (`prev`).
create table run.rebuild_parked (
    model     text not null,
    side      text not null check (side in ('next', 'prev')),
    tenant_id uuid not null,
    partition uuid not null,
    position  bigint not null,
    reason    text not null,
    primary key (model, side, tenant_id, partition)
);

-- Events that an operator has left out of a partition. What the partition shows is wrong until the model is rebuilt.
create table run.skipped (
    model      text not null,
    version    integer not null,
    tenant_id  uuid not null,
    partition  uuid not null,
    position   bigint not null,
    reason     text not null,
    skipped_at timestamptz not null default clock_timestamp(),
    primary key (model, version, tenant_id, partition, position)
);

alter table run.rebuild_parked enable row level security;
alter table run.rebuild_parked force row level security;
alter table run.skipped enable row level security;
alter table run.skipped force row level security;
create policy every_tenant on run.rebuild_parked to quipu_projector using (true) with check (true);
create policy every_tenant on run.skipped to quipu_projector using (true) with check (true);
create policy served_tenants_read on run.skipped for select to quipu_query
    using (tenant_id = any ((select store.served_tenants())::uuid[]));

grant select, insert, update, delete
    on run.rebuilds, run.rebuild_parts, run.previous_models, run.rebuild_parked, run.skipped to quipu_projector;
grant select on run.skipped to quipu_query;

-- The schema in which a model's tables stand that are not live.
create function run.shadow(side text, model text) returns text
    language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if side not in ('next', 'prev') or model !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'there is no shadow % of %', side, model using errcode = 'invalid_parameter_value';
    end if;
    return format('read_%s_%s', side, model);
end $$;

-- What a table of a model is made like: the shape that a migration has made for this version, else the live table.
create function run.shape(model text, version integer, wanted text) returns regclass
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    found regclass := coalesce(to_regclass(format('%I.%I', format('read_shape_%s_%s', model, version), wanted)),
                               to_regclass(format('read.%I', wanted)));
begin
    if found is null then
        raise exception 'there is no read table %', wanted using errcode = 'undefined_table';
    end if;
    return found;
end $$;

-- Makes empty tables without indexes and without walls: COPY does not fill a table that has row security. Nobody but the
-- projector may enter their schema, and it sees every tenant anyway.
create function run.make_shadow(model text, version integer, tables text[]) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    shadow constant text := run.shadow('next', model);
    wanted text;
    shape regclass;
    made regclass;
    setting text;
begin
    execute format('create schema %I', shadow);
    execute format('grant usage on schema %I to quipu_projector', shadow);
    foreach wanted in array tables loop
        shape := run.shape(model, version, wanted);
        execute format('create table %I.%I (like %s including defaults including constraints including generated
                        including storage)', shadow, wanted, shape);
        made := format('%I.%I', shadow, wanted)::regclass;
        for setting in select unnest(reloptions) from pg_class where oid = shape loop
            execute format('alter table %s set (%s)', made, setting);
        end loop;
        execute format('grant select, insert, update, delete on %s to quipu_projector', made);
    end loop;
end $$;

-- Gives filled tables the walls of the live ones. Without them they cannot take their place.
create function run.wall_shadow(model text, tables text[]) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wanted text;
begin
    foreach wanted in array tables loop
        call run.wall(format('%I.%I', run.shadow('next', model), wanted)::regclass);
    end loop;
end $$;

-- Makes the next index that the shadow lacks, the primary key first; with `keys_only` no other. One call makes one, so
-- that no transaction takes longer than it must. Tells its name, or nothing once all are there.
create function run.index_shadow(model text, version integer, tables text[], keys_only boolean) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp set maintenance_work_mem = '256MB' as $$
declare
    shadow constant text := run.shadow('next', model);
    wanted text;
    shape regclass;
    made text;
    index record;
begin
    foreach wanted in array tables loop
        shape := run.shape(model, version, wanted);
        made := format('%I.%I', shadow, wanted);
        select c.relname as name, i.indisprimary as is_key, pg_get_indexdef(i.indexrelid) as definition,
               format('%I.%I', n.nspname, t.relname) as of_table
        into index
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_class t on t.oid = i.indrelid
        join pg_namespace n on n.oid = t.relnamespace
        where i.indrelid = shape and (i.indisprimary or not keys_only)
          and to_regclass(format('%I.%I', shadow, c.relname)) is null
        order by not i.indisprimary, c.relname limit 1;
        continue when not found;
        -- Indexes have their table's schema, so the names are free, and move with the table.
        execute replace(index.definition, format(' ON %s ', index.of_table), format(' ON %s ', made));
        if index.is_key then
            execute format('alter table %s add constraint %I primary key using index %I', made, index.name, index.name);
        end if;
        return index.name;
    end loop;
    return null;
end $$;

create function run.analyze_shadow(model text, tables text[]) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    wanted text;
begin
    foreach wanted in array tables loop
        execute format('analyze %I.%I', run.shadow('next', model), wanted);
    end loop;
end $$;

-- Puts the tables of one side in the place of the live ones. Those become the previous ones, of which there is one
-- generation: with side `next`, the one before was dropped. It does not wait long for readers, since those who come
-- behind it wait with it; whoever calls it has kept writers off, and tries again.
create function run.swap(model text, tables text[], side text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
declare
    shadow constant text := run.shadow(side, model);
    prev constant text := run.shadow('prev', model);
    leaving constant text := format('read_swap_%s', model);
    wanted text;
begin
    execute format('create schema %I', leaving);
    foreach wanted in array tables loop
        continue when to_regclass(format('read.%I', wanted)) is null;
        execute format('alter table read.%I set schema %I', wanted, leaving);
    end loop;
    if exists (select from pg_class where relnamespace = to_regnamespace(quote_ident(shadow)) and relkind = 'r'
               and not (relrowsecurity and relforcerowsecurity)) then
        raise exception 'tables of % have no walls', shadow using errcode = 'object_not_in_prerequisite_state';
    end if;
    for wanted in select relname from pg_class where relnamespace = to_regnamespace(quote_ident(shadow)) and relkind = 'r' loop
        execute format('alter table %I.%I set schema read', shadow, wanted);
    end loop;
    execute format('drop schema %I', shadow);
    execute format('alter schema %I rename to %I', leaving, prev);
    execute format('grant usage on schema %I to quipu_projector', prev);
end $$;

create function run.drop_shadow(model text, side text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10s' as $$
begin
    execute format('drop schema if exists %I cascade', run.shadow(side, model));
end $$;

revoke execute on function run.shadow, run.shape, run.make_shadow, run.wall_shadow, run.index_shadow, run.analyze_shadow,
    run.swap, run.drop_shadow from public;
grant execute on function run.shadow, run.make_shadow, run.wall_shadow, run.index_shadow, run.analyze_shadow,
    run.swap, run.drop_shadow to quipu_projector;
