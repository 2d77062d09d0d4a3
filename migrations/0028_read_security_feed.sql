-- What matters to the security of persons and of their organisation: one row an event, never updated.
create table read.security_feed (
    tenant_id     uuid not null,
    position      bigint not null,
    -- The type of the event.
    kind          text collate "C" not null,
    -- Whom it concerns, if anybody; and whom too.
    user_id       uuid,
    other_user_id uuid,
    actor         uuid,
    -- The event's own stream.
    subject       text collate "C" not null,
    method        text,
    because       text,
    at            timestamptz not null,
    primary key (tenant_id, position)
);

create index security_feed_by_user on read.security_feed (tenant_id, user_id, position) where user_id is not null;
create index security_feed_by_other_user on read.security_feed (tenant_id, other_user_id, position)
    where other_user_id is not null;
create index security_feed_by_kind on read.security_feed (tenant_id, kind, position);

call run.wall('read.security_feed');
