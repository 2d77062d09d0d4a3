//! After a restore: whoever the journal names is erased once more. First all keys go, while nobody is served yet; then log
//! and vault are told, one person after the other.

use event_store::erasure_journal::standing::{self, Apart};
use event_store::erasure_journal::{Erasure, Journal};

use super::act::{self, Force};
use super::desk::Desk;
use super::found;
use crate::console;

/// Erases again everybody whom the journal names and the database knows; says how many that were.
///
/// # Errors
/// If the journal is damaged or older than the database, or the database cannot be reached.
pub async fn all(desk: &Desk) -> anyhow::Result<usize> {
    let _turn = desk.turn().await?;
    let journal = Journal::read(&desk.journal, &desk.master)?;
    let mut left: Vec<&Erasure> = Vec::new();
    for erasure in journal.erasures() {
        if missing(desk, erasure).await? {
            left.push(erasure);
        }
    }
    let mut tx = desk.platform.begin().await?;
    for erasure in &left {
        act::erase_keys(&mut tx, erasure, false).await?;
    }
    tx.commit().await?;
    for erasure in &left {
        again(desk, erasure).await?;
        console::note(format_args!("{} of organisation {} is erased again", erasure.receipt, erasure.tenant));
    }
    let apart = standing::compare(&mut *desk.platform.acquire().await?, Some(&journal)).await?;
    anyhow::ensure!(
        apart == Apart { missing: 0, unknown: 0 },
        "journal and database are still apart: {} subjects are not erased, {} erasures are not in the journal",
        apart.missing,
        apart.unknown
    );
    console::note(match left.len() {
        0 => "Nobody had come back.".to_owned(),
        count => format!("{count} erasures were done again. Read models follow the log by themselves."),
    });
    Ok(left.len())
}

async fn missing(desk: &Desk, erasure: &Erasure) -> anyhow::Result<bool> {
    let mut tx = desk.serving(&[erasure.tenant]).await?;
    let subjects: Vec<uuid::Uuid> = erasure.subjects.iter().copied().collect();
    let complete = sqlx::query_scalar!(
        r#"select count(*) as "complete!" from keys.erased_subjects
           where tenant_id = $1 and subject_id = any($2) and complete"#,
        erasure.tenant.uuid(),
        &subjects
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(usize::try_from(complete).unwrap_or_default() < subjects.len())
}

/// The backup may be from before the person came, from when they were there, or from when half of it was done.
async fn again(desk: &Desk, erasure: &Erasure) -> anyhow::Result<()> {
    let found = match erasure.person {
        Some(person) => found::person(desk, erasure.tenant, person).await?,
        None => found::of_invitations(desk, erasure).await?,
    };
    act::carry_out(desk, erasure, &found, Force::Yes, false).await
}
