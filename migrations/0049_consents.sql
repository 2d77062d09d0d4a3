-- What persons allow services: a row each, and the end of all that a service has of a person when they take it back.

-- One row for each pair of a person and a service, from the first time that they allowed it something.
create table read.consents (
    tenant_id        uuid not null,
    consent_id       uuid not null,
    user_id          uuid not null,
    service_id       uuid not null,
    -- `questioned`: it stands, but the person is asked before the service has its next session.
    status           text not null check (status in ('granted', 'questioned', 'revoked')),
    scopes           jsonb not null,
    -- Since when, without a break.
    granted_at       timestamptz not null,
    changed_at       timestamptz not null,
    revoked_at       timestamptz,
    -- Where the newest event stands by which it was taken back: sessions that began before it have ended.
    revoked_position bigint,
    version          bigint not null,
    first_position   bigint not null,
    position         bigint not null,
    primary key (tenant_id, consent_id)
) with (fillfactor = 85);

create unique index consents_by_position on read.consents (tenant_id, first_position);
create index consents_by_user on read.consents (tenant_id, user_id, service_id);

call run.wall('read.consents');

-- Revokes the refresh tokens that a service has of a person, as many as there are at that moment of the log.
create function vault.do_revoke_lent(change jsonb) returns void
    language sql volatile as $$
    update vault.families f set
        revoked_at = coalesce(f.revoked_at, clock_timestamp()),
        revoked_for = coalesce(f.revoked_for, change->>'because'),
        told = true
    from (
        select tenant_id, family_id from vault.families
        where tenant_id = (change->>'tenant')::uuid and user_id = (change->>'user')::uuid
            and service_id = (change->>'service')::uuid and (revoked_at is null or not told)
        order by family_id for update
    ) live
    where f.tenant_id = live.tenant_id and f.family_id = live.family_id
$$;
revoke execute on function vault.do_revoke_lent(jsonb) from public;
grant execute on function vault.do_revoke_lent(jsonb) to quipu_command, quipu_reactor, quipu_platform;

-- Consents (53) decide who may act from now on, so every process follows them as it follows what 0023 lists. The index is made
-- anew: a scan of the table, which holds up writers meanwhile.
drop index store.stream_events_access;
create index stream_events_access on store.stream_events (position)
    where category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 53, 80, 81, 82);

drop policy access_tail on store.stream_events;
do $$ begin
    execute 'create policy access_tail on store.stream_events for select to current_user
             using (category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 53, 80, 81, 82))';
end $$;

create or replace function store.access_since(after bigint, most bigint)
    returns table (head bigint, epoch integer, behind_us bigint, "position" bigint, tenant_id uuid, category smallint,
                   stream_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select h.position, h.epoch,
           case when pg_is_in_recovery()
                then greatest(extract(epoch from clock_timestamp() - b.beat_at) * 1000000, 0)::bigint else 0 end,
           moved.position, moved.tenant_id, moved.category, moved.stream_id
    from store.log_head h
    cross join run.heartbeat b
    left join lateral (
        select s.position, s.tenant_id, s.category, s.stream_id from store.stream_events s
        where s.category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 53, 80, 81, 82) and s.position > after
        order by s.position
        fetch first (most) rows with ties
    ) moved on true
    order by moved.position
$$;
