//! What is over goes by itself, in tenants where nobody comes any more, and nothing else goes.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::TenantId;
use event_store::vault::Vault;
use futures_util::future::try_join_all;
use sqlx::PgConnection;
use tests::database::{Database, execute, tenant};
use tests::stack::Stack;

type Test = anyhow::Result<()>;

/// Tables of rows that end, and for how long they are kept after that, in minutes.
const ENDING: [(&str, i32); 9] = [
    ("authorization_codes", 24 * 60),
    ("authorization_requests", 60),
    ("browser_sessions", 60),
    ("device_grants", 60),
    ("handover_codes", 60),
    ("oauth_states", 60),
    ("second_factor_tickets", 60),
    ("totp_offers", 60),
    ("webauthn_challenges", 60),
];

/// Puts rows into a table that ended so many minutes ago, or will end if the number is negative.
async fn put(conn: &mut PgConnection, table: &str, of: TenantId, ago: i32, rows: usize) -> Test {
    let columns: &[(&str, &str)] = match table {
        "authorization_codes" => &[
            ("code_id", "id"),
            ("hash", "hash"),
            ("service_id", "id"),
            ("user_id", "id"),
            ("came_by", "id"),
            ("redirect", "hash"),
            ("challenge", "hash"),
            ("scope", "'openid'"),
        ],
        "authorization_requests" => &[("request_id", "id"), ("hash", "hash"), ("sealed", "hash")],
        "browser_sessions" => {
            &[("browser_id", "id"), ("hash", "hash"), ("session_id", "id"), ("user_id", "id")]
        }
        "device_grants" => &[
            ("grant_id", "id"),
            ("service_id", "id"),
            ("hash", "hash"),
            ("user_code", "left(id::text, 8)"),
            ("scope", "'openid'"),
            ("asked_at", "now()"),
            ("interval_s", "5"),
            ("state", "'denied'"),
        ],
        "handover_codes" => &[
            ("code_id", "id"),
            ("hash", "hash"),
            ("challenge", "hash"),
            ("user_id", "id"),
            ("link_id", "id"),
            ("provider_id", "id"),
            ("came_at", "now()"),
        ],
        "oauth_states" => &[
            ("state_id", "id"),
            ("hash", "hash"),
            ("browser", "hash"),
            ("provider_id", "id"),
            ("sealed", "hash"),
        ],
        "second_factor_tickets" => &[
            ("ticket_id", "id"),
            ("hash", "hash"),
            ("user_id", "id"),
            ("kind", "1"),
            ("subject", "hash"),
            ("method", "'password'"),
            ("amr", "'{pwd}'"),
            ("auth_time", "now()"),
        ],
        "totp_offers" => &[("user_id", "id"), ("factor_id", "id"), ("sealed", "hash")],
        "webauthn_challenges" => &[("hash", "hash")],
        other => anyhow::bail!("nobody says how to fill {other}"),
    };
    let (names, values): (Vec<_>, Vec<_>) = columns.iter().copied().unzip();
    let statement = format!(
        "insert into vault.{table} (tenant_id, expires_at, {})
         select '{of}', now() - make_interval(mins => {ago}), {}
         from (select id, sha256(id::text::bytea) as hash
               from (select gen_random_uuid() as id from generate_series(1, {rows})) made) it",
        names.join(", "),
        values.join(", "),
    );
    Ok(execute(conn, statement).await?)
}

/// How many rows each tenant has left.
async fn left(conn: &mut PgConnection, table: &str) -> anyhow::Result<BTreeMap<TenantId, i64>> {
    let count = format!("select tenant_id, count(*) from vault.{table} group by 1");
    let rows: Vec<(uuid::Uuid, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(count)).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(of, rows)| (TenantId::new(of), rows)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_quiet_tenant_go_by_themselves_and_living_ones_stay() -> Test {
    let stack = Stack::commands_only().await?;
    let (quiet, busy) = (tenant(8), tenant(9));
    let mut conn = stack.database.superuser().await?;
    for (table, kept) in ENDING {
        // More than go at once.
        let many = if table == "authorization_requests" { 2_500 } else { 3 };
        put(&mut conn, table, quiet, kept + 5, many).await?;
        // It lives; it has ended, and is kept still.
        put(&mut conn, table, busy, -5, 1).await?;
        put(&mut conn, table, busy, kept - 5, 1).await?;
    }
    let _reactors = stack.with_reactors()?;
    for (table, _) in ENDING {
        tests::until(Duration::from_secs(20), async || {
            let mut conn = stack.database.superuser().await?;
            Ok(!left(&mut conn, table).await?.contains_key(&quiet))
        })
        .await?;
        assert_eq!(left(&mut conn, table).await?, BTreeMap::from([(busy, 2)]), "{table}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_sweeps_at_once_each_row_is_swept_by_one() -> Test {
    const ROWS: usize = 900;
    let database = Database::fresh().await?;
    let mut conn = database.superuser().await?;
    for (table, kept) in ENDING {
        put(&mut conn, table, tenant(1), kept + 5, ROWS).await?;
        put(&mut conn, table, tenant(2), -5, 1).await?;
    }
    let reactor = Vault::new(database.pool("quipu_reactor")?);
    let mut gone: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..20 {
        for swept in try_join_all((0..4).map(|_| reactor.sweep(100))).await?.into_iter().flatten() {
            assert!(swept.gone <= 100, "{swept:?}");
            *gone.entry(swept.kind).or_default() += swept.gone;
        }
    }
    for (table, _) in ENDING {
        assert_eq!(gone.get(table).copied(), Some(u64::try_from(ROWS)?), "{table}");
        assert_eq!(left(&mut conn, table).await?, BTreeMap::from([(tenant(2), 1)]), "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn the_reactors_see_nothing_but_what_is_over_and_nobody_else_sweeps() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.superuser().await?;
    let pool = database.pool("quipu_reactor")?;
    for (table, kept) in ENDING {
        put(&mut conn, table, tenant(1), kept + 5, 1).await?;
        put(&mut conn, table, tenant(1), kept - 5, 1).await?;
        let count = format!("select count(*) from vault.{table}");
        let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&pool).await?;
        assert_eq!(seen, 1, "{table}");
    }
    for role in ["quipu_command", "quipu_platform"] {
        assert!(Vault::new(database.pool(role)?).sweep(100).await.is_err(), "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn every_table_of_the_vault_whose_rows_end_is_swept() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.superuser().await?;
    let ending: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_catalog.pg_class c
         join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'expires_at' and not a.attisdropped
         where c.relnamespace = 'vault'::regnamespace and c.relkind = 'r' order by 1",
    )
    .fetch_all(&mut conn)
    .await?;
    let swept: Vec<(String, i32)> = sqlx::query_as(
        "select target, (extract(epoch from kept) / 60)::integer from vault.endings order by 1",
    )
    .fetch_all(&mut conn)
    .await?;
    for (table, kept) in ENDING {
        assert!(swept.contains(&(table.to_owned(), kept)), "{table}: {swept:?}");
    }
    // The mailer sees to letters and what is answered by them; a secret of a service stays until the service drops it.
    let elsewhere = ["client_secrets", "mail_tokens", "requests"];
    let is_known =
        |it: &&String| elsewhere.contains(&it.as_str()) || swept.iter().any(|(table, _)| table == *it);
    let forgotten: Vec<&String> = ending.iter().filter(|it| !is_known(it)).collect();
    assert_eq!(forgotten, Vec::<&String>::new(), "their migrations should `call vault.ends(...)`");
    Ok(())
}
