-- What waits while somebody is on their way in: requests of services, sign-ins that are at a provider, what passkeys are
-- to sign. Anybody can leave such a row, so a tenant has so many and no more. What is full makes room and refuses nobody:
-- whoever has the most rows there loses the oldest of theirs. So one who fills a table loses their own, and whoever comes
-- with one or two rows keeps them.
--
-- `origin` is a keyed hash of whose row it is: of the network that asked, or of the person if they are signed in. It names nobody, and
-- is told apart within a tenant only. A build before this one leaves it out: its rows count as those of one.
alter table vault.authorization_requests add column origin bytea check (octet_length(origin) = 32);
alter table vault.oauth_states add column origin bytea check (octet_length(origin) = 32);
alter table vault.webauthn_challenges add column origin bytea check (octet_length(origin) = 32);

-- If a tenant has 10,000 rows in such a table, deletes a hundred, and says how many went: those first whose time is over,
-- then, of rows that are behind more of the same origin than any other, the oldest. A hundred, since they are ranked by
-- reading all: whoever floods pays for that once in a hundred times. Who comes at the same moment waits for nobody, so
-- there may be a few more rows than that for a while, as many as there are connections.
create function vault.make_room(target regclass, tenant uuid) returns integer
    language plpgsql volatile as $$
declare
    most  constant integer := 10000;
    batch constant integer := 100;
    waits integer;
    gone  integer;
begin
    execute format('select count(*) from (select from %s it where it.tenant_id = $1 limit $2) waiting', target)
        into waits using tenant, most;
    if waits < most then
        return 0;
    end if;
    execute format(
        'delete from %1$s where ctid = any (array(
             select it.ctid from %1$s it where it.ctid in (
                 select o.row_id from (
                     select own.ctid as row_id, own.expires_at,
                            row_number() over (partition by own.origin order by own.expires_at desc) as nth
                     from %1$s own where own.tenant_id = $1
                 ) o order by o.expires_at < clock_timestamp() desc, o.nth desc, o.expires_at limit $2
             ) for update skip locked
         ))', target)
        using tenant, batch;
    get diagnostics gone = row_count;
    return gone;
end $$;

-- Remembers what is asked: how many rows went for it.
create function vault.put_authorization_request(tenant uuid, request uuid, hash bytea, whose bytea, content bytea, lasts interval)
    returns integer
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    gone integer;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    gone := vault.make_room('vault.authorization_requests', tenant);
    insert into vault.authorization_requests (tenant_id, request_id, hash, origin, sealed, expires_at)
    values (tenant, request, hash, whose, content, clock_timestamp() + lasts);
    return gone;
end $$;

-- Remembers a sign-in that begins: how many rows went for it.
create function vault.begin_oauth(tenant uuid, state uuid, hash bytea, browser bytea, whose bytea, provider uuid, person uuid,
                                  content bytea, lasts interval)
    returns integer
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    gone integer;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    gone := vault.make_room('vault.oauth_states', tenant);
    insert into vault.oauth_states (tenant_id, state_id, hash, browser, origin, provider_id, user_id, sealed, expires_at)
    values (tenant, state, hash, browser, whose, provider, person, content, clock_timestamp() + lasts);
    return gone;
end $$;

-- Remembers what somebody is to sign: how many rows went for it.
create function vault.put_challenge(tenant uuid, challenge bytea, whose bytea, person uuid, lasts interval) returns integer
    language plpgsql volatile as $$
declare
    gone integer;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    gone := vault.make_room('vault.webauthn_challenges', tenant);
    insert into vault.webauthn_challenges (tenant_id, hash, origin, user_id, expires_at)
    values (tenant, challenge, whose, person, clock_timestamp() + lasts);
    return gone;
end $$;

-- The same for a build before this one, which knows of no origin and takes `true` for done.
create or replace function vault.put_authorization_request(tenant uuid, request uuid, hash bytea, content bytea, lasts interval)
    returns boolean
    language sql volatile as $$
    select vault.put_authorization_request(tenant, request, hash, null::bytea, content, lasts) is not null
$$;

create or replace function vault.begin_oauth(tenant uuid, state uuid, hash bytea, browser bytea, provider uuid, person uuid,
                                             content bytea, lasts interval)
    returns boolean
    language sql volatile as $$
    select vault.begin_oauth(tenant, state, hash, browser, null::bytea, provider, person, content, lasts) is not null
$$;

create or replace function vault.put_challenge(tenant uuid, challenge bytea, person uuid, lasts interval) returns boolean
    language sql volatile as $$
    select vault.put_challenge(tenant, challenge, null::bytea, person, lasts) is not null
$$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.make_room(regclass, uuid)',
        'vault.put_authorization_request(uuid, uuid, bytea, bytea, bytea, interval)',
        'vault.begin_oauth(uuid, uuid, bytea, bytea, bytea, uuid, uuid, bytea, interval)',
        'vault.put_challenge(uuid, bytea, bytea, uuid, interval)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command', made);
    end loop;
end $$;
