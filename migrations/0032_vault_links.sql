-- Links of letters whose end is an event: an invitation that nobody answered (kind 4), an address that nobody confirmed
-- (kind 2). A row says what must be known to end it: whom or what it is about, and the claim that it gives up.
create index mail_tokens_ends on vault.mail_tokens (expires_at) where used_at is null and kind in (2, 4);

-- Makes the open links of a kind about one thing useless, and leaves their rows: they say when what they are about is over.
-- There is no secret whose SHA-256 is all zeros.
create function vault.do_spoil_mail_tokens(change jsonb) returns void
    language sql volatile as $$
    update vault.mail_tokens set hash = decode(repeat('00', 32), 'hex')
    where tenant_id = (change->>'tenant')::uuid and kind = (change->>'kind')::smallint
        and about = (change->>'about')::uuid and used_at is null
$$;
revoke execute on function vault.do_spoil_mail_tokens from public;
grant execute on function vault.do_spoil_mail_tokens to quipu_command, quipu_reactor, quipu_platform;

-- Who has an address, and their password if they have one. An address that somebody asked for and has not confirmed is kept
-- for them by a claim as well, but it is not theirs: nobody is found by it.
create or replace function vault.sign_in_row(tenant uuid, email_hash bytea)
    returns table (user_id uuid, version integer, phc text, pepper smallint)
    language plpgsql volatile as $$
#variable_conflict use_column
begin
    perform set_config('app.tenants', array[tenant]::text, true);
    return query
        select c.stream_id, p.version, p.phc, p.pepper from store.claims c
        left join vault.passwords p on p.tenant_id = c.tenant_id and p.user_id = c.stream_id
        where c.tenant_id = tenant and c.scope = 'identity.email' and c.value = encode(email_hash, 'hex')
            and not exists (
                select from vault.mail_tokens t
                where t.tenant_id = c.tenant_id and t.kind = 2 and t.about = c.stream_id and t.used_at is null
                    and t.address_hash = email_hash
            );
end $$;
