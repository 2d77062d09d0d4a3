-- Mail, in three tables of the vault: letters that wait to be sent, what was asked for and is answered by mail, and the
-- tokens of the links in letters. What letters and requests say is sealed under a key that is not in the database.

-- A letter. It waits while it has neither `sent_at` nor `dead_at`, and only then it has its content.
-- `due_at`: when it is tried next; while a mailer has it, when that mailer's time with it is over.
-- `give_up_at`: from then on it is of no use, since its link has ended or it is simply too old.
-- `lease`: which try has it, so that a mailer that comes back too late cannot undo what another has noted.
-- `user_id`: the person that it is about. Erasing them takes it away, with the one exception of the letter that says so.
-- `last_error` is in our words: what a server answers may quote the address.
create table vault.outbox (
    tenant_id  uuid not null,
    mail_id    uuid not null,
    user_id    uuid,
    dedupe     text not null check (char_length(dedupe) between 1 and 200),
    kind       text not null check (kind ~ '^[a-z-]{1,40}$'),
    language   text not null check (language ~ '^[a-z]{2}$'),
    sealed     bytea check (octet_length(sealed) between 1 and 16384),
    queued_at  timestamptz not null,
    due_at     timestamptz not null,
    give_up_at timestamptz not null,
    tries      integer not null default 0,
    lease      uuid,
    sent_at    timestamptz,
    dead_at    timestamptz,
    last_error text check (char_length(last_error) <= 200),
    primary key (tenant_id, mail_id),
    unique (tenant_id, dedupe),
    check (sent_at is null or dead_at is null),
    check ((sealed is null) = (sent_at is not null or dead_at is not null))
);
create index outbox_due on vault.outbox (due_at) where sent_at is null and dead_at is null;
create index outbox_dead on vault.outbox (dead_at) where dead_at is not null;
create index outbox_queued on vault.outbox (queued_at);
call vault.wall('vault.outbox');
-- One mailer sends for every tenant, and an operator looks at what waits.
create policy every_tenant on vault.outbox to quipu_reactor using (true) with check (true);
create policy every_tenant_read on vault.outbox for select to quipu_platform using (true);

-- Something that was asked for by somebody whom we do not know yet. Whoever asks is answered at once and the same whether
-- the address is known or not; a reactor looks it up later. `taken_at`: the reactor is done with it. The row stays until
-- `expires_at` if a link that was mailed refers to it.
create table vault.requests (
    tenant_id  uuid not null,
    request_id uuid not null,
    kind       text not null check (kind ~ '^[a-z-]{1,40}$'),
    sealed     bytea not null check (octet_length(sealed) between 1 and 16384),
    asked_at   timestamptz not null,
    due_at     timestamptz not null,
    expires_at timestamptz not null,
    taken_at   timestamptz,
    tries      integer not null default 0,
    primary key (tenant_id, request_id)
);
create index requests_due on vault.requests (due_at) where taken_at is null;
create index requests_expires on vault.requests (expires_at);
call vault.wall('vault.requests');
create policy every_tenant on vault.requests to quipu_reactor using (true) with check (true);

-- The secret half of a link in a letter, as SHA-256. `about` is what the link is for: a user, an invitation or a request;
-- of its kind there is one good link for each of them, the newest. `version` is the version of what the link changes, as
-- it stood when the link was made: the decision that follows compares it, so that a link works once even in a race.
create table vault.mail_tokens (
    tenant_id    uuid not null,
    token_id     uuid not null,
    kind         smallint not null,
    hash         bytea not null check (octet_length(hash) = 32),
    about        uuid not null,
    user_id      uuid,
    address_hash bytea check (octet_length(address_hash) = 32),
    version      bigint not null,
    made_at      timestamptz not null,
    expires_at   timestamptz not null,
    used_at      timestamptz,
    primary key (tenant_id, token_id)
);
create unique index mail_tokens_newest on vault.mail_tokens (tenant_id, kind, about) where used_at is null;
create index mail_tokens_expires on vault.mail_tokens (expires_at);
call vault.wall('vault.mail_tokens');
create policy every_tenant on vault.mail_tokens to quipu_reactor using (true) with check (true);

-- Puts a letter into the outbox, unless one with the same `dedupe` was put there already.
create function vault.do_queue_mail(change jsonb) returns void
    language plpgsql volatile as $$
declare
    now_ constant timestamptz := clock_timestamp();
begin
    insert into vault.outbox
        (tenant_id, mail_id, user_id, dedupe, kind, language, sealed, queued_at, due_at, give_up_at)
    values ((change->>'tenant')::uuid, (change->>'mail')::uuid, (change->>'user')::uuid, change->>'dedupe',
            change->>'kind', change->>'language', decode(change->>'sealed', 'hex'), now_, now_,
            least(now_ + interval '24 hours', (change->>'until')::timestamptz))
    on conflict do nothing;
end $$;

-- Makes a link good, and with that any older one of its kind for the same thing useless.
create function vault.do_put_mail_token(change jsonb) returns void
    language sql volatile as $$
    insert into vault.mail_tokens
        (tenant_id, token_id, kind, hash, about, user_id, address_hash, version, made_at, expires_at)
    values ((change->>'tenant')::uuid, (change->>'token')::uuid, (change->>'kind')::smallint,
            decode(change->>'hash', 'hex'), (change->>'about')::uuid, (change->>'user')::uuid,
            decode(change->>'address_hash', 'hex'), (change->>'version')::bigint, clock_timestamp(),
            (change->>'expires_at')::timestamptz)
    on conflict (tenant_id, kind, about) where used_at is null do update set
        token_id = excluded.token_id, hash = excluded.hash, user_id = excluded.user_id,
        address_hash = excluded.address_hash, version = excluded.version, made_at = excluded.made_at,
        expires_at = excluded.expires_at
$$;

create function vault.do_use_mail_token(change jsonb) returns void
    language sql volatile as $$
    update vault.mail_tokens set used_at = clock_timestamp()
    where tenant_id = (change->>'tenant')::uuid and token_id = (change->>'token')::uuid and used_at is null
$$;

-- Takes every link of a kind away, such as those of an invitation that was revoked.
create function vault.do_drop_mail_tokens(change jsonb) returns void
    language sql volatile as $$
    delete from vault.mail_tokens
    where tenant_id = (change->>'tenant')::uuid and kind = (change->>'kind')::smallint
        and about = (change->>'about')::uuid and used_at is null
$$;

create function vault.do_drop_request(change jsonb) returns void
    language sql volatile as $$
    delete from vault.requests
    where tenant_id = (change->>'tenant')::uuid and request_id = (change->>'request')::uuid
$$;

-- What a good link is for. No row for one that is unknown, of another kind, used, over or replaced: whoever shows it
-- learns no more than that. Looking consumes nothing.
create function vault.mail_token(tenant uuid, token uuid, what smallint, shown bytea)
    returns table (about uuid, user_id uuid, address_hash bytea, version bigint)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.about, it.user_id, it.address_hash, it.version from vault.mail_tokens it
        where it.tenant_id = tenant and it.token_id = token and it.kind = what and it.hash = shown
            and it.used_at is null and it.expires_at > clock_timestamp();
end $$;

-- Remembers what was asked for. False, having written nothing, if so much waits for the reactor already that more would
-- only make it worse.
create function vault.ask(tenant uuid, request uuid, what text, content bytea, lasts interval)
    returns boolean
    language plpgsql volatile as $$
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    if (select count(*) from (
            select from vault.requests it where it.tenant_id = tenant and it.taken_at is null limit 10000
        ) waiting) = 10000 then
        return false;
    end if;
    insert into vault.requests (tenant_id, request_id, kind, sealed, asked_at, due_at, expires_at)
    values (tenant, request, what, content, now_, now_, now_ + lasts)
    on conflict do nothing;
    return true;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.do_queue_mail(jsonb)', 'vault.do_put_mail_token(jsonb)', 'vault.do_use_mail_token(jsonb)',
        'vault.do_drop_mail_tokens(jsonb)', 'vault.do_drop_request(jsonb)',
        'vault.mail_token(uuid, uuid, smallint, bytea)', 'vault.ask(uuid, uuid, text, bytea, interval)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
end $$;
