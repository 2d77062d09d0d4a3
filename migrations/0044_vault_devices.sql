-- Devices that asked to be signed in (RFC 8628). That they asked, and how often they came back, is no event: thousands ask who
-- never come in. What a person decided is an event, and these rows follow it in its transaction.

-- `user_code` is what a person types: eight letters without the dash. `came_by` is the session in which they decided,
-- `session_id` the one that the device got.
create table vault.device_grants (
    tenant_id  uuid not null,
    grant_id   uuid not null,
    service_id uuid not null,
    hash       bytea not null check (octet_length(hash) = 32),
    user_code  text not null check (length(user_code) = 8),
    scope      text not null,
    asked_from text not null,
    asked_at   timestamptz not null,
    expires_at timestamptz not null,
    interval_s smallint not null check (interval_s > 0),
    polled_at  timestamptz,
    state      text not null check (state in ('pending', 'approved', 'denied', 'redeemed', 'over')),
    user_id    uuid,
    came_by    uuid,
    session_id uuid,
    primary key (tenant_id, grant_id)
);
create unique index device_grants_user_code on vault.device_grants (tenant_id, user_code) where state = 'pending';
create index device_grants_expires on vault.device_grants (tenant_id, expires_at);
create index device_grants_user on vault.device_grants (tenant_id, user_id) where user_id is not null;
call vault.wall('vault.device_grants');

-- Takes in a batch of devices that ask, of any tenants, and answers those that are in: one is left out whose code another
-- device has, and gets another code. As it takes in, it forgets what is over: what nobody decided at once, the rest after an
-- hour, so that a code that comes back is known.
create function vault.ask_devices(tenants uuid[], grants uuid[], services uuid[], hashes bytea[], codes text[], scopes text[],
                                  addresses text[], lasts interval, every smallint)
    returns setof uuid
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array(select distinct it from unnest(tenants) it)::text, true);
    delete from vault.device_grants it using (
        select o.tenant_id, o.grant_id from vault.device_grants o
        where o.tenant_id = any (tenants) and o.expires_at < now_
            and (o.state = 'pending' or o.expires_at < now_ - interval '1 hour')
        limit 20 + 2 * array_length(tenants, 1) for update skip locked
    ) over_ where it.tenant_id = over_.tenant_id and it.grant_id = over_.grant_id;
    return query
        insert into vault.device_grants
            (tenant_id, grant_id, service_id, hash, user_code, scope, asked_from, asked_at, expires_at, interval_s, state)
        select it.tenant, it.grant_id, it.service, it.hash, it.code, it.scope, it.address, now_, now_ + lasts, every, 'pending'
        from unnest(tenants, grants, services, hashes, codes, scopes, addresses)
            as it (tenant, grant_id, service, hash, code, scope, address)
        on conflict do nothing
        returning grant_id;
end $$;

-- A device comes back for its tokens. Whoever comes too soon gets nothing, has to wait five seconds longer from then on, and
-- that is remembered (RFC 8628 section 3.5).
--
-- Outcomes, in the order in which they are looked for: `unknown`, `redeemed` (with the session, which must end: somebody has a
-- copy of the code), `expired`, `slow_down`, `denied` (told once), `pending`, `approved`.
create function vault.poll_device(tenant uuid, device uuid, shown bytea, service uuid)
    returns table (outcome text, user_id uuid, came_by uuid, session_id uuid, scope text)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    held vault.device_grants;
    now_ timestamptz;
    said text;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    select it.* into held from vault.device_grants it
    where it.tenant_id = tenant and it.grant_id = device and it.hash = shown and it.service_id = service
    for update;
    if not found or held.state = 'over' then
        return query select 'unknown', null::uuid, null::uuid, null::uuid, null::text;
        return;
    end if;
    now_ := clock_timestamp();
    said := case
        when held.state = 'redeemed' then 'redeemed'
        when held.expires_at <= now_ then 'expired'
        when held.polled_at + make_interval(secs => held.interval_s) > now_ then 'slow_down'
        else held.state
    end;
    update vault.device_grants it set
        polled_at = now_,
        interval_s = case when said = 'slow_down' then least(held.interval_s + 5, 600) else held.interval_s end,
        state = case when said = 'denied' then 'over' else held.state end
    where it.tenant_id = tenant and it.grant_id = device;
    return query select said, held.user_id, held.came_by, held.session_id, held.scope;
end $$;

-- The device whose code somebody typed, while nobody has decided.
create function vault.device_of_code(tenant uuid, code text)
    returns table (grant_id uuid, service_id uuid, scope text, asked_from text, asked_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.grant_id, it.service_id, it.scope, it.asked_from, it.asked_at from vault.device_grants it
        where it.tenant_id = tenant and it.user_code = code and it.state = 'pending' and it.expires_at > clock_timestamp();
end $$;

-- The same device again, when they decide.
create function vault.device_to_decide(tenant uuid, device uuid)
    returns table (grant_id uuid, service_id uuid, scope text, asked_from text, asked_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.grant_id, it.service_id, it.scope, it.asked_from, it.asked_at from vault.device_grants it
        where it.tenant_id = tenant and it.grant_id = device and it.state = 'pending' and it.expires_at > clock_timestamp();
end $$;

-- With the event of what a person decided.
create function vault.do_decide_device(change jsonb) returns void
    language sql volatile as $$
    update vault.device_grants set
        state = case when (change->>'approved')::boolean then 'approved' else 'denied' end,
        user_id = (change->>'user')::uuid, came_by = (change->>'came_by')::uuid
    where tenant_id = (change->>'tenant')::uuid and grant_id = (change->>'grant')::uuid and state = 'pending'
$$;

-- With the event that it got its tokens.
create function vault.do_redeem_device(change jsonb) returns void
    language sql volatile as $$
    update vault.device_grants set state = 'redeemed', session_id = (change->>'session')::uuid
    where tenant_id = (change->>'tenant')::uuid and grant_id = (change->>'grant')::uuid and state = 'approved'
$$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.ask_devices(uuid[], uuid[], uuid[], bytea[], text[], text[], text[], interval, smallint)',
        'vault.poll_device(uuid, uuid, bytea, uuid)', 'vault.device_of_code(uuid, text)',
        'vault.device_to_decide(uuid, uuid)', 'vault.do_decide_device(jsonb)', 'vault.do_redeem_device(jsonb)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
