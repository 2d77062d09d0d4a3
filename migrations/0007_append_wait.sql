-- The same append, which now also tells how long it waited for the head row: the one figure of contention between writing
-- processes that nobody outside the statement can measure.

drop function store.append;

-- Appends a batch. `read_to` is the position that the writer's states are exact for: if the head stands there, nothing
-- can have changed; if it has moved, every stream that was read is compared with its last version (in a later statement
-- than the lock, so that it sees what was committed before the lock was granted).
--
-- Answers 'appended' with the position before the batch and the time given to it; or, having written nothing, 'stale'
-- (a stream moved, or somebody recorded something after the time of the decision), 'late' (the time is past `valid_until`) or 'epoch' (the log was restored).
-- `waited_us` says for how many microseconds the statement waited for the head.
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
) returns table (outcome text, base bigint, recorded timestamptz, waited_us bigint)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    head store.log_head;
    asked timestamptz;
begin
    perform set_config('app.tenants', served::text, true);
    asked := clock_timestamp();
    select * into strict head from store.log_head where id = 1 for update;
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
    return query select 'appended', base, recorded, waited_us;
end $$;

revoke execute on function store.append from public;
grant execute on function store.append to quipu_command, quipu_reactor, quipu_platform;
