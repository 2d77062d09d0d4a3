-- The head of the log without a row that moves.
--
-- Until now one row held the position, and every append updated it. An update leaves the old version behind, and while
-- anybody holds a snapshot (a dump, a report, a forgotten session) none of them can be cleared away: after 40,000 appends
-- the next one took two milliseconds to find the living version, and it grew with every further one. So nothing is updated
-- any more. Each append leaves a mark, the newest mark is the head, and the newest entry of an index is found at once
-- however long somebody reads. What is left of the old row says which history this is, and is what an append holds:
-- a lock on a row does not make a new version of it.
--
-- The same goes for the row that counted each tenant's events.

alter table store.log_head rename to log_identity;
alter table store.log_identity reset (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);

create table store.log_marks (
    position    bigint primary key check (position >= 0),
    recorded_at timestamptz not null
);
insert into store.log_marks select position, recorded_at from store.log_identity;

drop trigger onwards on store.log_identity;
alter table store.log_identity drop column position, drop column recorded_at;

create or replace function store.refuse_step_back() returns trigger language plpgsql as $$
begin
    if new.epoch < old.epoch then
        raise exception 'the epoch of the log only moves on' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger onwards before update on store.log_identity for each row execute function store.refuse_step_back();

-- Whoever may append may leave a mark, but only onwards.
create function store.refuse_earlier_mark() returns trigger language plpgsql as $$
begin
    if exists (
        select from (select * from store.log_marks m order by m.position desc limit 1) newest
        where new.position <= newest.position or new.recorded_at < newest.recorded_at
    ) then
        raise exception 'the head of the log only moves on' using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger onwards before insert on store.log_marks for each row execute function store.refuse_earlier_mark();
create trigger append_only before update or delete on store.log_marks
    for each row execute function store.refuse_change();
create trigger append_only_truncate before truncate on store.log_marks
    for each statement execute function store.refuse_change();

create table store.tenant_marks (
    tenant_id uuid not null,
    seq       bigint not null check (seq > 0),
    primary key (tenant_id, seq)
);
-- Forced row security holds for the owner too, who serves no tenant here: it would see nothing, and copy that.
alter table store.tenant_heads no force row level security;
insert into store.tenant_marks select tenant_id, seq from store.tenant_heads;
do $$ begin
    if (select count(*) from store.tenant_marks) <> (select count(distinct tenant_id) from store.tenant_heads) then
        raise exception 'the sequences of the tenants were not copied';
    end if;
end $$;
drop table store.tenant_heads;
drop function store.refuse_lower_sequence();
create trigger append_only before update or delete on store.tenant_marks
    for each row execute function store.refuse_change();
create trigger append_only_truncate before truncate on store.tenant_marks
    for each statement execute function store.refuse_change();

alter table store.tenant_marks enable row level security;
alter table store.tenant_marks force row level security;
do $$
declare
    served constant text := 'tenant_id = any ((select store.served_tenants())::uuid[])';
begin
    execute format('create policy served_tenants on store.tenant_marks to quipu_command, quipu_reactor, quipu_platform
                    using (%1$s) with check (%1$s)', served);
    execute format('create policy audit_trail on store.tenant_marks to current_user
                    using (%1$s) with check (%1$s)', served);
end $$;

-- Where the log stands, for everybody who asks.
create view store.log_head with (security_invoker = true) as
    select i.id, m.position, m.recorded_at, i.epoch, i.timeline
    from store.log_identity i
    cross join lateral (select * from store.log_marks newest order by newest.position desc limit 1) m;

grant select on store.log_head, store.log_identity, store.log_marks
    to quipu_command, quipu_reactor, quipu_platform, quipu_projector, quipu_query;
-- To lock a row takes the right to update some column of it; this one has but one value.
grant update (id) on store.log_identity to quipu_command, quipu_reactor;
grant insert on store.log_marks to quipu_command, quipu_reactor, quipu_platform;
grant select, insert on store.tenant_marks to quipu_command, quipu_reactor, quipu_platform;

-- Takes the head until the end of the transaction, and says where the log stands. The second statement sees what was
-- committed before the first one was granted its lock.
create function store.lock_head() returns store.log_head
    language plpgsql volatile as $$
declare
    head store.log_head;
begin
    -- A snapshot from before the lock would show an older head.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'appends are for read committed alone' using errcode = 'invalid_transaction_state';
    end if;
    perform from store.log_identity where id = 1 for update;
    select * into strict head from store.log_head;
    return head;
end $$;

create or replace function store.hold_head(served uuid[])
    returns table ("position" bigint, recorded_at timestamptz, epoch integer)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    head store.log_head;
begin
    perform set_config('app.tenants', served::text, true);
    head := store.lock_head();
    return query select head.position, head.recorded_at, head.epoch;
end $$;

-- Appends a batch. `read_to` is the position that the writer's states are exact for: if the head stands there, nothing
-- can have changed; if it has moved, every stream that was read is compared with its last version (in a later statement
-- than the lock, so that it sees what was committed before the lock was granted).
--
-- Answers 'appended' with the position before the batch and the time given to it; or, having written nothing, 'stale'
-- (a stream moved, or somebody recorded something after the time of the decision), 'late' (the time is past `valid_until`) or 'epoch' (the log was restored).
-- `waited_us` says for how many microseconds the statement waited for the head.
--
-- `served_events` says how many events each of the served tenants has in the batch; `tenant_slots`, which of them an event
-- is of; `tenant_followers`, how many of the same tenant come after it.
-- `leaf_heads`, `leaf_middles` and `leaf_tails` are what the leaf of each event is hashed over, before and after the two
-- fields that only this function knows: the tenant's sequence and the time of recording.
create function store.append(
    served uuid[], read_to bigint, at_epoch integer, decided_at timestamptz, valid_until timestamptz,
    guard_tenants uuid[], guard_categories smallint[], guard_streams uuid[], guard_versions bigint[],
    served_events integer[], tenants uuid[], tenant_slots integer[], tenant_followers integer[], categories smallint[], streams uuid[], versions bigint[],
    types text[], schema_versions smallint[], event_ids uuid[], payloads text[], metas text[],
    leaf_heads bytea[], leaf_middles bytea[], leaf_tails bytea[],
    link_events integer[], link_categories smallint[], link_streams uuid[], link_versions bigint[],
    answer_tenants uuid[], answer_scopes bytea[], answer_fingerprints bytea[], answer_bodies text[], answer_events integer[],
    claim_tenants uuid[], claim_scopes text[], claim_values text[], claim_categories smallint[], claim_streams uuid[],
    release_tenants uuid[], release_scopes text[], release_values text[],
    key_tenants uuid[], key_subjects uuid[], key_wrapped bytea[]
) returns table (outcome text, base bigint, recorded timestamptz, waited_us bigint)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    head store.log_head;
    asked timestamptz;
    recorded_us bytea;
    seqs bigint[];
begin
    perform set_config('app.tenants', served::text, true);
    asked := clock_timestamp();
    head := store.lock_head();
    waited_us := extract(epoch from clock_timestamp() - asked) * 1000000;
    if head.epoch <> at_epoch then
        return query select 'epoch', head.position, head.recorded_at, waited_us;
        return;
    end if;
    if head.position <> read_to and (head.recorded_at > decided_at or exists (
        select from unnest(guard_tenants, guard_categories, guard_streams, guard_versions) as g (tenant, category, stream, version)
        where g.version is distinct from coalesce((
            select s.version from store.stream_events s
            where s.tenant_id = g.tenant and s.category = g.category and s.stream_id = g.stream
            order by s.version desc limit 1), 0)
    )) then
        return query select 'stale', head.position, head.recorded_at, waited_us;
        return;
    end if;
    base := head.position;
    -- Taken under the lock: whatever commits later has a later time, so what was known as of a moment stays so.
    recorded := greatest(clock_timestamp(), decided_at, head.recorded_at);
    if recorded >= valid_until then
        return query select 'late', head.position, head.recorded_at, waited_us;
        return;
    end if;

    -- What may be refused comes first, so that a repeated key or a held value costs little.
    if cardinality(release_tenants) > 0 then
        delete from store.claims c
        using unnest(release_tenants, release_scopes, release_values) as r (tenant, scope, value)
        where c.tenant_id = r.tenant and c.scope = r.scope and c.value = r.value;
    end if;
    if cardinality(claim_tenants) > 0 then
        insert into store.claims
        select * from unnest(claim_tenants, claim_scopes, claim_values, claim_categories, claim_streams);
    end if;
    if cardinality(answer_tenants) > 0 then
        insert into store.idempotency
        select a.tenant, a.scope, a.fingerprint, a.body::json, base + a.event, recorded
        from unnest(answer_tenants, answer_scopes, answer_fingerprints, answer_bodies, answer_events)
             as a (tenant, scope, fingerprint, body, event);
    end if;

    if cardinality(tenants) > 0 then
        recorded_us := int8send((extract(epoch from recorded) * 1000000)::bigint);
        insert into store.log_marks values (base + cardinality(tenants), recorded);

        with moved as (
            insert into store.tenant_marks
            select s.tenant, s.events + coalesce((
                select m.seq from store.tenant_marks m where m.tenant_id = s.tenant order by m.seq desc limit 1), 0)
            from unnest(served, served_events) as s (tenant, events)
            where s.events > 0
            returning tenant_id, seq
        )
        select array_agg(m.seq order by s.ordinal) into strict seqs
        from unnest(served) with ordinality as s (tenant, ordinal)
        left join moved m on m.tenant_id = s.tenant;

        insert into store.events
        select base + e.ordinal, e.tenant, seqs[e.slot] - e.followers, e.category, e.stream, e.version, e.type, e.schema_version,
               e.event_id, recorded, e.payload::json, e.meta::json,
               sha256(e.leaf_head || int8send(seqs[e.slot] - e.followers) || e.leaf_middle || recorded_us || e.leaf_tail)
        from unnest(tenants, tenant_slots, tenant_followers, categories, streams, versions, types, schema_versions,
                    event_ids, payloads, metas, leaf_heads, leaf_middles, leaf_tails) with ordinality
             as e (tenant, slot, followers, category, stream, version, type, schema_version, event_id, payload, meta, leaf_head,
                   leaf_middle, leaf_tail, ordinal)
        order by e.ordinal;

        insert into store.stream_events
        select tenants[l.event], l.category, l.stream, l.version, base + l.event
        from unnest(link_events, link_categories, link_streams, link_versions) as l (event, category, stream, version);
    end if;

    if cardinality(key_tenants) > 0 then
        insert into keys.subject_keys
        select k.tenant, k.subject, k.wrapped, recorded
        from unnest(key_tenants, key_subjects, key_wrapped) as k (tenant, subject, wrapped);
    end if;
    return query select 'appended', base, recorded, waited_us;
end $$;

revoke execute on function store.append(
    uuid[], bigint, integer, timestamptz, timestamptz, uuid[], smallint[], uuid[], bigint[],
    integer[], uuid[], integer[], integer[], smallint[], uuid[], bigint[], text[], smallint[], uuid[], text[], text[],
    bytea[], bytea[], bytea[],
    integer[], smallint[], uuid[], bigint[], uuid[], bytea[], bytea[], text[], integer[],
    uuid[], text[], text[], smallint[], uuid[], uuid[], text[], text[], uuid[], uuid[], bytea[]
) from public;
grant execute on function store.append(
    uuid[], bigint, integer, timestamptz, timestamptz, uuid[], smallint[], uuid[], bigint[],
    integer[], uuid[], integer[], integer[], smallint[], uuid[], bigint[], text[], smallint[], uuid[], text[], text[],
    bytea[], bytea[], bytea[],
    integer[], smallint[], uuid[], bigint[], uuid[], bytea[], bytea[], text[], integer[],
    uuid[], text[], text[], smallint[], uuid[], uuid[], text[], text[], uuid[], uuid[], bytea[]
) to quipu_command, quipu_reactor, quipu_platform;

-- The append of the build before, for its processes that still run: it makes of its fewer arguments those of the new one.
create or replace function store.append(
    served uuid[], read_to bigint, at_epoch integer, decided_at timestamptz, valid_until timestamptz,
    guard_tenants uuid[], guard_categories smallint[], guard_streams uuid[], guard_versions bigint[],
    tenants uuid[], tenant_followers integer[], categories smallint[], streams uuid[], versions bigint[],
    types text[], schema_versions smallint[], event_ids uuid[], payloads text[], metas text[],
    link_events integer[], link_categories smallint[], link_streams uuid[], link_versions bigint[],
    answer_tenants uuid[], answer_scopes bytea[], answer_fingerprints bytea[], answer_bodies text[], answer_events integer[],
    claim_tenants uuid[], claim_scopes text[], claim_values text[], claim_categories smallint[], claim_streams uuid[],
    release_tenants uuid[], release_scopes text[], release_values text[],
    key_tenants uuid[], key_subjects uuid[], key_wrapped bytea[]
) returns table (outcome text, base bigint, recorded timestamptz, waited_us bigint)
    language sql volatile as $$
    select a.* from
        (select array_agg(array_position(served, t) order by o) as slots,
                array_agg('\x00'::bytea || store.leaf_field(uuid_send(t)) || int4send(8) order by o) as heads
         from unnest(tenants) with ordinality as e (t, o)) h,
        (select array_agg(store.leaf_field(int2send(category)) || store.leaf_field(uuid_send(stream))
                          || store.leaf_field(int8send(version)) || store.leaf_field(convert_to(type, 'UTF8'))
                          || store.leaf_field(int2send(schema_version)) || store.leaf_field(uuid_send(id)) || int4send(8)
                          order by o) as middles
         from unnest(categories, streams, versions, types, schema_versions, event_ids) with ordinality
              as e (category, stream, version, type, schema_version, id, o)) m,
        (select array_agg(store.leaf_field(sha256(convert_to(payload, 'UTF8')))
                          || store.leaf_field(sha256(convert_to(meta, 'UTF8'))) order by o) as tails
         from unnest(payloads, metas) with ordinality as e (payload, meta, o)) t,
        (select array_agg((select count(*)::integer from unnest(tenants) x where x = s) order by o) as events
         from unnest(served) with ordinality as e (s, o)) n,
        lateral store.append(
            served, read_to, at_epoch, decided_at, valid_until, guard_tenants, guard_categories, guard_streams,
            guard_versions, n.events, tenants, coalesce(h.slots, '{}'), tenant_followers, categories, streams, versions,
            types, schema_versions, event_ids, payloads, metas, coalesce(h.heads, '{}'), coalesce(m.middles, '{}'),
            coalesce(t.tails, '{}'), link_events, link_categories, link_streams, link_versions, answer_tenants,
            answer_scopes, answer_fingerprints, answer_bodies, answer_events, claim_tenants, claim_scopes, claim_values,
            claim_categories, claim_streams, release_tenants, release_scopes, release_values, key_tenants, key_subjects,
            key_wrapped) a
$$;

-- Appends one event to a day of a tenant's trail, as `store.append` would: under the lock of the head. Query-api sends
-- this one statement and nothing else, so the lock ends with it; a caller that did otherwise, and then froze, is cut off
-- after a second like any other holder of the head.
--
-- `key_subject` and `key_wrapped` name the key that the event's origin is sealed with, if the caller made it anew.
--
-- Answers 'appended' with the position; or, having written nothing, 'key' (the subject has another key by now),
-- 'exported' (the export is there already) or 'restored' (the log was restored, and nobody said yet what that means).
create or replace function store.append_audit(
    tenant uuid, day date, event_type text, schema_version smallint, event_id uuid, payload text, meta text,
    export_id uuid, key_subject uuid, key_wrapped bytea
) returns table (outcome text, appended_at bigint, epoch integer)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    head     store.log_head;
    place    bigint;
    seq      bigint;
    recorded timestamptz;
    stream   constant uuid := (to_char(day, 'YYYYMMDD') || '-0000-8000-8000-000000000000')::uuid;
    version  bigint;
begin
    if tenant is null or tenant <> all (coalesce(store.served_tenants(), '{}')) then
        raise exception 'the transaction does not serve this tenant' using errcode = 'insufficient_privilege';
    end if;
    if event_type not in ('audit.data-read', 'audit.read-refused', 'audit.refusals-counted', 'audit.trail-exported')
        or (event_type = 'audit.trail-exported') <> (export_id is not null) then
        raise exception 'no such event may be appended here' using errcode = 'insufficient_privilege';
    end if;
    perform set_config('idle_in_transaction_session_timeout', '1000', true);
    head := store.lock_head();
    if head.timeline <> store.current_timeline() then
        return query select 'restored', head.position, head.epoch;
        return;
    end if;
    recorded := greatest(clock_timestamp(), head.recorded_at);
    -- The day is that of the caller's clock, which may differ, and a count may be written after midnight.
    if abs(day - (recorded at time zone 'UTC')::date) > 1 then
        raise exception 'the day is not near' using errcode = 'insufficient_privilege';
    end if;
    if export_id is not null and exists (
        select from store.stream_events s where s.tenant_id = tenant and s.category = 91 and s.stream_id = export_id
    ) then
        return query select 'exported', head.position, head.epoch;
        return;
    end if;
    if key_subject is not null then
        if exists (select from keys.subject_keys k where k.tenant_id = tenant and k.subject_id = key_subject) then
            return query select 'key', head.position, head.epoch;
            return;
        end if;
        insert into keys.subject_keys values (tenant, key_subject, key_wrapped, recorded);
    end if;

    place := head.position + 1;
    insert into store.log_marks values (place, recorded);
    insert into store.tenant_marks
    select tenant, 1 + coalesce((
        select m.seq from store.tenant_marks m where m.tenant_id = tenant order by m.seq desc limit 1), 0)
    returning tenant_marks.seq into seq;
    version := coalesce((select s.version from store.stream_events s
                         where s.tenant_id = tenant and s.category = 90 and s.stream_id = stream
                         order by s.version desc limit 1), 0) + 1;
    insert into store.events values (
        place, tenant, seq, 90, stream, version, event_type, schema_version, event_id, recorded, payload::json, meta::json,
        store.leaf(tenant, seq, 90::smallint, stream, version, event_type, schema_version, event_id, recorded, payload, meta));
    insert into store.stream_events values (tenant, 90, stream, version, place);
    if export_id is not null then
        insert into store.stream_events values (tenant, 91, export_id, 1, place);
    end if;
    return query select 'appended', place, head.epoch;
end $$;
