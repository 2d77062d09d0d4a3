-- Sign-ins, those that came to something and those that did not: one row an event, never updated. What was typed and from
-- where stays sealed.
create table read.sign_ins (
    tenant_id        uuid not null,
    position         bigint not null,
    outcome          text collate "C" not null check (outcome in ('succeeded', 'failed', 'locked')),
    method           text collate "C" not null,
    -- Why it failed.
    because          text,
    -- For whom, if there is such a person.
    user_id          uuid,
    session_id       uuid,
    service_id       uuid,
    impersonation_id uuid,
    -- How many: those that failed alike within a minute are one row; a lock tells how many failed before it.
    count            bigint not null,
    first_at         timestamptz not null,
    at               timestamptz not null,
    locked_until     timestamptz,
    identifier       jsonb,
    origin           jsonb,
    primary key (tenant_id, position)
);

create index sign_ins_by_user on read.sign_ins (tenant_id, user_id, position) where user_id is not null;
create index sign_ins_by_outcome on read.sign_ins (tenant_id, outcome, position) where outcome <> 'succeeded';
create index sign_ins_by_time on read.sign_ins (tenant_id, at, position);

call run.wall('read.sign_ins');

-- The same counted, one row a day in UTC, a method and an outcome.
create table read.sign_in_days (
    tenant_id uuid not null,
    day       date not null,
    method    text collate "C" not null,
    outcome   text collate "C" not null check (outcome in ('succeeded', 'failed', 'locked')),
    count     bigint not null,
    position  bigint not null,
    primary key (tenant_id, day, method, outcome)
) with (fillfactor = 85);

call run.wall('read.sign_in_days');
