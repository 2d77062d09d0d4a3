-- One row a person with second factors or passkeys, as they are now; what they call them stays sealed. What proves anything is
-- in the vault.
create table read.factors (
    tenant_id           uuid not null,
    user_id             uuid not null,
    -- In the order in which they were added: which, of which kind, what the person calls it, since when.
    factors             jsonb not null,
    recovery_codes_left integer not null,
    version             bigint not null,
    first_position      bigint not null,
    position            bigint not null,
    primary key (tenant_id, user_id)
) with (fillfactor = 85);

call run.wall('read.factors');
