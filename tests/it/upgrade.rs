//! A database that the build before has filled, brought up to this one.

use event_store::migrate;
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, Executor as _};
use tests::database::{Database, execute};

type Test = anyhow::Result<()>;

/// The last migration before the head became a mark.
const BEFORE_MARKS: i64 = 17;

#[tokio::test]
async fn the_head_and_the_sequences_of_tenants_survive_the_change_to_marks() -> Test {
    let database = Database::empty().await?;
    let folder = tempfile::tempdir()?;
    let released = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for entry in std::fs::read_dir(released)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_string_lossy().split('_').next().and_then(|it| it.parse::<i64>().ok());
        if number.is_some_and(|it| it <= BEFORE_MARKS) {
            std::fs::copy(entry.path(), folder.path().join(name))?;
        }
    }
    let mut owner = database.options("quipu_owner")?.connect().await?;
    Migrator::new(folder.path()).await?.run(&mut owner).await?;
    let mut conn = database.superuser().await?;
    execute(
        &mut conn,
        "update store.log_head set position = 5007, recorded_at = '2026-01-02T03:04:05Z', epoch = 3;
         insert into store.tenant_heads values ('00000000-0000-0000-0000-000000000001', 5000),
                                               ('00000000-0000-0000-0000-000000000002', 7)"
            .to_owned(),
    )
    .await?;
    migrate(&database.url("quipu_owner")?).await?;
    let head: (i64, String, i32) =
        sqlx::query_as("select position, recorded_at::text, epoch from store.log_head")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!((head.0, head.2), (5007, 3));
    assert!(head.1.starts_with("2026-01-02 03:04:05"), "{}", head.1);
    let sequences: Vec<i64> = sqlx::query_scalar("select seq from store.tenant_marks order by tenant_id")
        .fetch_all(&mut conn)
        .await?;
    assert_eq!(sequences, [5000, 7]);
    let stepping_back =
        conn.execute("insert into store.log_marks values (5006, '2026-01-02T03:04:06Z')").await;
    assert!(stepping_back.is_err(), "the head only moves on");
    Ok(())
}
