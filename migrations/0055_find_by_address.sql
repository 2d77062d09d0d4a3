-- What query-api may ask of what it does not see: who has an address, and until when nobody can sign in with one. It knows
-- addresses only as keyed hashes, as they stand here, and asks for whoever may read persons. Both run with the owner's
-- rights, which reach no further than the tenants that the transaction serves.
do $$ begin
    execute 'create policy shown_claims on store.claims for select to current_user
             using (scope in (''identity.email'', ''organisation.invitation'')
                 and tenant_id = any ((select store.served_tenants())::uuid[]))';
    execute 'create policy shown_locks on vault.attempts for select to current_user
             using (tenant_id = any ((select store.served_tenants())::uuid[]))';
end $$;

-- What has an address: the user to whom it belongs (`identity.email`), the invitation to it that is open
-- (`organisation.invitation`). At most one of each.
create function store.has_address(tenant uuid, scope text, address bytea) returns uuid
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    if tenant is null or tenant <> all (coalesce(store.served_tenants(), '{}')) then
        raise exception 'the transaction does not serve this tenant' using errcode = 'insufficient_privilege';
    end if;
    if scope not in ('identity.email', 'organisation.invitation') then
        raise exception 'nothing has an address in this scope' using errcode = 'insufficient_privilege';
    end if;
    return (select c.stream_id from store.claims c
            where c.tenant_id = tenant and c.scope = scope and c.value = encode(address, 'hex'));
end $$;

-- Which of these names are locked now, and until when. `subjects` are what guesses from unknown devices are counted under.
create function store.sign_in_locks(tenant uuid, subjects bytea[]) returns table (subject bytea, locked_until timestamptz)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if tenant is null or tenant <> all (coalesce(store.served_tenants(), '{}')) then
        raise exception 'the transaction does not serve this tenant' using errcode = 'insufficient_privilege';
    end if;
    return query
        select a.subject, a.locked_until from vault.attempts a
        where a.tenant_id = tenant and a.kind = 1 and a.subject = any (subjects) and a.locked_until > now();
end $$;

revoke execute on function store.has_address(uuid, text, bytea), store.sign_in_locks(uuid, bytea[]) from public;
grant execute on function store.has_address(uuid, text, bytea), store.sign_in_locks(uuid, bytea[]) to quipu_query;

create index organizations_by_slug on read.organizations (tenant_id, slug);
