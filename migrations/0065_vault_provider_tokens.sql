-- The tokens of a provider are kept only while the link stands that they came by. Somebody who comes back from a provider is
-- linked first and has their tokens kept afterwards; whoever gives the link up in between, or is erased, has no row yet that
-- could go with it. So the row of the link is held while its tokens are put: either they come first and go with it, or it is
-- gone and they are not kept.
create or replace function vault.put_provider_tokens(tenant uuid, link uuid, provider uuid, person uuid, content bytea,
                                                     refresh timestamptz)
    returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    perform from vault.identities it
        where it.tenant_id = tenant and it.link_id = link and it.provider_id = provider and it.user_id = person
        for share;
    if not found then
        return;
    end if;
    insert into vault.provider_tokens as it (tenant_id, link_id, provider_id, user_id, sealed, put_at, refresh_at)
    values (tenant, link, provider, person, content, clock_timestamp(), refresh)
    on conflict (tenant_id, link_id) do update set
        sealed = excluded.sealed, put_at = excluded.put_at, refresh_at = excluded.refresh_at, tries = 0, lease = null;
end $$;

-- Takes the tokens of a link that are due, as before. Those that an older build kept for a link that was gone are forgotten
-- instead of being exchanged for newer ones.
create or replace function vault.lease_provider_tokens(tenant uuid, link uuid, lasts interval)
    returns table (provider_id uuid, sealed bytea, tries integer, lease uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
declare
    now_ timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.provider_tokens it
        where it.tenant_id = tenant and it.link_id = link
            and not exists (select from vault.identities o where o.tenant_id = tenant and o.link_id = link);
    return query
        update vault.provider_tokens it
        set refresh_at = now_ + lasts, tries = it.tries + 1, lease = gen_random_uuid()
        where it.tenant_id = tenant and it.link_id = link and it.refresh_at <= now_
        returning it.provider_id, it.sealed, it.tries, it.lease;
end $$;
