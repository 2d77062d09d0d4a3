-- Browsers in which somebody is signed in: what such a browser keeps stands for a session, as a refresh token does for a
-- program. The session itself is in the log, and whether it stands is asked there: a row here opens nothing by itself.

create table vault.browser_sessions (
    tenant_id  uuid not null,
    browser_id uuid not null,
    hash       bytea not null check (octet_length(hash) = 32),
    session_id uuid not null,
    user_id    uuid not null,
    expires_at timestamptz not null,
    primary key (tenant_id, browser_id)
);
create index browser_sessions_expires on vault.browser_sessions (tenant_id, expires_at);
create index browser_sessions_user on vault.browser_sessions (tenant_id, user_id);
call vault.wall('vault.browser_sessions');

-- Remembers a browser, and forgets some of those that are over. Each row is a sign-in, so there are no more of them than
-- of those.
create function vault.keep_browser(tenant uuid, browser uuid, hash bytea, session uuid, person uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.browser_sessions it using (
        select o.browser_id from vault.browser_sessions o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.browser_id = over_.browser_id;
    insert into vault.browser_sessions (tenant_id, browser_id, hash, session_id, user_id, expires_at)
    values (tenant, browser, hash, session, person, now_ + lasts);
end $$;

-- The session that a browser stands for, if what it shows is right and not over.
create function vault.browser(tenant uuid, browser uuid, shown bytea)
    returns table (session_id uuid, user_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.session_id, it.user_id from vault.browser_sessions it
        where it.tenant_id = tenant and it.browser_id = browser and it.hash = shown
            and it.expires_at > clock_timestamp();
end $$;

-- Forgets a browser. The session that it stood for, if it was one.
create function vault.forget_browser(tenant uuid, browser uuid, shown bytea)
    returns table (session_id uuid, user_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        delete from vault.browser_sessions it
        where it.tenant_id = tenant and it.browser_id = browser and it.hash = shown
        returning it.session_id, it.user_id;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.keep_browser(uuid, uuid, bytea, uuid, uuid, interval)', 'vault.browser(uuid, uuid, bytea)',
        'vault.forget_browser(uuid, uuid, bytea)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command', made);
    end loop;
end $$;
