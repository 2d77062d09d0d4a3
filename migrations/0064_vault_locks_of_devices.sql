-- Guesses on a device that is known are counted by themselves. The first half of what they are counted under is that of the
-- address, so that all devices of an address are found by it: to show their locks, and to open them.
create function vault.do_open_locks(change jsonb) returns void
    language sql volatile as $$
    delete from vault.attempts it
    where it.tenant_id = (change->>'tenant')::uuid
        and (it.kind = 1 and it.subject = decode(change->>'subject', 'hex')
            or it.kind = 2 and substring(it.subject for 16) = substring(decode(change->>'subject', 'hex') for 16))
$$;
revoke execute on function vault.do_open_locks(jsonb) from public;
grant execute on function vault.do_open_locks(jsonb) to quipu_command, quipu_reactor, quipu_platform;

-- Which of these names are locked now on a device that is known, and until when the last of those is. `subjects` are what
-- guesses from unknown devices are counted under. It runs with the owner's rights, as `store.sign_in_locks` does.
create function store.device_locks(tenant uuid, subjects bytea[]) returns table (subject bytea, locked_until timestamptz)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if tenant is null or tenant <> all (coalesce(store.served_tenants(), '{}')) then
        raise exception 'the transaction does not serve this tenant' using errcode = 'insufficient_privilege';
    end if;
    return query
        select it.asked, max(a.locked_until) from unnest(subjects) it (asked)
        join vault.attempts a on a.tenant_id = tenant and a.kind = 2 and a.locked_until > now()
            and substring(a.subject for 16) = substring(it.asked for 16)
        group by it.asked;
end $$;
revoke execute on function store.device_locks(uuid, bytea[]) from public;
grant execute on function store.device_locks(uuid, bytea[]) to quipu_query;
