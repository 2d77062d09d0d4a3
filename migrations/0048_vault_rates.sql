-- Counters of how often something is tried that many processes count together: where secrets are guessed, and where letters are
-- caused. They are no part of the log and of no evidence: losing them forgives what was counted.

-- A window begins with the first try and ends `span` later; then the next try begins a new one. `subject` is a keyed hash of
-- who is counted (an address of the network, a person, a client), so that the table names nobody. What is counted of no
-- tenant, such as an address, is under tenant zero.
create table vault.rate_windows (
    tenant_id uuid not null,
    policy    smallint not null,
    subject   bytea not null check (octet_length(subject) = 32),
    began_at  timestamptz not null,
    used      integer not null check (used > 0),
    primary key (tenant_id, policy, subject)
);
create index rate_windows_began on vault.rate_windows (began_at);
call vault.wall('vault.rate_windows');

-- Counts one try under each of several policies, in order, up to the first one that is used up: what one refuses is not counted
-- by those after it, so that whoever is refused by the limit of an address takes nothing from the limit of an organisation.
-- One row for each that was asked: how many were used, this one included, and when its window ends. A policy has refused if
-- `used` is over its `most`; refusals are not counted any further.
--
-- Each row is locked until the end of the statement. Callers name policies in ascending order, so none waits in a circle.
create function vault.count_rates(tenants uuid[], policies smallint[], subjects bytea[], most integer[], spans interval[])
    returns table (used integer, ends_in interval)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    now_ timestamptz;
    row_ vault.rate_windows;
begin
    perform set_config('app.tenants', tenants::text, true);
    for n in 1 .. coalesce(array_length(policies, 1), 0) loop
        -- Of each by itself: what waited for another process is counted at the time it got its turn.
        now_ := clock_timestamp();
        insert into vault.rate_windows as it (tenant_id, policy, subject, began_at, used)
        values (tenants[n], policies[n], subjects[n], now_, 1)
        on conflict (tenant_id, policy, subject) do update set
            used = case when it.began_at <= now_ - spans[n] then 1 else least(it.used, most[n]) + 1 end,
            began_at = case when it.began_at <= now_ - spans[n] then now_ else it.began_at end
        returning it.* into row_;
        used := row_.used;
        ends_in := row_.began_at + spans[n] - now_;
        return next;
        exit when row_.used > most[n];
    end loop;
end $$;

-- What is used of one policy in the window that is open, without counting anything. No row if none is open.
create function vault.look_at_rate(tenant uuid, what smallint, of bytea, span interval)
    returns table (used integer, ends_in interval)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.used, it.began_at + span - clock_timestamp() from vault.rate_windows it
        where it.tenant_id = tenant and it.policy = what and it.subject = of
            and it.began_at > clock_timestamp() - span;
end $$;

-- No window is longer than a day. The reactors throw away what is over, of all tenants; their policy shows them just that.
create policy over on vault.rate_windows to quipu_reactor
    using (began_at < now() - interval '1 day') with check (false);

-- Deletes at most `most` windows that are over, and says how many went.
create function vault.sweep_rates(most integer) returns integer
    language plpgsql volatile as $$
declare
    gone integer;
begin
    delete from vault.rate_windows r using (
        select it.tenant_id, it.policy, it.subject from vault.rate_windows it
        where it.began_at < now() - interval '1 day'
        order by it.began_at limit most for update skip locked
    ) over_ where r.tenant_id = over_.tenant_id and r.policy = over_.policy and r.subject = over_.subject;
    get diagnostics gone = row_count;
    return gone;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.count_rates(uuid[], smallint[], bytea[], integer[], interval[])',
        'vault.look_at_rate(uuid, smallint, bytea, interval)', 'vault.sweep_rates(integer)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor', made);
    end loop;
    revoke execute on function vault.sweep_rates from quipu_command;
end $$;
