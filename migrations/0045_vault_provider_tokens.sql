-- The tokens that providers gave for their people, where an organisation wants them kept: sealed under a key that is not in
-- the database. One row a link; it goes with the link, with the provider and with the person.
--
-- `refresh_at`: when they are exchanged for newer ones; null if they cannot be. While somebody does it, when their time with
-- it is over. `lease`: which try has it, so that one who comes back too late cannot undo what another has noted.
create table vault.provider_tokens (
    tenant_id   uuid not null,
    link_id     uuid not null,
    provider_id uuid not null,
    user_id     uuid not null,
    sealed      bytea not null check (octet_length(sealed) between 1 and 65536),
    put_at      timestamptz not null,
    refresh_at  timestamptz,
    tries       integer not null default 0,
    lease       uuid,
    primary key (tenant_id, link_id)
);
create index provider_tokens_user on vault.provider_tokens (tenant_id, user_id);
create index provider_tokens_due on vault.provider_tokens (refresh_at) where refresh_at is not null;
call vault.wall('vault.provider_tokens');

-- Keeps what a provider gave at a sign-in, in place of what it gave before.
create function vault.put_provider_tokens(tenant uuid, link uuid, provider uuid, person uuid, content bytea,
                                          refresh timestamptz)
    returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.provider_tokens as it (tenant_id, link_id, provider_id, user_id, sealed, put_at, refresh_at)
    values (tenant, link, provider, person, content, clock_timestamp(), refresh)
    on conflict (tenant_id, link_id) do update set
        sealed = excluded.sealed, put_at = excluded.put_at, refresh_at = excluded.refresh_at, tries = 0, lease = null;
end $$;

-- The tokens of a person at a provider.
create function vault.provider_tokens_of(tenant uuid, provider uuid, person uuid)
    returns table (link_id uuid, sealed bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.link_id, it.sealed from vault.provider_tokens it
        where it.tenant_id = tenant and it.user_id = person and it.provider_id = provider limit 1;
end $$;

-- Takes the tokens of a link that are due, for as long as `lasts`. Of any number of takers at once one gets them: the others
-- wait for its row, and find it due no more.
create function vault.lease_provider_tokens(tenant uuid, link uuid, lasts interval)
    returns table (provider_id uuid, sealed bytea, tries integer, lease uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    now_ timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        update vault.provider_tokens it
        set refresh_at = now_ + lasts, tries = it.tries + 1, lease = gen_random_uuid()
        where it.tenant_id = tenant and it.link_id = link and it.refresh_at <= now_
        returning it.provider_id, it.sealed, it.tries, it.lease;
end $$;

-- Keeps the newer ones that they were exchanged for. False, if somebody else has them by now.
create function vault.renew_provider_tokens(tenant uuid, link uuid, held uuid, content bytea, refresh timestamptz)
    returns boolean
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    update vault.provider_tokens it
    set sealed = content, put_at = clock_timestamp(), refresh_at = refresh, tries = 0, lease = null
    where it.tenant_id = tenant and it.link_id = link and it.lease = held;
    return found;
end $$;

-- Tries again later; or never, and then they are forgotten.
create function vault.put_provider_tokens_off(tenant uuid, link uuid, held uuid, again timestamptz)
    returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    if again is null then
        delete from vault.provider_tokens it where it.tenant_id = tenant and it.link_id = link and it.lease = held;
    else
        update vault.provider_tokens it set refresh_at = again, lease = null
        where it.tenant_id = tenant and it.link_id = link and it.lease = held;
    end if;
end $$;

-- What goes with a link and with a provider, as before.
create or replace function vault.do_drop_identity(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant constant uuid := change->>'tenant';
    link   constant uuid := change->>'link';
begin
    delete from vault.identities it where it.tenant_id = tenant and it.link_id = link;
    delete from vault.provider_tokens it where it.tenant_id = tenant and it.link_id = link;
end $$;

create or replace function vault.do_drop_provider(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant   constant uuid := change->>'tenant';
    provider constant uuid := change->>'provider';
begin
    delete from vault.provider_secrets it where it.tenant_id = tenant and it.provider_id = provider;
    delete from vault.oauth_states it where it.tenant_id = tenant and it.provider_id = provider;
    delete from vault.handover_codes it where it.tenant_id = tenant and it.provider_id = provider;
    delete from vault.provider_tokens it where it.tenant_id = tenant and it.provider_id = provider;
end $$;

-- Which tokens are due, of every tenant: that they are, and nothing of what they are. With the owner's rights, which reach
-- no further than these rows.
do $$ begin
    execute 'create policy due on vault.provider_tokens for select to current_user using (refresh_at <= now())';
end $$;

create function vault.provider_tokens_due(most integer)
    returns table (tenant_id uuid, link_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select it.tenant_id, it.link_id from vault.provider_tokens it
    where it.refresh_at <= now() order by it.refresh_at limit most
$$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.put_provider_tokens(uuid, uuid, uuid, uuid, bytea, timestamptz)',
        'vault.provider_tokens_of(uuid, uuid, uuid)', 'vault.lease_provider_tokens(uuid, uuid, interval)',
        'vault.renew_provider_tokens(uuid, uuid, uuid, bytea, timestamptz)',
        'vault.put_provider_tokens_off(uuid, uuid, uuid, timestamptz)',
        'vault.provider_tokens_due(integer)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command', made);
    end loop;
end $$;
