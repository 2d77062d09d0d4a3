-- One row a person, as they are now. What is private is sealed here as it is in the log, with its place.
create table read.users (
    tenant_id       uuid not null,
    user_id         uuid not null,
    status          text not null check (status in ('active', 'inactive', 'erased')),
    email           jsonb,
    email_version   integer not null,
    email_verified  boolean not null,
    -- The address that they have asked for, until it is confirmed or given up.
    email_pending   jsonb,
    given_name      jsonb,
    family_name     jsonb,
    phone           jsonb,
    address         jsonb,
    language        text not null,
    via             text not null,
    has_password    boolean not null,
    -- Sessions of an earlier generation are over, but for the one that was kept.
    generation      integer not null,
    kept_session    uuid,
    registered_at   timestamptz not null,
    version         bigint not null,
    first_position  bigint not null,
    position        bigint not null,
    primary key (tenant_id, user_id)
) with (fillfactor = 85);

create unique index users_by_position on read.users (tenant_id, first_position);
create index users_by_status on read.users (tenant_id, status, first_position);

call run.wall('read.users');
