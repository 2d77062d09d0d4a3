-- What every table of a read model has in common: the walls between tenants and the grants. Called for the live tables
-- below and for their shadows when a model is built again.

create procedure run.wall(target regclass)
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format($policy$
        create policy served_tenants on %s for select to quipu_query
            using (tenant_id = any ((select store.served_tenants())::uuid[]))
    $policy$, target);
    execute format('create policy every_tenant on %s to quipu_projector using (true) with check (true)', target);
    execute format('grant select on %s to quipu_query', target);
    execute format('grant select, insert, update, delete on %s to quipu_projector', target);
end $$;

revoke execute on procedure run.wall from public;
