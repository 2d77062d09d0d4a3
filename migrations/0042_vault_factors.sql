-- Second factors: the seeds of authenticators, recovery codes, and what is kept of a sign-in between its two halves. That a
-- person has a factor is told by their stream of factors; what it is lies here and nowhere else.

-- The seed of a person's authenticator (RFC 6238), sealed. `last_step` is the newest step of which a code was taken.
create table vault.totp (
    tenant_id uuid not null,
    user_id   uuid not null,
    factor_id uuid not null,
    sealed    bytea not null check (octet_length(sealed) between 1 and 256),
    last_step bigint not null,
    put_at    timestamptz not null,
    primary key (tenant_id, user_id)
);
call vault.wall('vault.totp');

-- A seed that was shown and is not enrolled yet. One for each person: the newest.
create table vault.totp_offers (
    tenant_id  uuid not null,
    user_id    uuid not null,
    factor_id  uuid not null,
    sealed     bytea not null check (octet_length(sealed) between 1 and 256),
    expires_at timestamptz not null,
    primary key (tenant_id, user_id)
);
call vault.wall('vault.totp_offers');

-- Recovery codes that are left, hashed. With 125 bits of chance in each nothing slower is needed.
create table vault.recovery_codes (
    tenant_id uuid not null,
    user_id   uuid not null,
    hash      bytea not null check (octet_length(hash) = 32),
    put_at    timestamptz not null,
    primary key (tenant_id, user_id, hash)
);
call vault.wall('vault.recovery_codes');

-- Sign-ins whose first half was right. `kind` and `subject` name the counter of guesses of the first half, which goes on
-- counting in the second. `seen` is the number of the password that was right, `phc` the same password at a newer cost;
-- `link_id` and `provider_id` say by which link a provider vouched.
create table vault.second_factor_tickets (
    tenant_id   uuid not null,
    ticket_id   uuid not null,
    hash        bytea not null check (octet_length(hash) = 32),
    user_id     uuid not null,
    kind        smallint not null,
    subject     bytea not null check (octet_length(subject) = 32),
    method      text not null,
    amr         text[] not null,
    auth_time   timestamptz not null,
    seen        integer,
    phc         text,
    pepper      smallint check ((pepper is null) = (phc is null)),
    link_id     uuid,
    provider_id uuid check ((provider_id is null) = (link_id is null)),
    expires_at  timestamptz not null,
    primary key (tenant_id, ticket_id)
);
create index second_factor_tickets_user on vault.second_factor_tickets (tenant_id, user_id, expires_at);
create index second_factor_tickets_expires on vault.second_factor_tickets (tenant_id, expires_at);
call vault.wall('vault.second_factor_tickets');

-- The public halves of passkeys. `algorithm` is a number of COSE (RFC 9053): -7 is ES256, -8 is EdDSA. `sign_count` is how
-- often the authenticator says that it signed, at the last time; those that do not count say 0 for ever.
create table vault.passkeys (
    tenant_id     uuid not null,
    factor_id     uuid not null,
    user_id       uuid not null,
    credential_id bytea not null check (octet_length(credential_id) between 1 and 1023),
    algorithm     smallint not null check (algorithm in (-7, -8)),
    public_key    bytea not null check (octet_length(public_key) in (32, 65)),
    sign_count    bigint not null,
    put_at        timestamptz not null,
    primary key (tenant_id, factor_id),
    unique (tenant_id, credential_id)
);
create index passkeys_user on vault.passkeys (tenant_id, user_id);
call vault.wall('vault.passkeys');

-- What somebody is to sign with a passkey, hashed: to add one (`user_id` says who), or to sign in.
create table vault.webauthn_challenges (
    tenant_id  uuid not null,
    hash       bytea not null check (octet_length(hash) = 32),
    user_id    uuid,
    expires_at timestamptz not null,
    primary key (tenant_id, hash)
);
create index webauthn_challenges_expires on vault.webauthn_challenges (tenant_id, expires_at);
call vault.wall('vault.webauthn_challenges');

-- With the event that enrols an authenticator. The code that proved it is used up: its step is the last one.
create function vault.do_put_totp(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant constant uuid := change->>'tenant';
    person constant uuid := change->>'user';
begin
    delete from vault.totp_offers it where it.tenant_id = tenant and it.user_id = person;
    insert into vault.totp (tenant_id, user_id, factor_id, sealed, last_step, put_at)
    values (tenant, person, (change->>'factor')::uuid, decode(change->>'sealed', 'hex'), (change->>'step')::bigint,
            clock_timestamp())
    on conflict (tenant_id, user_id) do update set
        factor_id = excluded.factor_id, sealed = excluded.sealed, last_step = excluded.last_step, put_at = excluded.put_at;
end $$;

-- With the event that removes an authenticator. The recovery codes were for it, so they go with it.
create function vault.do_drop_totp(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant constant uuid := change->>'tenant';
    person constant uuid := change->>'user';
begin
    delete from vault.totp it where it.tenant_id = tenant and it.user_id = person;
    delete from vault.totp_offers it where it.tenant_id = tenant and it.user_id = person;
    delete from vault.recovery_codes it where it.tenant_id = tenant and it.user_id = person;
end $$;

-- With the event that adds a passkey. Whoever adds one looks first whether it is somebody's; of two who add one at once, it is
-- the first one's, and the other has a factor that lets nobody in.
create function vault.do_put_passkey(change jsonb) returns void
    language sql volatile as $$
    insert into vault.passkeys (tenant_id, factor_id, user_id, credential_id, algorithm, public_key, sign_count, put_at)
    values ((change->>'tenant')::uuid, (change->>'factor')::uuid, (change->>'user')::uuid,
            decode(change->>'credential', 'hex'), (change->>'algorithm')::smallint, decode(change->>'public_key', 'hex'),
            (change->>'sign_count')::bigint, clock_timestamp())
    on conflict do nothing
$$;

create function vault.do_drop_passkey(change jsonb) returns void
    language sql volatile as $$
    delete from vault.passkeys it
    where it.tenant_id = (change->>'tenant')::uuid and it.factor_id = (change->>'factor')::uuid
$$;

-- With the events that remove all factors of a person.
create function vault.do_drop_factors(change jsonb) returns void
    language plpgsql volatile as $$
begin
    perform vault.do_drop_totp(change);
    delete from vault.passkeys it
    where it.tenant_id = (change->>'tenant')::uuid and it.user_id = (change->>'user')::uuid;
end $$;

-- With the event that issues recovery codes: those before are good no more.
create function vault.do_put_recovery_codes(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant constant uuid := change->>'tenant';
    person constant uuid := change->>'user';
begin
    delete from vault.recovery_codes it where it.tenant_id = tenant and it.user_id = person;
    insert into vault.recovery_codes (tenant_id, user_id, hash, put_at)
    select tenant, person, decode(it.hash, 'hex'), clock_timestamp()
    from jsonb_array_elements_text(change->'hashes') it (hash);
end $$;

-- A guess that was right, and is no complete sign-in, is not counted; those that were wrong still are. The lock that its
-- reservation brought about goes with it. It takes back one guess at most, so what others reserve meanwhile stays counted.
create function vault.return_attempt(tenant uuid, what smallint, of_ bytea, most integer) returns void
    language sql volatile as $$
    update vault.attempts a set
        failed = a.failed - 1,
        locked_until = case when a.failed - 1 >= most then a.locked_until end
    where a.tenant_id = tenant and a.kind = what and a.subject = of_ and a.failed > 0
$$;

create function vault.do_return_attempt(change jsonb) returns void
    language sql volatile as $$
    select vault.return_attempt((change->>'tenant')::uuid, (change->>'kind')::smallint,
                                decode(change->>'subject', 'hex'), (change->>'most')::integer)
$$;

-- Shows a seed: it takes the place of one that was shown before.
create function vault.offer_totp(tenant uuid, person uuid, factor uuid, content bytea, lasts interval) returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.totp_offers (tenant_id, user_id, factor_id, sealed, expires_at)
    values (tenant, person, factor, content, clock_timestamp() + lasts)
    on conflict (tenant_id, user_id) do update set
        factor_id = excluded.factor_id, sealed = excluded.sealed, expires_at = excluded.expires_at;
end $$;

-- The seed that was shown last, while it can be enrolled.
create function vault.offered_totp(tenant uuid, person uuid) returns table (factor_id uuid, sealed bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.factor_id, it.sealed from vault.totp_offers it
        where it.tenant_id = tenant and it.user_id = person and it.expires_at > clock_timestamp();
end $$;

-- The seed of a person.
create function vault.totp_of(tenant uuid, person uuid) returns table (factor_id uuid, sealed bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.factor_id, it.sealed from vault.totp it where it.tenant_id = tenant and it.user_id = person;
end $$;

-- Whether a ticket is good; if it is, nobody else takes it before this transaction ends. Without a ticket there is nothing
-- to hold.
create function vault.hold_ticket(tenant uuid, ticket uuid, shown bytea) returns boolean
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform from vault.second_factor_tickets it
    where it.tenant_id = tenant and it.ticket_id = ticket and it.hash = shown and it.expires_at > clock_timestamp()
    for update;
    return found or ticket is null;
end $$;

-- Takes the code of a step, once, and with it the ticket that it is shown with, or neither: of any number who show one of
-- them, in however many processes, one is told that it was good. No code of that step or an earlier one is good from then on
-- (RFC 6238 section 5.2).
create function vault.use_totp_step(tenant uuid, person uuid, factor uuid, step bigint, ticket uuid, ticket_hash bytea)
    returns boolean
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    if not vault.hold_ticket(tenant, ticket, ticket_hash) then
        return false;
    end if;
    update vault.totp it set last_step = step
    where it.tenant_id = tenant and it.user_id = person and it.factor_id = factor and it.last_step < step;
    if not found then
        return false;
    end if;
    delete from vault.second_factor_tickets it where it.tenant_id = tenant and it.ticket_id = ticket;
    return true;
end $$;

-- Takes a recovery code, once, and with it the ticket that it is shown with, or neither.
create function vault.take_recovery_code(tenant uuid, person uuid, shown bytea, ticket uuid, ticket_hash bytea)
    returns boolean
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    if not vault.hold_ticket(tenant, ticket, ticket_hash) then
        return false;
    end if;
    delete from vault.recovery_codes it where it.tenant_id = tenant and it.user_id = person and it.hash = shown;
    if not found then
        return false;
    end if;
    delete from vault.second_factor_tickets it where it.tenant_id = tenant and it.ticket_id = ticket;
    return true;
end $$;

-- Remembers the first half of a sign-in. If it was a guess (`most` says until when there are some), that is taken back. A person has ten tickets at most, the newest; some that
-- are over are forgotten.
create function vault.put_ticket(tenant uuid, ticket uuid, hash bytea, person uuid, kind smallint, subject bytea, most integer,
                                 method text, amr text[], auth_time timestamptz, seen integer, phc text, pepper smallint,
                                 link uuid, provider uuid, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.second_factor_tickets it using (
        select o.ticket_id from vault.second_factor_tickets o
        where o.tenant_id = tenant and o.user_id = person
        order by o.expires_at desc, o.ticket_id desc offset 9 for update skip locked
    ) over_ where it.tenant_id = tenant and it.ticket_id = over_.ticket_id;
    delete from vault.second_factor_tickets it using (
        select o.ticket_id from vault.second_factor_tickets o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.ticket_id = over_.ticket_id;
    insert into vault.second_factor_tickets
        (tenant_id, ticket_id, hash, user_id, kind, subject, method, amr, auth_time, seen, phc, pepper, link_id, provider_id,
         expires_at)
    values (tenant, ticket, hash, person, kind, subject, method, amr, auth_time, seen, phc, pepper, link, provider,
            now_ + lasts);
    if most is not null then
        perform vault.return_attempt(tenant, kind, subject, most);
    end if;
end $$;

-- The first half of a sign-in that a ticket stands for. Looking takes nothing.
create function vault.ticket(tenant uuid, ticket uuid, shown bytea)
    returns table (user_id uuid, kind smallint, subject bytea, method text, amr text[], auth_time timestamptz, seen integer,
                   phc text, pepper smallint, link_id uuid, provider_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.user_id, it.kind, it.subject, it.method, it.amr, it.auth_time, it.seen, it.phc, it.pepper, it.link_id,
               it.provider_id
        from vault.second_factor_tickets it
        where it.tenant_id = tenant and it.ticket_id = ticket and it.hash = shown and it.expires_at > clock_timestamp();
end $$;

-- Remembers what somebody is to sign, and forgets some of what is over. False, having written nothing, if as much waits in the
-- tenant as may.
create function vault.put_challenge(tenant uuid, challenge bytea, person uuid, lasts interval) returns boolean
    language plpgsql volatile as $$
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.webauthn_challenges it using (
        select o.hash from vault.webauthn_challenges o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.hash = over_.hash;
    if (select count(*) from (
            select from vault.webauthn_challenges it where it.tenant_id = tenant limit 10000
        ) waiting) = 10000 then
        return false;
    end if;
    insert into vault.webauthn_challenges (tenant_id, hash, user_id, expires_at)
    values (tenant, challenge, person, now_ + lasts);
    return true;
end $$;

-- Takes what was to be signed, once, if it was for this person, or for signing in.
create function vault.take_challenge(tenant uuid, challenge bytea, person uuid) returns boolean
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.webauthn_challenges it
    where it.tenant_id = tenant and it.hash = challenge and it.user_id is not distinct from person
        and it.expires_at > clock_timestamp();
    return found;
end $$;

-- The passkeys of a person, for their browser not to offer them again.
create function vault.passkeys_of(tenant uuid, person uuid) returns table (credential_id bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.credential_id from vault.passkeys it
        where it.tenant_id = tenant and it.user_id = person order by it.factor_id limit 100;
end $$;

-- A passkey by the name that the authenticator has for it.
create function vault.passkey(tenant uuid, credential bytea)
    returns table (factor_id uuid, user_id uuid, algorithm smallint, public_key bytea)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.factor_id, it.user_id, it.algorithm, it.public_key from vault.passkeys it
        where it.tenant_id = tenant and it.credential_id = credential;
end $$;

-- Notes how often a passkey says that it signed. False if that is no more than before: there may be a copy of it.
create function vault.count_passkey(tenant uuid, factor uuid, counted bigint) returns boolean
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    update vault.passkeys it set sign_count = counted
    where it.tenant_id = tenant and it.factor_id = factor
        and (it.sign_count < counted or (it.sign_count = 0 and counted = 0));
    return found;
end $$;

do $$
declare
    made regprocedure;
begin
    for made in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'vault'::regnamespace and p.proname in (
            'do_put_totp', 'do_drop_totp', 'do_put_recovery_codes', 'return_attempt', 'do_return_attempt', 'offer_totp',
            'offered_totp', 'totp_of', 'hold_ticket', 'use_totp_step', 'take_recovery_code', 'put_ticket', 'ticket',
            'do_put_passkey', 'do_drop_passkey', 'do_drop_factors', 'put_challenge', 'take_challenge', 'passkeys_of', 'passkey',
            'count_passkey')
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
