-- What is over goes by itself, in every tenant: the reactors sweep. Up to here a row that was over went when a later one
-- of its tenant came, so that one of a quiet tenant stayed, with what it tells of somebody.

-- Tables of which a row is good until its `expires_at`, and for how long after that it is kept: an hour mostly, for
-- people who look why something did not work, and for clocks.
create table vault.endings (
    target text primary key,
    kept   interval not null check (kept > '0')
);
grant select on vault.endings to quipu_command, quipu_reactor, quipu_platform;

-- What every such table has: the reactors see its rows that are over, of all tenants, and find them by an index. The
-- migration that makes a table calls it, after `vault.wall`.
create procedure vault.ends(target regclass, kept interval)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    name constant text := (select relname from pg_class where oid = target);
begin
    insert into vault.endings (target, kept) values (name, kept);
    execute format('create policy over on %s to quipu_reactor using (expires_at < now() - interval %L) with check (false)',
                   target, kept);
    execute format('create index %I on vault.%I (expires_at)', name || '_over', name);
end $$;
revoke execute on procedure vault.ends from public;

-- One that comes back within a day ends the session that began with it.
call vault.ends('vault.authorization_codes', interval '1 day');
call vault.ends('vault.authorization_requests', interval '1 hour');
call vault.ends('vault.browser_sessions', interval '1 hour');
call vault.ends('vault.device_grants', interval '1 hour');
call vault.ends('vault.handover_codes', interval '1 hour');
call vault.ends('vault.oauth_states', interval '1 hour');
call vault.ends('vault.second_factor_tickets', interval '1 hour');
call vault.ends('vault.totp_offers', interval '1 hour');
call vault.ends('vault.webauthn_challenges', interval '1 hour');

-- Nothing but the sweep asks when rows end, and it asks of all tenants. Devices are the exception (0044): thousands a
-- second ask, and each batch takes away as many as it brings.
drop index vault.authorization_requests_expires, vault.authorization_codes_expires, vault.oauth_states_expires,
    vault.handover_codes_expires, vault.browser_sessions_expires, vault.second_factor_tickets_expires,
    vault.webauthn_challenges_expires;

-- Deletes at most `most` rows of a table that were over for so long, the oldest first, and says how many went. Rows that
-- somebody works with are left for the next time, so any number of processes may sweep.
create function vault.sweep_ended(target regclass, kept interval, most integer) returns integer
    language plpgsql volatile as $$
declare
    gone integer;
begin
    execute format(
        'delete from %1$s where ctid = any (array(
             select it.ctid from %1$s it where it.expires_at < now() - $1
             order by it.expires_at limit $2 for update skip locked
         ))', target)
        using kept, most;
    get diagnostics gone = row_count;
    return gone;
end $$;

-- One round: at most `most` rows of each kind. `gone` of `most` means that there may be more.
create function vault.sweep_all(most integer) returns table (swept text, gone integer)
    language plpgsql volatile as $$
begin
    return query select 'sessions_and_guesses', vault.sweep(most);
    return query select 'rate_windows', vault.sweep_rates(most);
    return query
        select it.target, vault.sweep_ended(format('vault.%I', it.target)::regclass, it.kept, most) from vault.endings it;
end $$;

-- These took rows away that were over, as they brought new ones. Now they bring them.
create or replace function vault.put_code(tenant uuid, code uuid, hash bytea, service uuid, person uuid, came_by uuid,
                                          redirect bytea, challenge bytea, scope text, nonce text, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.authorization_codes
        (tenant_id, code_id, hash, service_id, user_id, came_by, redirect, challenge, scope, nonce, expires_at)
    values (tenant, code, hash, service, person, came_by, redirect, challenge, scope, nonce, clock_timestamp() + lasts);
end $$;

create or replace function vault.put_handover(tenant uuid, code uuid, hash bytea, challenge bytea, person uuid, link uuid,
                                              provider uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.handover_codes
        (tenant_id, code_id, hash, challenge, user_id, link_id, provider_id, came_at, expires_at)
    values (tenant, code, hash, challenge, person, link, provider, now_, now_ + lasts);
end $$;

create or replace function vault.keep_browser(tenant uuid, browser uuid, hash bytea, session uuid, person uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.browser_sessions (tenant_id, browser_id, hash, session_id, user_id, expires_at)
    values (tenant, browser, hash, session, person, clock_timestamp() + lasts);
end $$;

-- Of these a person has ten, the newest.
create or replace function vault.put_ticket(tenant uuid, ticket uuid, hash bytea, person uuid, kind smallint, subject bytea,
                                            most integer, method text, amr text[], auth_time timestamptz, seen integer,
                                            phc text, pepper smallint, link uuid, provider uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.second_factor_tickets it using (
        select o.ticket_id from vault.second_factor_tickets o
        where o.tenant_id = tenant and o.user_id = person
        order by o.expires_at desc, o.ticket_id desc offset 9 for update skip locked
    ) over_ where it.tenant_id = tenant and it.ticket_id = over_.ticket_id;
    insert into vault.second_factor_tickets
        (tenant_id, ticket_id, hash, user_id, kind, subject, method, amr, auth_time, seen, phc, pepper, link_id, provider_id,
         expires_at)
    values (tenant, ticket, hash, person, kind, subject, method, amr, auth_time, seen, phc, pepper, link, provider,
            clock_timestamp() + lasts);
    if most is not null then
        perform vault.return_attempt(tenant, kind, subject, most);
    end if;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.sweep_ended(regclass, interval, integer)', 'vault.sweep_all(integer)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_reactor', made);
    end loop;
end $$;
