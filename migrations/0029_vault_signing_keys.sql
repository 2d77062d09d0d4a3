-- Keys with which access tokens are signed. They are the platform's, so there is no tenant and no wall: what there is to
-- know of one but its private half, everybody may know. The log says what became of each (category 80); a row changes in
-- the transaction of the event that says so.

-- `public` is missing of a key that was never announced here and is only remembered as removed. `wrapped`, the private
-- half under the master key, is destroyed as soon as the key signs no more.
create table vault.signing_keys (
    key_id        uuid primary key,
    kid           text not null unique,
    state         text not null check (state in ('announced', 'active', 'retired', 'removed')),
    public        bytea check (octet_length(public) = 32),
    wrapped       bytea,
    use_from      timestamptz,
    use_until     timestamptz,
    believe_until timestamptz,
    changed_at    timestamptz not null default clock_timestamp(),
    check (state = 'removed' or public is not null),
    check ((state in ('announced', 'active')) = (wrapped is not null))
);
grant select on vault.signing_keys to quipu_command;
grant select, insert, update, delete on vault.signing_keys to quipu_reactor, quipu_platform;

create function vault.do_put_signing_key(change jsonb) returns void
    language sql volatile as $$
    insert into vault.signing_keys (key_id, kid, state, public, wrapped, use_from)
    values ((change->>'key')::uuid, change->>'kid', 'announced', decode(change->>'public', 'hex'),
            decode(change->>'wrapped', 'hex'), (change->>'use_from')::timestamptz)
$$;

create function vault.do_activate_signing_key(change jsonb) returns void
    language sql volatile as $$
    update vault.signing_keys
    set state = 'active', use_until = (change->>'use_until')::timestamptz, changed_at = clock_timestamp()
    where key_id = (change->>'key')::uuid and state = 'announced'
$$;

create function vault.do_retire_signing_key(change jsonb) returns void
    language sql volatile as $$
    update vault.signing_keys
    set state = 'retired', wrapped = null, believe_until = (change->>'believe_until')::timestamptz,
        changed_at = clock_timestamp()
    where key_id = (change->>'key')::uuid and state = 'active'
$$;

-- A key that is removed before its time stays known as removed: an operator's own key lies in files, and what they say must
-- not bring it back.
create function vault.do_remove_signing_key(change jsonb) returns void
    language sql volatile as $$
    insert into vault.signing_keys (key_id, kid, state)
    values ((change->>'key')::uuid, change->>'kid', 'removed')
    on conflict (key_id) do update set state = 'removed', wrapped = null, changed_at = excluded.changed_at
$$;

-- A key whose last token has ended needs no memory.
create function vault.do_forget_signing_key(change jsonb) returns void
    language sql volatile as $$
    delete from vault.signing_keys where key_id = (change->>'key')::uuid and state = 'retired'
$$;

revoke execute on function
    vault.do_put_signing_key(jsonb), vault.do_activate_signing_key(jsonb), vault.do_retire_signing_key(jsonb),
    vault.do_remove_signing_key(jsonb), vault.do_forget_signing_key(jsonb)
from public;
grant execute on function
    vault.do_put_signing_key(jsonb), vault.do_activate_signing_key(jsonb), vault.do_retire_signing_key(jsonb),
    vault.do_remove_signing_key(jsonb), vault.do_forget_signing_key(jsonb)
to quipu_reactor, quipu_platform;

-- What whoever verifies tokens needs, and no more: the public halves, and which keys are believed no longer. Not in the
-- schema of the secrets, which not all who may ask can see.
create function store.public_keys()
    returns table (kid text, public bytea, removed boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.kid, k.public, k.state = 'removed' from vault.signing_keys k
    order by k.state = 'removed', k.changed_at desc limit 1000
$$;
revoke execute on function store.public_keys() from public;
grant execute on function store.public_keys() to quipu_command, quipu_query;
