-- How every process learns within a second that somebody may not act any more.
--
-- What decides who may act is in the log, on streams of a few categories. Each process asks ten times a second which of
-- these streams have moved since it asked last, and forgets what it had read of them. Positions are dense and in commit
-- order, so the head of the same snapshot says that nothing up to it is missing.
--
-- The categories, here and in `event_store::access`:
-- 2 access token, 3 standing and 4 policy of the organisation, 20 user, 21 session, 23 factors, 40 membership, 41 role,
-- 50 service, 51 API key, 80 signing key, 81 permissions, 82 impersonation.

-- A ledger row pays for it with one comparison.
create index stream_events_access on store.stream_events (position)
    where category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 80, 81, 82);

-- A standby cannot tell a quiet log from a replication that has stopped: its head stands still in both cases. So the
-- primary moves this row twice a second, and a standby knows by it how old is what it shows.
create table run.heartbeat (
    id      smallint primary key check (id = 1),
    beat_at timestamptz not null
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
insert into run.heartbeat values (1, clock_timestamp());
grant select, update (beat_at) on run.heartbeat to quipu_projector;

-- The function below runs with the owner's rights, and those reach no further than these rows: that a stream of such a
-- category has moved, not what happened.
do $$ begin
    execute 'create policy access_tail on store.stream_events for select to current_user
             using (category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 80, 81, 82))';
end $$;

-- The streams of every tenant that moved after a position, in order; at most `most`, and further ones of the last
-- position. One row without a stream if there is none. All of it is of one snapshot, and so is the head.
-- `behind_us` says how old that snapshot may be, in microseconds: nothing on the primary, the age of the last heartbeat on
-- a standby.
create function store.access_since(after bigint, most bigint)
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
        where s.category in (2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 80, 81, 82) and s.position > after
        order by s.position
        fetch first (most) rows with ties
    ) moved on true
    order by moved.position
$$;

revoke execute on function store.access_since(bigint, bigint) from public;
grant execute on function store.access_since(bigint, bigint) to quipu_command, quipu_reactor, quipu_query;

-- Whoever serves reads brings states up to date too, of the tenants that it serves: row security holds within.
grant execute on function store.stream_tail(uuid[], uuid[], smallint[], uuid[], bigint[], boolean[]) to quipu_query;
