-- From where a device asked is shown to the person who decides about it, and to nobody else: it is sealed while it waits, and
-- forgotten with the decision. Of devices that waited when this came it is not known any more.

-- And a service that gets a secret gives up those that have expired, so that what the log says of them (that they were
-- removed) is so.

drop function vault.ask_devices(uuid[], uuid[], uuid[], bytea[], text[], text[], text[], interval, smallint);
drop function vault.device_of_code(uuid, text);
drop function vault.device_to_decide(uuid, uuid);

alter table vault.device_grants
    alter column asked_from drop not null,
    alter column asked_from type bytea using null;

create function vault.ask_devices(tenants uuid[], grants uuid[], services uuid[], hashes bytea[], codes text[], scopes text[],
                                  addresses bytea[], lasts interval, every smallint)
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

create function vault.device_of_code(tenant uuid, code text)
    returns table (grant_id uuid, service_id uuid, scope text, asked_from bytea, asked_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.grant_id, it.service_id, it.scope, it.asked_from, it.asked_at from vault.device_grants it
        where it.tenant_id = tenant and it.user_code = code and it.state = 'pending' and it.expires_at > clock_timestamp();
end $$;

create function vault.device_to_decide(tenant uuid, device uuid)
    returns table (grant_id uuid, service_id uuid, scope text, asked_from bytea, asked_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.grant_id, it.service_id, it.scope, it.asked_from, it.asked_at from vault.device_grants it
        where it.tenant_id = tenant and it.grant_id = device and it.state = 'pending' and it.expires_at > clock_timestamp();
end $$;

create or replace function vault.do_decide_device(change jsonb) returns void
    language sql volatile as $$
    update vault.device_grants set
        state = case when (change->>'approved')::boolean then 'approved' else 'denied' end,
        user_id = (change->>'user')::uuid, came_by = (change->>'came_by')::uuid, asked_from = null
    where tenant_id = (change->>'tenant')::uuid and grant_id = (change->>'grant')::uuid and state = 'pending'
$$;

create or replace function vault.do_put_client_secret(change jsonb) returns void
    language sql volatile as $$
    delete from vault.client_secrets
    where tenant_id = (change->>'tenant')::uuid and service_id = (change->>'service')::uuid
        and expires_at <= clock_timestamp();
    insert into vault.client_secrets (tenant_id, secret_id, service_id, hash, expires_at, put_at)
    values ((change->>'tenant')::uuid, (change->>'secret')::uuid, (change->>'service')::uuid,
            decode(change->>'hash', 'hex'), (change->>'expires_at')::timestamptz, clock_timestamp());
$$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.ask_devices(uuid[], uuid[], uuid[], bytea[], text[], text[], bytea[], interval, smallint)',
        'vault.device_of_code(uuid, text)', 'vault.device_to_decide(uuid, uuid)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
