-- Somebody who comes back from a provider may have shown it long ago who they are, so `came_at` of a code is as of when the
-- session counts that it begins, and no more the time of the way back. The form before stays for processes of the build before.
create function vault.put_handover(tenant uuid, code uuid, hash bytea, challenge bytea, person uuid, link uuid, provider uuid,
                                   shown_at timestamptz, lasts interval)
    returns void
    language plpgsql volatile as $$
#variable_conflict use_variable
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    insert into vault.handover_codes
        (tenant_id, code_id, hash, challenge, user_id, link_id, provider_id, came_at, expires_at)
    values (tenant, code, hash, challenge, person, link, provider, shown_at, clock_timestamp() + lasts);
end $$;

do $$
declare
    made constant regprocedure :=
        'vault.put_handover(uuid, uuid, bytea, bytea, uuid, uuid, uuid, timestamptz, interval)';
begin
    execute format('revoke execute on function %s from public', made);
    execute format('grant execute on function %s to quipu_command, quipu_reactor, quipu_platform', made);
end $$;
