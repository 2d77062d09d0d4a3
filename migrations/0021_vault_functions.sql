-- What changes in the vault without an event, and what a sign-in looks up. Each function is a statement and a transaction
-- of its own; it names the tenant that it serves itself.

-- Reserves a guess before anything is compared: of any number of parallel ones at most `most` are allowed until the lock
-- ends or the counter is cleared. The guess that reaches `most` sets the lock at once, while it is still being looked at;
-- if it was right, the transaction of the success clears the counter.
create function vault.reserve_attempt(tenant uuid, kind smallint, subject bytea, most integer, span interval, lock_for interval)
    returns table (allowed boolean, failed integer, locked_until timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_variable
declare
    -- Not the time of the transaction: guesses that waited for one another are counted at the time they got their turn.
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        insert into vault.attempts as a (tenant_id, kind, subject, began_at, failed, refused, locked_until)
        values (tenant, kind, subject, now_, 1, 0, case when most <= 1 then now_ + lock_for end)
        on conflict on constraint attempts_pkey do update set
            refused = case when a.locked_until > now_ then a.refused + 1 else 0 end,
            failed = case when a.locked_until > now_ then a.failed
                          when a.locked_until is not null or a.began_at < now_ - span then 1
                          else a.failed + 1 end,
            began_at = case when a.locked_until > now_ then a.began_at
                            when a.locked_until is not null or a.began_at < now_ - span then now_
                            else a.began_at end,
            locked_until = case when a.locked_until > now_ then a.locked_until
                                when a.locked_until is not null or a.began_at < now_ - span
                                    then case when most <= 1 then now_ + lock_for end
                                when a.failed + 1 >= most then now_ + lock_for end
        returning a.refused = 0, a.failed, a.locked_until;
end $$;

-- Exchanges a refresh token for its successor. Whoever presents one of a family waits for the lock of the family's row;
-- so of any number of presenters of one token exactly one is answered `rotated`.
--
-- Outcomes, in the order in which they are looked for:
-- `unknown`  no such token, another secret, or another service's;
-- `closed`   the tenant is closed, or has been since the family was opened;
-- `reused`   the token was used before: the family is revoked by this very call, or was by one like it;
-- `revoked`  the family was revoked for another reason;
-- `expired`  the family is past its end, or was not used for too long;
-- `again`    used a moment ago, within the grace and for the first time: another successor takes the place of the unused one;
-- `rotated`  done.
create function vault.rotate_refresh(tenant uuid, token uuid, shown bytea, service uuid, next_token uuid, next_hash bytea, grace interval)
    returns table (outcome text, family_id uuid, session_id uuid, user_id uuid, scope text, absolute_until timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    held  vault.families;
    found_token vault.refresh_tokens;
    shut  vault.closed_tenants;
    now_  timestamptz;
    said  text;
    again boolean := false;
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    select f.* into held from vault.families f
    join vault.refresh_tokens t on t.tenant_id = f.tenant_id and t.family_id = f.family_id
    where t.tenant_id = tenant and t.token_id = token and t.hash = shown and f.service_id is not distinct from service
    for update of f;
    if not found then
        return query select 'unknown', null::uuid, null::uuid, null::uuid, null::text, null::timestamptz;
        return;
    end if;
    -- Read after the lock was granted: what its last holder did is seen.
    now_ := clock_timestamp();
    select * into strict found_token from vault.refresh_tokens t where t.tenant_id = tenant and t.token_id = token;
    select * into shut from vault.closed_tenants c where c.tenant_id = tenant;
    -- A successor that was replaced counts as used and has none of its own: it is saved by nothing.
    again := found_token.used_at is not null and found_token.again_at is null and found_token.used_at > now_ - grace
        and coalesce((select bool_and(t.used_at is null) from vault.refresh_tokens t
                      where t.tenant_id = tenant and t.family_id = held.family_id and t.parent = token), false);
    said := case
        when shut.tenant_id is not null and (shut.until is null or held.opened_at <= shut.until) then 'closed'
        when held.revoked_at is not null and (found_token.used_at is null or held.revoked_for <> 'refresh-reused') then 'revoked'
        when held.revoked_at is not null then 'reused'
        when found_token.used_at is not null and not again then 'reused'
        when held.absolute_until <= now_ or held.last_used_at + held.idle <= now_ then 'expired'
        when again then 'again'
        else 'rotated'
    end;
    if said = 'reused' and held.revoked_at is null then
        update vault.families f set revoked_at = now_, revoked_for = 'refresh-reused', told = false
        where f.tenant_id = tenant and f.family_id = held.family_id;
    elsif said in ('rotated', 'again') then
        if again then
            -- Only one successor may live: the one that nobody used is as good as used.
            update vault.refresh_tokens t set used_at = now_
            where t.tenant_id = tenant and t.family_id = held.family_id and t.parent = token and t.used_at is null;
            update vault.refresh_tokens t set again_at = now_ where t.tenant_id = tenant and t.token_id = token;
        else
            update vault.refresh_tokens t set used_at = now_ where t.tenant_id = tenant and t.token_id = token;
        end if;
        insert into vault.refresh_tokens (tenant_id, token_id, family_id, hash, parent, issued_at)
        values (tenant, next_token, held.family_id, next_hash, token, now_);
        update vault.families f set last_used_at = now_ where f.tenant_id = tenant and f.family_id = held.family_id;
    end if;
    return query select said, held.family_id, held.session_id, held.user_id, held.scope, held.absolute_until;
end $$;

-- Which session a refresh token belongs to, live or not; nothing if it is not the one that it says.
create function vault.session_of_refresh(tenant uuid, token uuid, shown bytea, service uuid)
    returns table (session_id uuid, user_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select f.session_id, f.user_id from vault.refresh_tokens t
        join vault.families f on f.tenant_id = t.tenant_id and f.family_id = t.family_id
        where t.tenant_id = tenant and t.token_id = token and t.hash = shown and f.service_id is not distinct from service;
end $$;

-- The sessions of a person that can still be refreshed, the newest first.
create function vault.live_sessions(tenant uuid, person uuid, most integer)
    returns table (session_id uuid, opened_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select f.session_id, min(f.opened_at) from vault.families f
        where f.tenant_id = tenant and f.user_id = person and f.revoked_at is null
            and f.absolute_until > now_ and f.last_used_at + f.idle > now_
        group by f.session_id order by min(f.opened_at) desc, f.session_id limit most;
end $$;

-- Who holds a unique value: the id of the stream, or nothing.
create function vault.claim_holder(tenant uuid, scope text, value text) returns uuid
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return (select c.stream_id from store.claims c
            where c.tenant_id = tenant and c.scope = scope and c.value = value);
end $$;

-- Who has an address, and their password if they have one.
create function vault.sign_in_row(tenant uuid, email_hash bytea)
    returns table (user_id uuid, version integer, phc text, pepper smallint)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select c.stream_id, p.version, p.phc, p.pepper from store.claims c
        left join vault.passwords p on p.tenant_id = c.tenant_id and p.user_id = c.stream_id
        where c.tenant_id = tenant and c.scope = 'identity.email' and c.value = encode(email_hash, 'hex');
end $$;

-- The password of a person whom a token names.
create function vault.password_row(tenant uuid, person uuid)
    returns table (user_id uuid, version integer, phc text, pepper smallint)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select p.user_id, p.version, p.phc, p.pepper from vault.passwords p
        where p.tenant_id = tenant and p.user_id = person;
end $$;

-- The reactors finish what a crash left half done, and throw away what is over, of all tenants. Their policies show them
-- just those rows.
create policy untold on vault.families for select to quipu_reactor using (not told);
create policy over on vault.families to quipu_reactor
    using (least(absolute_until, last_used_at + idle, revoked_at) < now() - interval '31 days') with check (false);
create policy over on vault.attempts to quipu_reactor
    using (began_at < now() - interval '1 day' and coalesce(locked_until, began_at) < now()) with check (false);

-- Families that were revoked because a token came back, and of which the log does not say so yet.
create function vault.untold_families(most integer)
    returns table (tenant_id uuid, session_id uuid, user_id uuid)
    language sql volatile as $$
    select distinct f.tenant_id, f.session_id, f.user_id from vault.families f where not f.told limit most
$$;

-- The log says already that this session ended.
create function vault.mark_told(tenant uuid, session uuid) returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    update vault.families f set told = true where f.tenant_id = tenant and f.session_id = session and not f.told;
end $$;

-- Deletes at most `most` rows of each kind that are over, and says how many went. Refresh tokens go with their family: they
-- are kept as long as one that comes back should be recognised.
create function vault.sweep(most integer) returns integer
    language plpgsql volatile as $$
declare
    gone integer;
    more integer;
begin
    delete from vault.families f using (
        select it.tenant_id, it.family_id from vault.families it
        where it.last_used_at < now() - interval '31 days'
            and least(it.absolute_until, it.last_used_at + it.idle, it.revoked_at) < now() - interval '31 days'
        order by it.last_used_at limit most for update skip locked
    ) over_ where f.tenant_id = over_.tenant_id and f.family_id = over_.family_id;
    get diagnostics gone = row_count;
    delete from vault.attempts a using (
        select it.tenant_id, it.kind, it.subject from vault.attempts it
        where it.began_at < now() - interval '1 day' and coalesce(it.locked_until, it.began_at) < now()
        order by it.began_at limit most for update skip locked
    ) over_ where a.tenant_id = over_.tenant_id and a.kind = over_.kind and a.subject = over_.subject;
    get diagnostics more = row_count;
    return gone + more;
end $$;

revoke execute on all functions in schema vault from public;
grant execute on all functions in schema vault to quipu_command, quipu_reactor, quipu_platform;
revoke execute on function vault.sweep, vault.untold_families, vault.mark_told from quipu_command, quipu_platform;
