-- Who did what, and with which result: one row an event. Never updated. Every index begins with the tenant and ends with
-- the position, so the newest page of any filter is a short walk. The entries of one stream are found by
-- store.stream_events; those that are about a path are few, and so are those that are not simply done.
create table read.audit_trail (
    tenant_id   uuid not null,
    position    bigint not null,
    event_id    uuid not null,
    actor       uuid,
    token       uuid,
    correlation uuid,
    context     text collate "C" not null,
    action      text collate "C" not null,
    result      text collate "C" not null check (result in ('done', 'refused', 'read', 'exported')),
    code        text collate "C",
    count       bigint not null,
    path        text collate "C",
    resources   jsonb not null,
    first_at    timestamptz not null,
    recorded_at timestamptz not null,
    primary key (tenant_id, position)
);

create index audit_trail_by_actor on read.audit_trail (tenant_id, actor, position);
create index audit_trail_by_context on read.audit_trail (tenant_id, context, position);
create index audit_trail_by_action on read.audit_trail (tenant_id, action, position);
create index audit_trail_by_recording on read.audit_trail (tenant_id, recorded_at, position);
create index audit_trail_by_result on read.audit_trail (tenant_id, result, position) where result <> 'done';
create index audit_trail_by_path on read.audit_trail (tenant_id, path, position) where path is not null;

call run.wall('read.audit_trail');
