-- One row an invitation. The invited address is sealed; of the links that were mailed, nothing is here.
create table read.invitations (
    tenant_id      uuid not null,
    invitation_id  uuid not null,
    -- As its stream tells it: whether a pending one is still in time is asked of `expires_at`.
    status         text not null check (status in ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    email          jsonb,
    roles          jsonb not null,
    inviter        uuid,
    sendings       integer not null,
    sent_at        timestamptz not null,
    expires_at     timestamptz not null,
    -- When it was accepted, declined, revoked or over, and who accepted it.
    closed_at      timestamptz,
    user_id        uuid,
    version        bigint not null,
    first_position bigint not null,
    position       bigint not null,
    primary key (tenant_id, invitation_id)
) with (fillfactor = 85);

create unique index invitations_by_position on read.invitations (tenant_id, first_position);
create index invitations_by_status on read.invitations (tenant_id, status, first_position);
create index invitations_by_inviter on read.invitations (tenant_id, inviter, first_position) where inviter is not null;

call run.wall('read.invitations');
