-- The envelope of each event without what it says: the log is read by position only, this is how positions are found.
-- Never updated. Every index begins with the tenant and ends with the position, so the newest page of any filter is a
-- short walk, however large the log. Events of one stream are found by store.stream_events.
create table read.event_index (
    tenant_id   uuid not null,
    position    bigint not null,
    tenant_seq  bigint not null,
    type        text collate "C" not null,
    category    smallint not null,
    stream_id   uuid not null,
    event_id    uuid not null,
    actor       uuid,
    correlation uuid,
    recorded_at timestamptz not null,
    primary key (tenant_id, position)
);

create index event_index_by_type on read.event_index (tenant_id, type, position);
create index event_index_by_category on read.event_index (tenant_id, category, position);
create index event_index_by_actor on read.event_index (tenant_id, actor, position);
create index event_index_by_correlation on read.event_index (tenant_id, correlation, position);
create index event_index_by_recording on read.event_index (tenant_id, recorded_at, position);

call run.wall('read.event_index');
