-- Schemas by purpose and the roles that may touch them. The owner runs migrations and nothing else; no other role owns
-- a table and none bypasses row security. Roles belong to the cluster, so they may be there already.

do $$
declare
    wanted text;
begin
    foreach wanted in array array['quipu_command', 'quipu_projector', 'quipu_reactor', 'quipu_query', 'quipu_platform']
    loop
        begin
            if not exists (select from pg_roles where rolname = wanted) then
                execute format('create role %I login nosuperuser nocreatedb nocreaterole nobypassrls noreplication', wanted);
            end if;
        exception when duplicate_object or unique_violation then
            null; -- Another database of the cluster is migrated at the same moment.
        end;
    end loop;
end $$;

create schema store; -- The truth: append-only.
create schema keys;  -- What opens private fields; deleting a row erases a person.
create schema run;   -- Leases, checkpoints, parked partitions, deadlines.
create schema read;  -- Disposable: may be dropped and built again from the log.

revoke all on schema public from public;

grant usage on schema store to quipu_command, quipu_reactor, quipu_projector, quipu_query, quipu_platform;
grant usage on schema keys to quipu_command, quipu_reactor, quipu_query, quipu_platform;
grant usage on schema run to quipu_projector, quipu_reactor, quipu_query;
grant usage on schema read to quipu_projector, quipu_query;

-- The tenants that the current transaction serves, set from its authenticated callers. Empty reads as nobody.
create function store.served_tenants() returns uuid[]
    language sql stable parallel safe
    return nullif(current_setting('app.tenants', true), '')::uuid[];
