-- Erasing a person: the keys that open what is said about them go, in the transaction of the event that says so, and a
-- tombstone stays. Only the platform's operator erases; no process that serves requests has the right to delete a key.

-- False while the key is gone but log and vault were not told yet: after a restore the keys of those whom the journal of
-- erasures names go first, and the rest follows. A process does not start while that is so.
alter table keys.erased_subjects add column complete boolean not null default true;

-- A person has a key in every organisation in whose log something private is said about them.
create index subject_keys_subject on keys.subject_keys (subject_id);

-- The functions below run with the owner's rights, which reach no further than this: the keys of the one subject that is
-- being erased, and the tombstones, which hold nothing but identifiers.
do $$ begin
    execute $policy$create policy erasure on keys.subject_keys for delete to current_user
                    using (subject_id::text = current_setting('app.erasing', true))$policy$;
    execute $policy$create policy erasure_read on keys.subject_keys for select to current_user
                    using (subject_id::text = current_setting('app.erasing', true))$policy$;
    execute 'create policy erasure on keys.erased_subjects to current_user using (true) with check (true)';
end $$;

-- Deletes the keys of a subject and leaves tombstones; doing it again changes nothing but that it is complete. A person
-- is erased `everywhere`, in whichever organisation something was said about them; the invited person of an invitation in
-- its organisation alone, since the identifier of an invitation is its maker's choice. Says how many keys went.
--
-- Under the lock of the head, as keys are stored: no key can come between deletion and tombstone.
create function keys.erase_subject(of_tenant uuid, subject uuid, with_receipt uuid, everywhere boolean, done boolean)
    returns integer
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone  uuid[];
    since timestamptz;
begin
    perform store.lock_head();
    since := clock_timestamp();
    perform set_config('app.erasing', subject::text, true);
    with deleted as (
        delete from keys.subject_keys k
        where k.subject_id = subject and (everywhere or k.tenant_id = of_tenant)
        returning k.tenant_id
    )
    select coalesce(array_agg(d.tenant_id), '{}') into strict gone from deleted d;
    perform set_config('app.erasing', '', true);
    insert into keys.erased_subjects as e (tenant_id, subject_id, erased_at, receipt, complete)
    select distinct t.tenant, subject, since, with_receipt, done
    from unnest(gone || of_tenant) as t (tenant)
    on conflict (tenant_id, subject_id) do update set complete = e.complete or excluded.complete
    where e.complete is distinct from (e.complete or excluded.complete);
    -- Those of other organisations are as complete as this one.
    if done then
        update keys.erased_subjects e set complete = true
        where e.subject_id = subject and e.receipt = with_receipt and not e.complete;
    end if;
    return cardinality(gone);
end $$;

create function vault.do_erase_subject(change jsonb) returns void
    language plpgsql volatile as $$
begin
    perform keys.erase_subject((change->>'tenant')::uuid, (change->>'subject')::uuid, (change->>'receipt')::uuid,
                               (change->>'everywhere')::boolean, true);
end $$;

-- How many keys of a subject are left, in every organisation.
create function keys.keys_left(subject uuid) returns bigint
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    counted bigint;
begin
    perform set_config('app.erasing', subject::text, true);
    select count(*) into strict counted from keys.subject_keys k where k.subject_id = subject;
    perform set_config('app.erasing', '', true);
    return counted;
end $$;

-- Compares the journal of erasures with the tombstones: how many of its subjects are not erased here, or not completely,
-- and how many tombstones it does not know. For the start of every process; says nothing of anybody.
create function store.erasures_apart(tenants uuid[], subjects uuid[], receipts uuid[])
    returns table (missing bigint, unknown bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select
        (select count(*) from unnest(tenants, subjects) as j (tenant, subject)
         where not exists (select from keys.erased_subjects e
                           where e.tenant_id = j.tenant and e.subject_id = j.subject and e.complete)),
        (select count(*) from keys.erased_subjects e
         where not exists (select from unnest(receipts) as j (receipt) where j.receipt = e.receipt))
$$;

revoke execute on function
    keys.erase_subject(uuid, uuid, uuid, boolean, boolean), vault.do_erase_subject(jsonb), keys.keys_left(uuid),
    store.erasures_apart(uuid[], uuid[], uuid[])
from public;
grant execute on function
    keys.erase_subject(uuid, uuid, uuid, boolean, boolean), vault.do_erase_subject(jsonb), keys.keys_left(uuid)
to quipu_platform;
grant execute on function store.erasures_apart(uuid[], uuid[], uuid[])
to quipu_command, quipu_reactor, quipu_projector, quipu_query, quipu_platform;
