-- How query-api, which writes nothing else, tells the audit trail of sensitive reads and of exports: through one function
-- that can append nothing else. It runs with the owner's rights, and those reach no further than the categories of the
-- trail (90: days, 91: exports) of the tenants that the transaction serves.

do $$
declare
    served constant text := 'tenant_id = any ((select store.served_tenants())::uuid[])';
begin
    execute format('create policy audit_trail on store.events for insert to current_user
                    with check (category = 90 and %s)', served);
    execute format('create policy audit_trail on store.stream_events for insert to current_user
                    with check (category in (90, 91) and %s)', served);
    execute format('create policy audit_trail_read on store.stream_events for select to current_user
                    using (category in (90, 91) and %s)', served);
    execute format('create policy audit_trail on store.tenant_heads to current_user
                    using (%1$s) with check (%1$s)', served);
    execute format('create policy audit_trail on keys.subject_keys for insert to current_user
                    with check (%s)', served);
    execute format('create policy audit_trail_read on keys.subject_keys for select to current_user
                    using (%s)', served);
end $$;

-- Appends one event to a day of a tenant's trail, as `store.append` would: under the lock of the head. Query-api sends
-- this one statement and nothing else, so the lock ends with it; a caller that did otherwise, and then froze, is cut off
-- after a second like any other holder of the head.
--
-- `key_subject` and `key_wrapped` name the key that the event's origin is sealed with, if the caller made it anew.
--
-- Answers 'appended' with the position; or, having written nothing, 'key' (the subject has another key by now),
-- 'exported' (the export is there already) or 'restored' (the log was restored, and nobody said yet what that means).
create function store.append_audit(
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
    select * into strict head from store.log_head where id = 1 for update;
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
    update store.log_head set position = place, recorded_at = recorded where id = 1;
    insert into store.tenant_heads as h (tenant_id, seq) values (tenant, 1)
    on conflict (tenant_id) do update set seq = h.seq + 1 returning h.seq into seq;
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

revoke execute on function store.append_audit from public;
grant execute on function store.append_audit to quipu_query;
