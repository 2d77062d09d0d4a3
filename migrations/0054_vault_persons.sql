-- One person with users in several organisations. The log of each organisation says that its user has a half of a link, and
-- not where the other half is: that stands here, where no organisation reads. A row is the half of one user; it comes and goes
-- with the event that says so.

create table vault.person_links (
    tenant_id       uuid not null,
    user_id         uuid not null,
    link_id         uuid not null,
    other_tenant_id uuid not null,
    other_user_id   uuid not null,
    other_link_id   uuid not null,
    linked_at       timestamptz not null,
    primary key (tenant_id, link_id)
);
create index person_links_user on vault.person_links (tenant_id, user_id);
call vault.wall('vault.person_links');

-- What somebody carries from one organisation to the other, to show that they are in both: good once, in the session of one
-- user of one other organisation, and no longer than the session in which it was asked for. Of each user the newest alone.
create table vault.link_codes (
    tenant_id     uuid not null,
    user_id       uuid not null,
    code_id       uuid not null,
    hash          bytea not null check (octet_length(hash) = 32),
    session_id    uuid not null,
    for_tenant_id uuid not null,
    for_email     bytea not null check (octet_length(for_email) = 32),
    expires_at    timestamptz not null,
    primary key (tenant_id, user_id)
);
create index link_codes_expires on vault.link_codes (tenant_id, expires_at);
call vault.wall('vault.link_codes');
call vault.ends('vault.link_codes', interval '1 hour');

-- With the event that says that a user has a half.
create function vault.do_put_person_link(change jsonb) returns void
    language sql volatile as $$
    insert into vault.person_links
        (tenant_id, user_id, link_id, other_tenant_id, other_user_id, other_link_id, linked_at)
    values ((change->>'tenant')::uuid, (change->>'user')::uuid, (change->>'link')::uuid,
            (change->>'other_tenant')::uuid, (change->>'other_user')::uuid, (change->>'other_link')::uuid,
            clock_timestamp())
$$;

-- With the event that says that it is gone.
create function vault.do_drop_person_link(change jsonb) returns void
    language sql volatile as $$
    delete from vault.person_links
    where tenant_id = (change->>'tenant')::uuid and link_id = (change->>'link')::uuid
$$;

-- Where else a person is, for that person alone. The rules let a user have fewer links than that.
create function vault.person_links_of(tenant uuid, person uuid)
    returns table (link_id uuid, other_tenant_id uuid, other_user_id uuid, other_link_id uuid, linked_at timestamptz)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select it.link_id, it.other_tenant_id, it.other_user_id, it.other_link_id, it.linked_at
        from vault.person_links it
        where it.tenant_id = tenant and it.user_id = person order by it.linked_at, it.link_id limit 50;
end $$;

-- Keeps a code, in place of the one before, and forgets some of those that are over.
create function vault.put_link_code(tenant uuid, person uuid, code uuid, secret bytea, session uuid, other uuid,
                                    email bytea, lasts interval)
    returns void
    language plpgsql volatile as $$
declare
    now_ constant timestamptz := clock_timestamp();
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    delete from vault.link_codes it using (
        select o.user_id from vault.link_codes o
        where o.tenant_id = tenant and o.expires_at < now_
        order by o.expires_at limit 20 for update skip locked
    ) over_ where it.tenant_id = tenant and it.user_id = over_.user_id;
    insert into vault.link_codes as it
        (tenant_id, user_id, code_id, hash, session_id, for_tenant_id, for_email, expires_at)
    values (tenant, person, code, secret, session, other, email, now_ + lasts)
    on conflict (tenant_id, user_id) do update set
        code_id = excluded.code_id, hash = excluded.hash, session_id = excluded.session_id,
        for_tenant_id = excluded.for_tenant_id, for_email = excluded.for_email, expires_at = excluded.expires_at;
end $$;

-- Takes a code. Of any number who show it, in any number of processes, one gets it; and nobody for whom it is not.
create function vault.take_link_code(tenant uuid, code uuid, shown bytea, other uuid, email bytea)
    returns table (user_id uuid, session_id uuid)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        delete from vault.link_codes it
        where it.tenant_id = tenant and it.code_id = code and it.hash = shown
            and it.for_tenant_id = other and it.for_email = email and it.expires_at > clock_timestamp()
        returning it.user_id, it.session_id;
end $$;

do $$
declare
    made regprocedure;
begin
    foreach made in array array[
        'vault.do_put_person_link(jsonb)', 'vault.do_drop_person_link(jsonb)',
        'vault.person_links_of(uuid, uuid)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
    end loop;
    foreach made in array array[
        'vault.put_link_code(uuid, uuid, uuid, bytea, uuid, uuid, bytea, interval)',
        'vault.take_link_code(uuid, uuid, bytea, uuid, bytea)']::regprocedure[]
    loop
        execute format('revoke execute on function %s from public', made);
        execute format('grant execute on function %s to quipu_command', made);
    end loop;
end $$;
