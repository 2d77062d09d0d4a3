-- Private fields in payloads, and persons who were erased.
--
-- A person is erased by deleting the key that their fields are sealed with. The next event by or about that person must
-- not make a new key, or the person would seem to be back: so each erasure leaves a tombstone that outlives the key.

create table keys.erased_subjects (
    tenant_id  uuid not null,
    subject_id uuid not null,
    erased_at  timestamptz not null,
    -- Names the certificate of the erasure.
    receipt    uuid not null,
    primary key (tenant_id, subject_id)
);

alter table keys.erased_subjects enable row level security;
alter table keys.erased_subjects force row level security;
do $$
declare
    served constant text := 'tenant_id = any ((select store.served_tenants())::uuid[])';
begin
    execute format('create policy served_tenants on keys.erased_subjects to quipu_command, quipu_reactor, quipu_platform
                    using (%1$s) with check (%1$s)', served);
    execute format('create policy served_tenants_read on keys.erased_subjects for select to quipu_query using (%s)', served);
    -- The trail is appended with the owner's rights, see `store.append_audit`.
    execute format('create policy audit_trail_read on keys.erased_subjects for select to current_user using (%s)', served);
end $$;
grant select on keys.erased_subjects to quipu_command, quipu_reactor, quipu_platform, quipu_query;

-- The last word, whoever inserts: keys are stored under the lock of the head, and a person is erased under it.
create function keys.refuse_erased() returns trigger language plpgsql as $$
begin
    if exists (select from keys.erased_subjects e where e.tenant_id = new.tenant_id and e.subject_id = new.subject_id) then
        raise exception 'this person was erased' using errcode = 'check_violation', constraint = 'subject_not_erased';
    end if;
    return new;
end $$;
create trigger not_erased before insert on keys.subject_keys for each row execute function keys.refuse_erased();

-- The wrapped keys of data subjects, and which of the subjects were erased. Takes the place of `store.subject_keys`,
-- which processes of the build before still call.
create function store.keys_of(served uuid[], of_tenants uuid[], of_subjects uuid[])
    returns table (tenant_id uuid, subject_id uuid, wrapped bytea, erased boolean)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', served::text, true);
    return query
    select s.tenant, s.subject, k.wrapped, e.subject_id is not null
    from unnest(of_tenants, of_subjects) as s (tenant, subject)
    left join keys.subject_keys k on k.tenant_id = s.tenant and k.subject_id = s.subject
    left join keys.erased_subjects e on e.tenant_id = s.tenant and e.subject_id = s.subject
    where k.subject_id is not null or e.subject_id is not null;
end $$;
revoke execute on function store.keys_of from public;
grant execute on function store.keys_of to quipu_command, quipu_reactor, quipu_platform;
