-- The vault: secrets, hashes of secrets, and counters. They are as true as the log, but no secret and no hash of one may
-- stand in an event, since events can never be taken back. Dumped and restored together with the log, never rebuilt.
--
-- Rows change in two ways. What belongs to an event changes in the event's own transaction, by `vault.apply`. What is no
-- event at all (a guess that is counted, a refresh token that is exchanged) changes by one function that is a statement
-- and a transaction of its own; those stand in 0021. The query and projector roles cannot even see the schema.

create schema vault;
grant usage on schema vault to quipu_command, quipu_reactor, quipu_platform;

-- What every table of the vault with a tenant has in common: the walls between tenants, and the grants.
create procedure vault.wall(target regclass)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format($policy$
        create policy served_tenants on %s to quipu_command, quipu_reactor, quipu_platform
            using (tenant_id = any ((select store.served_tenants())::uuid[]))
            with check (tenant_id = any ((select store.served_tenants())::uuid[]))
    $policy$, target);
    execute format('grant select, insert, update, delete on %s to quipu_command, quipu_reactor, quipu_platform', target);
end $$;
revoke execute on procedure vault.wall from public;

-- Passwords, as Argon2id in the PHC format. `version` counts the passwords of a person; the event that says a password
-- was changed carries the same number. `pepper` says which key was mixed in.
create table vault.passwords (
    tenant_id  uuid not null,
    user_id    uuid not null,
    version    integer not null check (version > 0),
    phc        text not null,
    pepper     smallint not null,
    changed_at timestamptz not null,
    primary key (tenant_id, user_id)
);
call vault.wall('vault.passwords');

-- Guesses: reserved before anything is compared. `kind` says what is guessed, `subject` is a keyed hash of at whom.
create table vault.attempts (
    tenant_id    uuid not null,
    kind         smallint not null,
    subject      bytea not null check (octet_length(subject) = 32),
    began_at     timestamptz not null,
    failed       integer not null,
    refused      integer not null,
    locked_until timestamptz,
    primary key (tenant_id, kind, subject)
);
create index attempts_began on vault.attempts (began_at);
call vault.wall('vault.attempts');

-- A family is all refresh tokens that follow from one sign-in. `told` is false while the log does not say yet that a
-- family was revoked because one of its tokens came back.
create table vault.families (
    tenant_id      uuid not null,
    family_id      uuid not null,
    session_id     uuid not null,
    user_id        uuid not null,
    service_id     uuid,
    scope          text not null,
    opened_at      timestamptz not null,
    absolute_until timestamptz not null,
    idle           interval not null check (idle > '0'),
    last_used_at   timestamptz not null,
    revoked_at     timestamptz,
    revoked_for    text check ((revoked_for is null) = (revoked_at is null)),
    told           boolean not null default true,
    primary key (tenant_id, family_id)
);
create index families_session on vault.families (tenant_id, session_id);
create index families_user on vault.families (tenant_id, user_id);
create index families_untold on vault.families (tenant_id, family_id) where not told;
create index families_last_used on vault.families (last_used_at);
call vault.wall('vault.families');

-- `again_at`: the token was shown once more within the grace, and got another successor.
create table vault.refresh_tokens (
    tenant_id uuid not null,
    token_id  uuid not null,
    family_id uuid not null,
    hash      bytea not null check (octet_length(hash) = 32),
    parent    uuid,
    issued_at timestamptz not null,
    used_at   timestamptz,
    again_at  timestamptz,
    primary key (tenant_id, token_id),
    foreign key (tenant_id, family_id) references vault.families on delete cascade
);
create index refresh_tokens_family on vault.refresh_tokens (tenant_id, family_id);
call vault.wall('vault.refresh_tokens');

-- Tenants whose families are dead: all of them while `until` is null, and for ever those that were opened before it. So closing
-- an organisation of any size is one row.
create table vault.closed_tenants (
    tenant_id uuid primary key,
    since     timestamptz not null,
    until     timestamptz
);
call vault.wall('vault.closed_tenants');

-- Carries out the changes of the units of a batch, in order, in the transaction of their events. Each change is an object
-- whose `do` names the function: `vault.do_<name>(change)`; so a later migration adds a kind by adding a function. The
-- tenants are those that the transaction serves. Bytes travel as hexadecimal text, moments as RFC 3339.
create function vault.apply(changes jsonb) returns void
    language plpgsql volatile as $$
declare
    change jsonb;
begin
    for change in select it.change from jsonb_array_elements(changes) with ordinality as it (change, n) order by it.n
    loop
        execute format('select vault.%I($1)', 'do_' || (change->>'do')) using change;
    end loop;
end $$;

create function vault.do_put_password(change jsonb) returns void
    language sql volatile as $$
    insert into vault.passwords (tenant_id, user_id, version, phc, pepper, changed_at)
    values ((change->>'tenant')::uuid, (change->>'user')::uuid, (change->>'version')::integer, change->>'phc',
            (change->>'pepper')::smallint, clock_timestamp())
    on conflict (tenant_id, user_id) do update set
        version = excluded.version, phc = excluded.phc, pepper = excluded.pepper, changed_at = excluded.changed_at
$$;

create function vault.do_open_family(change jsonb) returns void
    language plpgsql volatile as $$
declare
    tenant constant uuid := change->>'tenant';
    family constant uuid := change->>'family';
    now_   constant timestamptz := clock_timestamp();
begin
    insert into vault.families
        (tenant_id, family_id, session_id, user_id, service_id, scope, opened_at, absolute_until, idle, last_used_at)
    values (tenant, family, (change->>'session')::uuid, (change->>'user')::uuid, (change->>'service')::uuid,
            change->>'scope', now_, (change->>'absolute_until')::timestamptz,
            make_interval(secs => (change->>'idle_seconds')::double precision), now_);
    insert into vault.refresh_tokens (tenant_id, token_id, family_id, hash, issued_at)
    values (tenant, (change->>'token')::uuid, family, decode(change->>'hash', 'hex'), now_);
end $$;

-- What ends access: live families are revoked, and of those that were revoked for a token that came back the log has now
-- been told. Rows are locked in the order of their ids.
create function vault.do_revoke_session(change jsonb) returns void
    language sql volatile as $$
    update vault.families f set
        revoked_at = coalesce(f.revoked_at, clock_timestamp()),
        revoked_for = coalesce(f.revoked_for, change->>'because'),
        told = true
    from (
        select tenant_id, family_id from vault.families
        where tenant_id = (change->>'tenant')::uuid and session_id = (change->>'session')::uuid
            and (revoked_at is null or not told)
        order by family_id for update
    ) live
    where f.tenant_id = live.tenant_id and f.family_id = live.family_id
$$;

-- `except`: a session that stays. Families that will be opened later are not touched.
create function vault.do_revoke_user(change jsonb) returns void
    language sql volatile as $$
    update vault.families f set
        revoked_at = coalesce(f.revoked_at, clock_timestamp()),
        revoked_for = coalesce(f.revoked_for, change->>'because'),
        told = true
    from (
        select tenant_id, family_id from vault.families
        where tenant_id = (change->>'tenant')::uuid and user_id = (change->>'user')::uuid
            and (revoked_at is null or not told)
            and session_id is distinct from (change->>'except')::uuid
        order by family_id for update
    ) live
    where f.tenant_id = live.tenant_id and f.family_id = live.family_id
$$;

create function vault.do_close_tenant(change jsonb) returns void
    language sql volatile as $$
    insert into vault.closed_tenants (tenant_id, since) values ((change->>'tenant')::uuid, clock_timestamp())
    on conflict (tenant_id) do update set since = excluded.since, until = null
$$;

create function vault.do_reopen_tenant(change jsonb) returns void
    language sql volatile as $$
    update vault.closed_tenants set until = clock_timestamp()
    where tenant_id = (change->>'tenant')::uuid and until is null
$$;

-- All families of a tenant that is not closed.
create function vault.do_revoke_tenant(change jsonb) returns void
    language sql volatile as $$
    insert into vault.closed_tenants as closed (tenant_id, since, until)
    values ((change->>'tenant')::uuid, clock_timestamp(), clock_timestamp())
    on conflict (tenant_id) do update set until = excluded.until where closed.until is not null
$$;

create function vault.do_clear_attempts(change jsonb) returns void
    language sql volatile as $$
    delete from vault.attempts
    where tenant_id = (change->>'tenant')::uuid and kind = (change->>'kind')::smallint
        and subject = decode(change->>'subject', 'hex')
$$;

-- Everything that is kept of a person. Tables are found by their column `user_id`, so that a table of a later migration
-- cannot be forgotten; what hangs on their rows goes by its foreign key.
create function vault.do_forget_user(change jsonb) returns void
    language plpgsql volatile as $$
declare
    target regclass;
begin
    for target in
        select c.oid::regclass from pg_catalog.pg_class c
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
        where c.relnamespace = 'vault'::regnamespace and c.relkind in ('r', 'p')
        order by c.relname
    loop
        execute format('delete from %s where tenant_id = $1 and user_id = $2', target)
            using (change->>'tenant')::uuid, (change->>'user')::uuid;
    end loop;
end $$;

revoke execute on all functions in schema vault from public;
grant execute on all functions in schema vault to quipu_command, quipu_reactor, quipu_platform;
