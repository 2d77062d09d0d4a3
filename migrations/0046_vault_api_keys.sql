-- Keys with which programs act. What a key allows, for whom and until when is in the log; here is only by what it is known
-- again, and on which day it was used last, which is worth no event.

create table vault.api_keys (
    tenant_id    uuid not null,
    key_id       uuid not null,
    user_id      uuid,
    service_id   uuid,
    hash         bytea not null check (octet_length(hash) = 32),
    made_at      timestamptz not null,
    last_used_on date,
    primary key (tenant_id, key_id),
    check (num_nonnulls(user_id, service_id) = 1)
);
create index api_keys_user on vault.api_keys (tenant_id, user_id) where user_id is not null;
call vault.wall('vault.api_keys');

-- With the event that issues a key.
create function vault.do_put_api_key(change jsonb) returns void
    language sql volatile as $$
    insert into vault.api_keys (tenant_id, key_id, user_id, service_id, hash, made_at)
    values ((change->>'tenant')::uuid, (change->>'key')::uuid, (change->>'user')::uuid, (change->>'service')::uuid,
            decode(change->>'hash', 'hex'), clock_timestamp())
$$;

-- With the event that revokes it.
create function vault.do_drop_api_key(change jsonb) returns void
    language sql volatile as $$
    delete from vault.api_keys
    where tenant_id = (change->>'tenant')::uuid and key_id = (change->>'key')::uuid
$$;

-- The keys of a person, for whoever takes all of them away.
create function vault.api_keys_of(tenant uuid, person uuid) returns setof uuid
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select k.key_id from vault.api_keys k
        where k.tenant_id = tenant and k.user_id = person order by k.key_id limit 1000;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.do_put_api_key(jsonb)', 'vault.do_drop_api_key(jsonb)', 'vault.api_keys_of(uuid, uuid)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;

-- Whoever answers requests must know a key again, and query-api sees nothing of the vault. So these two run with the
-- owner's rights, which reach no further than the keys of the tenants that the transaction serves.
do $$ begin
    execute 'create policy shown_keys on vault.api_keys to current_user
             using (tenant_id = any ((select store.served_tenants())::uuid[]))
             with check (tenant_id = any ((select store.served_tenants())::uuid[]))';
end $$;

-- Whose key it is, if there is one with this hash; whoever cannot show the secret learns nothing. Notes the day, once a
-- day; a standby notes nothing.
create function store.api_key(tenant uuid, key uuid, shown bytea)
    returns table (user_id uuid, service_id uuid)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    known vault.api_keys;
    today constant date := (clock_timestamp() at time zone 'UTC')::date;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    select k.* into known from vault.api_keys k
    where k.tenant_id = tenant and k.key_id = key and k.hash = shown;
    if not found then
        return;
    end if;
    if known.last_used_on is distinct from today and not pg_is_in_recovery() then
        update vault.api_keys k set last_used_on = today
        where k.tenant_id = tenant and k.key_id = key and k.last_used_on is distinct from today;
    end if;
    return query select known.user_id, known.service_id;
end $$;

-- When the keys of a tenant were used last.
create function store.api_key_uses(tenant uuid)
    returns table (key_id uuid, last_used_on date)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tenant is null or tenant <> all (coalesce(store.served_tenants(), '{}')) then
        raise exception 'the transaction does not serve this tenant' using errcode = 'insufficient_privilege';
    end if;
    return query
        select k.key_id, k.last_used_on from vault.api_keys k
        where k.tenant_id = tenant order by k.key_id limit 1000;
end $$;

revoke execute on function store.api_key(uuid, uuid, bytea), store.api_key_uses(uuid) from public;
grant execute on function store.api_key(uuid, uuid, bytea), store.api_key_uses(uuid) to quipu_command, quipu_query;
