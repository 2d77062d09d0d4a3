-- Takes back one try that was counted before it was known to be good. What else was counted in the window stays: whoever has
-- something good to show gets nothing for their guesses.
create function vault.give_back_try(tenant uuid, what smallint, of bytea) returns void
    language plpgsql volatile as $$
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    update vault.rate_windows it set used = it.used - 1
        where it.tenant_id = tenant and it.policy = what and it.subject = of and it.used > 1;
    if not found then
        -- A row holds at least one try. Another one may have come meanwhile, and is kept.
        delete from vault.rate_windows it
            where it.tenant_id = tenant and it.policy = what and it.subject = of and it.used = 1;
    end if;
end $$;
revoke execute on function vault.give_back_try from public;
grant execute on function vault.give_back_try to quipu_command;
