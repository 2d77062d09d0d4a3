//! The product's database on a server: its owner, the migrations, and passwords for the service roles.
//!
//! The owner runs the migrations and owns every table; it is no superuser and cannot bypass row security, so what
//! works here works on a managed PostgreSQL.

use std::path::Path;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::postgres::PostgresAge;
use super::secrets::{OWNER_ROLE, SERVICE_ROLES, Secrets};

/// The database of a private server.
pub(crate) const DATABASE: &str = "quipu";

/// Makes owner and database on a server that is ours, migrates, and lets the service roles log in. Idempotent.
/// The URL is that of a superuser.
pub(crate) async fn prepare_own(server_url: &str, database: &str, secrets: &Secrets) -> anyhow::Result<()> {
    let owner_url = create_own(server_url, database, secrets).await?;
    event_store::migrate(&owner_url).await.context("the database cannot be migrated")?;
    let mut server = connect(server_url).await?;
    set_role_passwords(&mut server, secrets).await?;
    server.close().await?;
    Ok(())
}

/// Makes owner and database on a server that is ours, with nothing in it, and returns the owner's URL.
pub(crate) async fn create_own(
    server_url: &str,
    database: &str,
    secrets: &Secrets,
) -> anyhow::Result<String> {
    let mut server = connect(server_url).await?;
    let owner_password = secrets.of_role(OWNER_ROLE).unwrap_or_default();
    let known =
        exists(&mut server, "select exists (select from pg_roles where rolname = $1)", OWNER_ROLE).await?;
    let verb = if known { "alter" } else { "create" };
    let owner = format!(
        "{verb} role {OWNER_ROLE} login nosuperuser nocreatedb createrole nobypassrls password '{owner_password}'"
    );
    run(&mut server, owner).await?;
    if !exists(&mut server, "select exists (select from pg_database where datname = $1)", database).await? {
        run(&mut server, format!("create database {database} owner {OWNER_ROLE}")).await?;
    }
    server.close().await?;
    with_login(&with_database(server_url, database)?, OWNER_ROLE, owner_password)
}

/// Runs migrations from a folder, which may be newer than those that were compiled in.
pub(crate) async fn migrate_from(folder: &Path, owner_url: &str) -> anyhow::Result<()> {
    let migrator = sqlx::migrate::Migrator::new(folder)
        .await
        .with_context(|| format!("the migrations in {} cannot be read", folder.display()))?;
    let mut owner = connect(owner_url).await?;
    migrator.run(&mut owner).await.context("the database cannot be migrated")?;
    owner.close().await?;
    Ok(())
}

/// Migrates the database that DATABASE_URL names, as its user, and lets the service roles log in.
pub(crate) async fn prepare_given(url: &str, secrets: &Secrets, age: PostgresAge) -> anyhow::Result<()> {
    let mut admin = connect(url).await?;
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(&mut admin)
        .await
        .context("the server of DATABASE_URL does not say its version")?;
    let major = u32::try_from(version).unwrap_or(0) / 10_000;
    anyhow::ensure!(
        major >= age.oldest(),
        "DATABASE_URL names a PostgreSQL {major}: {} or newer is wanted{}",
        age.oldest(),
        if major >= PostgresAge::OldToo.oldest() { " (or pass --allow-old-postgres)" } else { "" }
    );
    event_store::migrate(url).await.context("the database of DATABASE_URL cannot be migrated")?;
    set_role_passwords(&mut admin, secrets).await?;
    admin.close().await?;
    Ok(())
}

/// Another database of the same server.
pub(crate) fn with_database(url: &str, database: &str) -> anyhow::Result<String> {
    let (scheme, rest) =
        url.split_once("://").context("not a URL: postgres://user:password@host/database")?;
    let (rest, query) =
        rest.split_once('?').map_or((rest, String::new()), |(rest, query)| (rest, format!("?{query}")));
    let authority = rest.split('/').next().unwrap_or(rest);
    Ok(format!("{scheme}://{authority}/{database}{query}"))
}

/// The same server and database for another user.
pub(crate) fn with_login(url: &str, user: &str, password: &str) -> anyhow::Result<String> {
    let (scheme, rest) =
        url.split_once("://").context("DATABASE_URL is not a URL: postgres://user:password@host/db")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Ok(format!("{scheme}://{user}:{password}@{host}{path}"))
}

async fn set_role_passwords(connection: &mut PgConnection, secrets: &Secrets) -> anyhow::Result<()> {
    for role in SERVICE_ROLES {
        let Some(password) = secrets.of_role(role) else { continue };
        // A password cannot be a parameter; ours are letters and digits, and the roles are constants.
        run(connection, format!("alter role {role} login password '{password}'")).await?;
    }
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    PgConnection::connect(url).await.context("the database cannot be reached: check DATABASE_URL")
}

async fn exists(connection: &mut PgConnection, query: &'static str, name: &str) -> anyhow::Result<bool> {
    sqlx::query_scalar(query).bind(name).fetch_one(connection).await.context("the catalogue cannot be read")
}

async fn run(connection: &mut PgConnection, statement: String) -> anyhow::Result<()> {
    // The statement may hold a password, so it is not part of the message.
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .context("roles and database cannot be set up: the user needs CREATEROLE")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{with_database, with_login};

    #[test]
    fn only_the_login_of_a_url_is_replaced() {
        let cases = [
            ("postgres://a:b@h:5432/db?sslmode=require", "postgres://r:p@h:5432/db?sslmode=require"),
            ("postgresql://h/db", "postgresql://r:p@h/db"),
            ("postgres://a%40x:b@[::1]:1/db", "postgres://r:p@[::1]:1/db"),
        ];
        for (given, wanted) in cases {
            assert_eq!(with_login(given, "r", "p").unwrap(), wanted);
        }
        assert_eq!(with_database("postgres://a:b@h:1/x?y=z", "db").unwrap(), "postgres://a:b@h:1/db?y=z");
        assert!(with_login("nonsense", "r", "p").is_err());
    }
}
