-- Signing in with other providers: our secrets at them, who their people are here, and what is kept while somebody is on
-- the way. Looking something up here proves nothing: the decisions read the streams of provider, link and user.

-- Our secret at a provider, sealed. The provider's newest event says which one is good.
create table vault.provider_secrets (
    tenant_id   uuid not null,
    secret_id   uuid not null,
    provider_id uuid not null,
    sealed      bytea not null check (octet_length(sealed) between 1 and 8192),
    put_at      timestamptz not null,
    primary key (tenant_id, secret_id)
);
create index provider_secrets_provider on vault.provider_secrets (tenant_id, provider_id);
call vault.wall('vault.provider_secrets');

-- Which user somebody is whom a provider knows. `identity` is a keyed hash of its name for the person; that one person is
-- one user is a claim of the link, and so is beyond this table.
create table vault.identities (
    tenant_id   uuid not null,
    link_id     uuid not null,
    provider_id uuid not null,
    user_id     uuid not null,
    identity    bytea not null check (octet_length(identity) = 32),
    put_at      timestamptz not null,
    primary key (tenant_id, link_id),
    unique (tenant_id, provider_id, identity)
);
create index identities_user on vault.identities (tenant_id, user_id);
call vault.wall('vault.identities');

-- Sign-ins that were begun: the person is at the provider. `hash` is of what they bring back, `browser` of what their
-- browser keeps, so that nobody can make another browser finish what they began. `user_id` is who is signed in and wants
-- the link.
create table vault.oauth_states (
    tenant_id   uuid not null,
    state_id    uuid not null,
    hash        bytea not null check (octet_length(hash) = 32),
    browser     bytea not null check (octet_length(browser) = 32),
    provider_id uuid not null,
    user_id     uuid,
    sealed      bytea not null check (octet_length(sealed) between 1 and 8192),
    expires_at  timestamptz not null,
    primary key (tenant_id, state_id)
);
create index oauth_states_expires on vault.oauth_states (tenant_id, expires_at);
call vault.wall('vault.oauth_states');

-- The last step: a code that whoever began exchanges for tokens. `challenge` is SHA-256 of what they alone know.
create table vault.handover_codes (
    tenant_id   uuid not null,
    code_id     uuid not null,
    hash        bytea not null check (octet_length(hash) = 32),
    challenge   bytea not null check (octet_length(challenge) = 32),
    user_id     uuid not null,
    link_id     uuid not null,
    provider_id uuid not null,
    came_at     timestamptz not null,
    expires_at  timestamptz not null,
    primary key (tenant_id, code_id)
);
create index handover_codes_expires on vault.handover_codes (tenant_id, expires_at);
call vault.wall('vault.handover_codes');

-- With the event that says which secret is good from now on: this one comes, the others of the provider go.
create function vault.do_put_provider_secret(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant   constant uuid := change->>'tenant';
    provider constant uuid := change->>'provider';
begin
    delete from vault.provider_secrets it where it.tenant_id = tenant and it.provider_id = provider;
    insert into vault.provider_secrets (tenant_id, secret_id, provider_id, sealed, put_at)
    values (tenant, (change->>'secret')::uuid, provider, decode(change->>'sealed', 'hex'), clock_timestamp());
end $$;

-- With the event that removes a provider. Who its people are stays, so that a link can still be given up or erased.
create function vault.do_drop_provider(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant   constant uuid := change->>'tenant';
    provider constant uuid := change->>'provider';
begin
    delete from vault.provider_secrets it where it.tenant_id = tenant and it.provider_id = provider;
    delete from vault.oauth_states it where it.tenant_id = tenant and it.provider_id = provider;
    delete from vault.handover_codes it where it.tenant_id = tenant and it.provider_id = provider;
end $$;

create function vault.do_put_identity(change jsonb) returns void
    language sql volatile as $$
    insert into vault.identities (tenant_id, link_id, provider_id, user_id, identity, put_at)
    values ((change->>'tenant')::uuid, (change->>'link')::uuid, (change->>'provider')::uuid,
            (change->>'user')::uuid, decode(change->>'identity', 'hex'), clock_timestamp())
$$;

create function vault.do_drop_identity(change jsonb) returns void
    language sql volatile as $$
    delete from vault.identities
    where tenant_id = (change->>'tenant')::uuid and link_id = (change->>'link')::uuid
$$;

-- The providers of a tenant that somebody can sign in with, by name.
create function vault.providers(tenant uuid) returns setof uuid
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select c.stream_id from store.claims c
        where c.tenant_id = tenant and c.scope = 'federation.provider-name' order by c.value limit 100;
end $$;

-- Our secret at a provider.
create function vault.provider_secret(tenant uuid, secret uuid) returns bytea
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return (select it.sealed from vault.provider_secrets it where it.tenant_id = tenant and it.secret_id = secret);
end $$;

-- Which user a person of a provider is.
create function vault.federated(tenant uuid, provider uuid, person bytea)
    returns table (link_id uuid, user_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.link_id, it.user_id from vault.identities it
        where it.tenant_id = tenant and it.provider_id = provider and it.identity = person;
end $$;

-- The links of a user. There is one a provider at most.
create function vault.links_of(tenant uuid, person uuid)
    returns table (link_id uuid, provider_id uuid, identity bytea, put_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.link_id, it.provider_id, it.identity, it.put_at from vault.identities it
        where it.tenant_id = tenant and it.user_id = person order by it.link_id limit 200;
end $$;

-- Remembers a sign-in that begins, and forgets some that are over. False, having written nothing, if as many of the
-- tenant's are under way as may be.
create function vault.begin_oauth(tenant uuid, state uuid, hash bytea, browser bytea, provider uuid, person uuid,
                                  content bytea, lasts interval)
    returns boolean
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.oauth_states it using (
        select o.state_id from vault.oauth_states o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.state_id = over_.state_id;
    if (select count(*) from (
            select from vault.oauth_states it where it.tenant_id = tenant limit 10000
        ) waiting) = 10000 then
        return false;
    end if;
    insert into vault.oauth_states (tenant_id, state_id, hash, browser, provider_id, user_id, sealed, expires_at)
    values (tenant, state, hash, browser, provider, person, content, now_ + lasts);
    return true;
end $$;

-- Takes a sign-in that was begun, once: of any number of callbacks with one state, one finds it. Another browser, or
-- another secret, takes nothing.
create function vault.take_oauth(tenant uuid, state uuid, shown bytea, shown_browser bytea)
    returns table (provider_id uuid, user_id uuid, sealed bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        delete from vault.oauth_states it
        where it.tenant_id = tenant and it.state_id = state and it.hash = shown and it.browser = shown_browser
            and it.expires_at > clock_timestamp()
        returning it.provider_id, it.user_id, it.sealed;
end $$;

-- Remembers a code, and forgets some that are over.
create function vault.put_handover(tenant uuid, code uuid, hash bytea, challenge bytea, person uuid, link uuid,
                                   provider uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.handover_codes it using (
        select o.code_id from vault.handover_codes o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.code_id = over_.code_id;
    insert into vault.handover_codes
        (tenant_id, code_id, hash, challenge, user_id, link_id, provider_id, came_at, expires_at)
    values (tenant, code, hash, challenge, person, link, provider, now_, now_ + lasts);
end $$;

-- Takes a code, once. Whoever shows the code without what belongs to it has taken it all the same: it is in wrong hands.
create function vault.take_handover(tenant uuid, code uuid, shown bytea, answer bytea)
    returns table (user_id uuid, link_id uuid, provider_id uuid, came_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    taken vault.handover_codes;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.handover_codes it
    where it.tenant_id = tenant and it.code_id = code and it.hash = shown
    returning it.* into taken;
    if taken.challenge = answer and taken.expires_at > clock_timestamp() then
        return query select taken.user_id, taken.link_id, taken.provider_id, taken.came_at;
    end if;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.do_put_provider_secret(jsonb)', 'vault.do_drop_provider(jsonb)', 'vault.do_put_identity(jsonb)',
        'vault.do_drop_identity(jsonb)', 'vault.providers(uuid)', 'vault.provider_secret(uuid, uuid)', 'vault.federated(uuid, uuid, bytea)',
        'vault.links_of(uuid, uuid)',
        'vault.begin_oauth(uuid, uuid, bytea, bytea, uuid, uuid, bytea, interval)',
        'vault.take_oauth(uuid, uuid, bytea, bytea)',
        'vault.put_handover(uuid, uuid, bytea, bytea, uuid, uuid, uuid, interval)',
        'vault.take_handover(uuid, uuid, bytea, bytea)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
