-- One row a session, as its own stream tells it. Whether it still stands depends on its person too, see `read.users`.
create table read.sessions (
    tenant_id        uuid not null,
    session_id       uuid not null,
    user_id          uuid not null,
    service_id       uuid,
    impersonation_id uuid,
    method           text not null,
    amr              jsonb not null,
    auth_time        timestamptz not null,
    generation       integer not null,
    device           jsonb,
    -- Address and user agent of the request that began it, sealed.
    origin           jsonb,
    started_at       timestamptz not null,
    expires_at       timestamptz not null,
    ended_at         timestamptz,
    ended_because    text,
    version          bigint not null,
    first_position   bigint not null,
    position         bigint not null,
    primary key (tenant_id, session_id)
) with (fillfactor = 85);

create unique index sessions_by_user on read.sessions (tenant_id, user_id, first_position);

call run.wall('read.sessions');
