-- Services of organisations, as clients of OAuth: the hashes of their secrets, what they asked while somebody signs in, and the
-- codes that they exchange. Looking something up here lets nobody in: the decisions read the streams of service, person and
-- organisation.

-- The secrets of services. Their newest events say which are good.
create table vault.client_secrets (
    tenant_id  uuid not null,
    secret_id  uuid not null,
    service_id uuid not null,
    hash       bytea not null check (octet_length(hash) = 32),
    expires_at timestamptz,
    put_at     timestamptz not null,
    primary key (tenant_id, secret_id)
);
create index client_secrets_service on vault.client_secrets (tenant_id, service_id);
call vault.wall('vault.client_secrets');

-- What a service asked for, while somebody signs in and decides about it.
create table vault.authorization_requests (
    tenant_id  uuid not null,
    request_id uuid not null,
    hash       bytea not null check (octet_length(hash) = 32),
    sealed     bytea not null check (octet_length(sealed) between 1 and 8192),
    expires_at timestamptz not null,
    primary key (tenant_id, request_id)
);
create index authorization_requests_expires on vault.authorization_requests (tenant_id, expires_at);
call vault.wall('vault.authorization_requests');

-- Codes, each for one service, one address and one challenge (SHA-256 of what the service alone knows, RFC 7636). `came_by`
-- is the session in which the person decided, `session_id` the one that began with the code. A code is kept for a day after
-- its end, so that one that comes back is known.
create table vault.authorization_codes (
    tenant_id   uuid not null,
    code_id     uuid not null,
    hash        bytea not null check (octet_length(hash) = 32),
    service_id  uuid not null,
    user_id     uuid not null,
    came_by     uuid not null,
    redirect    bytea not null check (octet_length(redirect) = 32),
    challenge   bytea not null check (octet_length(challenge) = 32),
    scope       text not null,
    nonce       text,
    expires_at  timestamptz not null,
    used_at     timestamptz,
    session_id  uuid,
    replayed_at timestamptz,
    primary key (tenant_id, code_id)
);
create index authorization_codes_expires on vault.authorization_codes (tenant_id, expires_at);
create index authorization_codes_user on vault.authorization_codes (tenant_id, user_id);
call vault.wall('vault.authorization_codes');

create function vault.do_put_client_secret(change jsonb) returns void
    language sql volatile as $$
    insert into vault.client_secrets (tenant_id, secret_id, service_id, hash, expires_at, put_at)
    values ((change->>'tenant')::uuid, (change->>'secret')::uuid, (change->>'service')::uuid,
            decode(change->>'hash', 'hex'), (change->>'expires_at')::timestamptz, clock_timestamp())
$$;

create function vault.do_drop_client_secret(change jsonb) returns void
    language sql volatile as $$
    delete from vault.client_secrets
    where tenant_id = (change->>'tenant')::uuid and secret_id = (change->>'secret')::uuid
        and service_id = (change->>'service')::uuid
$$;

-- With the event that removes a service. Its codes stay: one that comes back must still end what it began.
create function vault.do_drop_service(change jsonb) returns void
    language sql volatile as $$
    delete from vault.client_secrets
    where tenant_id = (change->>'tenant')::uuid and service_id = (change->>'service')::uuid
$$;

-- Which service a secret belongs to; nothing if it is not the one that it says, or not any more.
create function vault.service_of_secret(tenant uuid, secret uuid, shown bytea) returns uuid
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return (select it.service_id from vault.client_secrets it
            where it.tenant_id = tenant and it.secret_id = secret and it.hash = shown
                and (it.expires_at is null or it.expires_at > clock_timestamp()));
end $$;

-- Remembers what is asked, and forgets some that is over. False, having written nothing, if as much of the tenant's waits as
-- may.
create function vault.put_authorization_request(tenant uuid, request uuid, hash bytea, content bytea, lasts interval)
    returns boolean
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.authorization_requests it using (
        select o.request_id from vault.authorization_requests o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.request_id = over_.request_id;
    if (select count(*) from (
            select from vault.authorization_requests it where it.tenant_id = tenant limit 10000
        ) waiting) = 10000 then
        return false;
    end if;
    insert into vault.authorization_requests (tenant_id, request_id, hash, sealed, expires_at)
    values (tenant, request, hash, content, now_ + lasts);
    return true;
end $$;

-- What was asked, while it waits.
create function vault.authorization_request(tenant uuid, request uuid, shown bytea) returns bytea
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return (select it.sealed from vault.authorization_requests it
            where it.tenant_id = tenant and it.request_id = request and it.hash = shown
                and it.expires_at > clock_timestamp());
end $$;

-- Takes what was asked, once: true for one of any number who do.
create function vault.take_authorization_request(tenant uuid, request uuid, shown bytea) returns boolean
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.authorization_requests it
    where it.tenant_id = tenant and it.request_id = request and it.hash = shown and it.expires_at > clock_timestamp();
    return found;
end $$;

-- Remembers a code, and forgets some that ended a day ago.
create function vault.put_code(tenant uuid, code uuid, hash bytea, service uuid, person uuid, came_by uuid, redirect bytea,
                               challenge bytea, scope text, nonce text, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.authorization_codes it using (
        select o.code_id from vault.authorization_codes o
        where o.tenant_id = tenant and o.expires_at < now_ - interval '1 day'
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.code_id = over_.code_id;
    insert into vault.authorization_codes
        (tenant_id, code_id, hash, service_id, user_id, came_by, redirect, challenge, scope, nonce, expires_at)
    values (tenant, code, hash, service, person, came_by, redirect, challenge, scope, nonce, now_ + lasts);
end $$;

-- Takes a code, once, for the session that is to begin. Whoever shows it without what belongs to it has taken it all the
-- same: it is in wrong hands. Whoever shows one that was taken is told of the session that began with it, which must end.
--
-- Outcomes: `unknown`, `replayed`, `refused`, `taken`.
create function vault.take_code(tenant uuid, code uuid, shown bytea, service uuid, shown_redirect bytea, answer bytea,
                                session uuid)
    returns table (outcome text, user_id uuid, came_by uuid, session_id uuid, scope text, nonce text)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    held vault.authorization_codes;
    now_ timestamptz;
    said text;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    select it.* into held from vault.authorization_codes it
    where it.tenant_id = tenant and it.code_id = code and it.hash = shown
    for update;
    if not found then
        return query select 'unknown', null::uuid, null::uuid, null::uuid, null::text, null::text;
        return;
    end if;
    now_ := clock_timestamp();
    if held.used_at is not null then
        update vault.authorization_codes it set replayed_at = coalesce(it.replayed_at, now_)
        where it.tenant_id = tenant and it.code_id = code;
        return query select 'replayed', held.user_id, held.came_by, held.session_id, held.scope, held.nonce;
        return;
    end if;
    said := case
        when held.expires_at <= now_ or held.service_id <> service then 'refused'
        when held.redirect is distinct from shown_redirect then 'refused'
        when held.challenge is distinct from answer then 'refused'
        else 'taken'
    end;
    update vault.authorization_codes it set used_at = now_, session_id = session
    where it.tenant_id = tenant and it.code_id = code;
    return query select said, held.user_id, held.came_by, session, held.scope, held.nonce;
end $$;

-- Whether nobody else has shown a code since it was taken: asked once the session stands. Whoever shows it later finds a
-- session to end; whoever showed it before is seen here. The lock of the row decides which.
create function vault.settle_code(tenant uuid, code uuid) returns boolean
    language plpgsql volatile as $$
declare
    was timestamptz;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    select it.replayed_at into was from vault.authorization_codes it
    where it.tenant_id = tenant and it.code_id = code for update;
    return found and was is null;
end $$;

-- The session and the scope of a refresh token of a service, live or not.
create function vault.family_of_refresh(tenant uuid, token uuid, shown bytea, service uuid)
    returns table (session_id uuid, user_id uuid, scope text)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select f.session_id, f.user_id, f.scope from vault.refresh_tokens t
        join vault.families f on f.tenant_id = t.tenant_id and f.family_id = t.family_id
        where t.tenant_id = tenant and t.token_id = token and t.hash = shown and f.service_id = service;
end $$;

-- Whether a refresh token of a service could be exchanged now: for whoever asks about it.
create function vault.refresh_is_live(tenant uuid, token uuid, shown bytea, service uuid) returns boolean
    language plpgsql volatile as $$
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return exists (
        select from vault.refresh_tokens t
        join vault.families f on f.tenant_id = t.tenant_id and f.family_id = t.family_id
        where t.tenant_id = tenant and t.token_id = token and t.hash = shown and t.used_at is null
            and f.service_id = service and f.revoked_at is null
            and f.absolute_until > now_ and f.last_used_at + f.idle > now_
            and not exists (
                select from vault.closed_tenants c
                where c.tenant_id = tenant and (c.until is null or f.opened_at <= c.until)));
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.do_put_client_secret(jsonb)', 'vault.do_drop_client_secret(jsonb)', 'vault.do_drop_service(jsonb)',
        'vault.service_of_secret(uuid, uuid, bytea)',
        'vault.put_authorization_request(uuid, uuid, bytea, bytea, interval)',
        'vault.authorization_request(uuid, uuid, bytea)', 'vault.take_authorization_request(uuid, uuid, bytea)',
        'vault.put_code(uuid, uuid, bytea, uuid, uuid, uuid, bytea, bytea, text, text, interval)',
        'vault.take_code(uuid, uuid, bytea, uuid, bytea, bytea, uuid)', 'vault.settle_code(uuid, uuid)',
        'vault.family_of_refresh(uuid, uuid, bytea, uuid)', 'vault.refresh_is_live(uuid, uuid, bytea, uuid)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
