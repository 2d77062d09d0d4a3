-- The one way to write: a batch of units in one statement. The head row is locked first and held until the commit.

-- One field of a leaf: its length, then its bytes, so that no two different events hash alike.
create function store.leaf_field(field bytea) returns bytea
    language sql immutable strict parallel safe
    return int4send(octet_length(field)) || field;

-- RFC 6962 leaf hash of a stored event: every field but position and epoch, which do not survive a move to another cell.
create function store.leaf(tenant_id uuid, tenant_seq bigint, category smallint, stream_id uuid, version bigint,
                           type text, schema_version smallint, event_id uuid, recorded_at timestamptz,
                           payload text, meta text) returns bytea
    language sql immutable strict parallel safe
    return sha256('\x00'::bytea
        || store.leaf_field(uuid_send(tenant_id)) || store.leaf_field(int8send(tenant_seq))
        || store.leaf_field(int2send(category)) || store.leaf_field(uuid_send(stream_id))
        || store.leaf_field(int8send(version)) || store.leaf_field(convert_to(type, 'UTF8'))
        || store.leaf_field(int2send(schema_version)) || store.leaf_field(uuid_send(event_id))
        || store.leaf_field(int8send((extract(epoch from recorded_at) * 1000000)::bigint))
        || store.leaf_field(sha256(convert_to(payload, 'UTF8'))) || store.leaf_field(sha256(convert_to(meta, 'UTF8'))));

-- Appends a batch. `read_to` is the position that the writer's states are exact for: if the head stands there, nothing
-- can have changed; if it has moved, every stream that was read is compared with its last version (in a later statement
-- than the lock, so that it sees what was committed before the lock was granted).
--
-- Answers 'appended' with the position before the batch and the time given to it; or, having written nothing, 'stale'
-- (a stream moved, or somebody recorded something after the time of the decision), 'late' (the time is past `valid_until`) or 'epoch' (the log was restored).
create function store.append(
    served uuid[], read_to bigint, at_epoch integer, decided_at timestamptz, valid_until timestamptz,
    guard_tenants uuid[], guard_categories smallint[], guard_streams uuid[], guard_versions bigint[],
    tenants uuid[], tenant_followers integer[], categories smallint[], streams uuid[], versions bigint[],
    types text[], schema_versions smallint[], event_ids uuid[], payloads text[], metas text[],
    link_events integer[], link_categories smallint[], link_streams uuid[], link_versions bigint[],
    answer_tenants uuid[], answer_scopes bytea[], answer_fingerprints bytea[], answer_bodies text[], answer_events integer[],
    claim_tenants uuid[], claim_scopes text[], claim_values text[], claim_categories smallint[], claim_streams uuid[],
    release_tenants uuid[], release_scopes text[], release_values text[],
    key_tenants uuid[], key_subjects uuid[], key_wrapped bytea[]
) returns table (outcome text, base bigint, recorded timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    head store.log_head;
begin
    perform set_config('app.tenants', served::text, true);
    select * into strict head from store.log_head where id = 1 for update;
    if head.epoch <> at_epoch then
        return query select 'epoch', head.position, head.recorded_at;
        return;
    end if;
    if head.position <> read_to and (head.recorded_at > decided_at or exists (
        select from unnest(guard_tenants, guard_categories, guard_streams, guard_versions) as g (tenant, category, stream, version)
        where g.version is distinct from coalesce((
            select s.version from store.stream_events s
            where s.tenant_id = g.tenant and s.category = g.category and s.stream_id = g.stream
            order by s.version desc limit 1), 0)
    )) then
        return query select 'stale', head.position, head.recorded_at;
        return;
    end if;
    base := head.position;
    -- Taken under the lock: whatever commits later has a later time, so what was known as of a moment stays so.
    recorded := greatest(clock_timestamp(), decided_at, head.recorded_at);
    if recorded >= valid_until then
        return query select 'late', head.position, head.recorded_at;
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
        update store.log_head set position = base + cardinality(tenants), recorded_at = recorded where id = 1;

        insert into store.tenant_heads as h (tenant_id, seq)
        select tenant, count(*) from unnest(tenants) tenant group by tenant order by tenant
        on conflict (tenant_id) do update set seq = h.seq + excluded.seq;

        insert into store.events
        select base + e.ordinal, e.tenant, h.seq - e.followers, e.category, e.stream, e.version, e.type, e.schema_version,
               e.event_id, recorded, e.payload::json, e.meta::json,
               store.leaf(e.tenant, h.seq - e.followers, e.category, e.stream, e.version, e.type, e.schema_version,
                          e.event_id, recorded, e.payload, e.meta)
        from unnest(tenants, tenant_followers, categories, streams, versions, types, schema_versions, event_ids, payloads,
                    metas) with ordinality
             as e (tenant, followers, category, stream, version, type, schema_version, event_id, payload, meta, ordinal)
        join store.tenant_heads h on h.tenant_id = e.tenant
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
    return query select 'appended', base, recorded;
end $$;

revoke execute on function store.append from public;
grant execute on function store.append to quipu_command, quipu_reactor, quipu_platform;

-- Brings streams up to date: for each, the events after the version that is known (-1: nothing is known), either all or
-- the newest alone. A stream that has not moved has no rows.
create function store.stream_tail(served uuid[], of_tenants uuid[], of_categories smallint[], of_streams uuid[],
                                  known_versions bigint[], newest_only boolean[])
    returns table (ordinal bigint, link_version bigint, type text, schema_version smallint, payload text)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query
    select s.ordinal, l.version, e.type, e.schema_version, e.payload::text
    from unnest(of_tenants, of_categories, of_streams, known_versions, newest_only) with ordinality
         as s (tenant, category, stream, known, newest, ordinal)
    cross join lateral (
        select x.version, x.position from store.stream_events x
        where x.tenant_id = s.tenant and x.category = s.category and x.stream_id = s.stream and x.version > s.known
        order by x.version desc
        limit case when s.newest then 1 end
    ) l
    join store.events e on e.position = l.position
    order by s.ordinal, l.version;
end $$;

-- The values claimed in scopes, in ascending order.
create function store.claimed(served uuid[], of_tenants uuid[], of_scopes text[])
    returns table (ordinal bigint, value text)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query
    select s.ordinal, c.value
    from unnest(of_tenants, of_scopes) with ordinality as s (tenant, scope, ordinal)
    join store.claims c on c.tenant_id = s.tenant and c.scope = s.scope
    order by s.ordinal, c.value;
end $$;

-- The wrapped keys of data subjects.
create function store.subject_keys(served uuid[], of_tenants uuid[], of_subjects uuid[])
    returns table (tenant_id uuid, subject_id uuid, wrapped bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query
    select k.tenant_id, k.subject_id, k.wrapped
    from unnest(of_tenants, of_subjects) as s (tenant, subject)
    join keys.subject_keys k on k.tenant_id = s.tenant and k.subject_id = s.subject;
end $$;

-- The answers remembered under keys.
create function store.answers(served uuid[], of_tenants uuid[], of_scopes bytea[])
    returns table (ordinal bigint, fingerprint bytea, body text, "position" bigint)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query
    select s.ordinal, i.fingerprint, i.body::text, i.position
    from unnest(of_tenants, of_scopes) with ordinality as s (tenant, scope, ordinal)
    join store.idempotency i on i.tenant_id = s.tenant and i.scope = s.scope;
end $$;

-- Opens a transaction that holds the head: nothing can be appended by others until it ends.
create function store.hold_head(served uuid[]) returns table ("position" bigint, recorded_at timestamptz, epoch integer)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query select h.position, h.recorded_at, h.epoch from store.log_head h where h.id = 1 for update;
end $$;

revoke execute on function store.stream_tail, store.claimed, store.subject_keys, store.answers, store.hold_head from public;
grant execute on function store.stream_tail, store.claimed, store.subject_keys, store.answers, store.hold_head to quipu_command, quipu_reactor, quipu_platform;
