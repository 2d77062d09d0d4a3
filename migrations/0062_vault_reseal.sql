-- What is sealed under the master key can be sealed anew under another one, by the platform's operator, batch by batch and
-- beside everything that runs. Here is where sealed values are; opening and sealing happens outside of the database.

-- A sealed value names its key in its first twelve bytes, and may be as much longer than it could be.
do $$
declare
    it record;
begin
    for it in select * from (values ('outbox', 16384), ('requests', 16384), ('authorization_requests', 8192),
                                    ('provider_secrets', 8192), ('oauth_states', 8192), ('totp', 256), ('totp_offers', 256),
                                    ('provider_tokens', 65536)) as v (target, most)
    loop
        execute format('alter table vault.%1$I drop constraint %2$I,
                        add constraint %2$I check (octet_length(sealed) between 1 and %3$s)',
                       it.target, it.target || '_sealed_check', it.most + 12);
    end loop;
end $$;

-- Columns that hold what the master key sealed. `cell` is the table that the value is bound to, which two tables share if a
-- value moves from one to the other; `row_column` is the row that it is bound to.
create table vault.sealed_columns (
    target        regclass primary key,
    cell          text not null,
    row_column    name not null,
    sealed_column name not null
);
grant select on vault.sealed_columns to quipu_platform;

-- What every such table has. The migration that makes a table calls it, after `vault.wall`. The functions below run with
-- the owner's rights, and the policy lets them reach the rows of all tenants.
create procedure vault.seals(target regclass, row_column name, sealed_column name, cell text default null)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into vault.sealed_columns
    values (target, coalesce(cell, (select relname from pg_class where oid = target)), row_column, sealed_column);
    execute format('create policy sealing_anew on %s to current_user
                    using (current_setting(''app.sealing_anew'', true) = ''on'')
                    with check (current_setting(''app.sealing_anew'', true) = ''on'')', target);
end $$;
revoke execute on procedure vault.seals from public;

call vault.seals('keys.subject_keys', 'subject_id', 'wrapped');
call vault.seals('vault.signing_keys', 'key_id', 'wrapped');
call vault.seals('vault.outbox', 'mail_id', 'sealed');
call vault.seals('vault.requests', 'request_id', 'sealed');
call vault.seals('vault.authorization_requests', 'request_id', 'sealed');
call vault.seals('vault.provider_secrets', 'secret_id', 'sealed');
call vault.seals('vault.oauth_states', 'state_id', 'sealed');
call vault.seals('vault.totp', 'factor_id', 'sealed');
call vault.seals('vault.totp_offers', 'factor_id', 'sealed', 'totp');
call vault.seals('vault.device_grants', 'grant_id', 'asked_from');
call vault.seals('vault.provider_tokens', 'link_id', 'sealed');

-- The tenant of a row, as an expression: rows of the platform's own tables bear none.
create function vault.tenant_of_row(of_target regclass) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when exists (select from pg_attribute where attrelid = of_target and attname = 'tenant_id')
                then 'it.tenant_id' else '''00000000-0000-0000-0000-000000000000''::uuid' end
$$;

-- Values of a table that do not begin with `head`, at most `most` of them, after a row in the order of tenant and row.
create function vault.sealed_otherwise(of_target regclass, head bytea, after_tenant uuid, after_row uuid, most integer)
    returns table (tenant_id uuid, row_id uuid, sealed bytea)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    spot vault.sealed_columns;
begin
    select * into strict spot from vault.sealed_columns c where c.target = of_target;
    perform set_config('app.sealing_anew', 'on', true);
    return query execute format(
        'select %1$s, it.%2$I, it.%3$I from %4$s it
         where it.%3$I is not null and substring(it.%3$I for $1) <> $2 and (%1$s, it.%2$I) > ($3, $4)
         order by %1$s, it.%2$I limit $5',
        vault.tenant_of_row(of_target), spot.row_column, spot.sealed_column, of_target)
        using octet_length(head), head, after_tenant, after_row, most;
    perform set_config('app.sealing_anew', '', true);
end $$;

-- Puts values in the place of others: each only if the row still holds what it was made from. It never waits for a row that
-- somebody works with, so it stands in nobody's way; such a row is left for the next time. Says how many it put.
create function vault.seal_anew(of_target regclass, tenants uuid[], row_ids uuid[], held bytea[], anew bytea[])
    returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    spot vault.sealed_columns;
    put  integer;
begin
    select * into strict spot from vault.sealed_columns c where c.target = of_target;
    perform set_config('app.sealing_anew', 'on', true);
    execute format(
        'with free as (
             select it.ctid as place, given.anew from %4$s it
             join unnest($1, $2, $3, $4) as given (tenant, row_id, held, anew)
                 on %1$s = given.tenant and it.%2$I = given.row_id and it.%3$I = given.held
             for update of it skip locked
         )
         update %4$s it set %3$I = free.anew from free where it.ctid = free.place',
        vault.tenant_of_row(of_target), spot.row_column, spot.sealed_column, of_target)
        using tenants, row_ids, held, anew;
    get diagnostics put = row_count;
    perform set_config('app.sealing_anew', '', true);
    return put;
end $$;

-- How many values each key has sealed in a table. The first key of all gives no name: those without one are counted as null.
create function vault.sealed_by(of_target regclass, mark bytea, head_bytes integer)
    returns table (head bytea, counted bigint)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    spot vault.sealed_columns;
begin
    select * into strict spot from vault.sealed_columns c where c.target = of_target;
    perform set_config('app.sealing_anew', 'on', true);
    return query execute format(
        'select case when substring(it.%1$I for $1) = $2 then substring(it.%1$I for $3) end, count(*)
         from %2$s it where it.%1$I is not null group by 1 order by 1 nulls first',
        spot.sealed_column, of_target)
        using octet_length(mark), mark, head_bytes;
    perform set_config('app.sealing_anew', '', true);
end $$;

revoke execute on function
    vault.tenant_of_row(regclass), vault.sealed_otherwise(regclass, bytea, uuid, uuid, integer),
    vault.seal_anew(regclass, uuid[], uuid[], bytea[], bytea[]), vault.sealed_by(regclass, bytea, integer)
from public;
grant execute on function
    vault.sealed_otherwise(regclass, bytea, uuid, uuid, integer),
    vault.seal_anew(regclass, uuid[], uuid[], bytea[], bytea[]), vault.sealed_by(regclass, bytea, integer)
to quipu_platform;
