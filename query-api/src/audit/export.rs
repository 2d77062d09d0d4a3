//! Exports of the trail: the same filters up to the same position give the same text for ever, so an export is its
//! recipe and a checksum, and its text is made again whenever it is fetched.
//!
//! What can be erased, from where something was done, is in no export: its checksum holds after an erasure too.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use domain::audit::ExportFormat;
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use futures_util::{Stream, stream};
use read_models::audit_trail::TrailFilter;
use read_models::progress::Touch;
use read_models::{AuditTrail, TenantTx};
use sqlx::PgPool;

use super::{TrailEntry, time};
use crate::answer::PartFailed;
use crate::export::{self, cell};

/// Entries of an export at most.
pub(crate) const ROWS_MAX: u64 = 1_000_000;
/// Entries that are read at once, each page in a transaction of its own.
const PART_ROWS: i64 = 5_000;

/// Columns of CSV, in order; a new one goes to the end, and what was exported before goes on without it.
const CSV_HEAD: [&str; 14] = [
    "position",
    "recorded_at",
    "first_at",
    "actor",
    "token",
    "action",
    "result",
    "code",
    "count",
    "resources",
    "correlation",
    "event_id",
    "session_id",
    "on_behalf_of",
];
/// Columns of CSV where an export does not say how many it has.
const CSV_COLUMNS_FIRST: u16 = 12;

/// How many columns an export has that is made now.
pub(crate) fn columns(format: ExportFormat) -> Option<u16> {
    match format {
        ExportFormat::Csv => u16::try_from(CSV_HEAD.len()).ok(),
        ExportFormat::Ndjson => None,
    }
}

/// What an export is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) tenant: TenantId,
    pub(crate) format: ExportFormat,
    /// How many columns its rows have; of CSV alone, and of before that was said none.
    pub(crate) columns: Option<u16>,
    pub(crate) filter: TrailFilter,
    pub(crate) up_to: LogPosition,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) rows: u64,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// Why an export was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportFailed {
    #[error("there are more than {ROWS_MAX} entries")]
    TooLarge,
    #[error(transparent)]
    Part(#[from] PartFailed),
}

/// An export that is being written.
struct Text {
    pool: PgPool,
    recipe: Recipe,
    /// The position behind which the next part begins; `None` at the end.
    behind: Option<i64>,
    begun: bool,
    rows: u64,
    size: u64,
    hash: Context,
}

impl Text {
    fn begin(pool: PgPool, recipe: Recipe) -> Self {
        let hash = Context::new(&SHA256);
        Self { pool, recipe, behind: Some(0), begun: false, rows: 0, size: 0, hash }
    }

    async fn next(&mut self, behind: i64) -> Result<Bytes, PartFailed> {
        let Recipe { tenant, format, columns, filter, up_to } = &self.recipe;
        let mut tx = TenantTx::begin(&self.pool, *tenant, &[Touch::all::<AuditTrail>()]).await?;
        let rows = AuditTrail::between(&mut tx, filter, behind, up_to.position, PART_ROWS).await?;
        tx.end().await?;
        let full = i64::try_from(rows.len()).is_ok_and(|it| it == PART_ROWS);
        self.behind = rows.last().filter(|_| full).map(|it| it.position);
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let entries = rows.into_iter().map(|row| TrailEntry::of(row, up_to.epoch));
        let bytes = match format {
            ExportFormat::Csv => {
                let columns = usize::from(columns.unwrap_or(CSV_COLUMNS_FIRST));
                let head = (!self.begun).then(|| CSV_HEAD.map(str::to_owned));
                let rows = head.into_iter().chain(entries.map(csv_row));
                export::csv(rows.map(|row| row.into_iter().take(columns).collect::<Vec<_>>()))?
            }
            ExportFormat::Ndjson => {
                let mut text = Vec::new();
                for entry in entries {
                    serde_json::to_writer(&mut text, &entry)?;
                    text.push(b'\n');
                }
                Bytes::from(text)
            }
        };
        self.begun = true;
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn made(&self) -> Made {
        let sha256 = self.hash.clone().finish();
        let sha256 = sha256.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        Made { rows: self.rows, size: self.size, sha256 }
    }
}

fn csv_row(entry: TrailEntry) -> [String; CSV_HEAD.len()] {
    let id = |it: Option<uuid::Uuid>| it.map(|it| it.to_string()).unwrap_or_default();
    let text = |it: &str| cell(it).into_owned();
    [
        entry.position,
        time(entry.recorded_at),
        time(entry.first_at),
        id(entry.actor),
        id(entry.token),
        text(&entry.action),
        text(&entry.result),
        text(entry.code.as_deref().unwrap_or_default()),
        entry.count.to_string(),
        text(&entry.resources.join(" ")),
        id(entry.correlation),
        entry.event_id.to_string(),
        id(entry.session_id),
        id(entry.on_behalf_of),
    ]
}

/// Makes an export once, for its checksum and the count of its entries.
pub(crate) async fn make(pool: &PgPool, recipe: &Recipe) -> Result<Made, ExportFailed> {
    let mut text = Text::begin(pool.clone(), recipe.clone());
    while let Some(behind) = text.behind {
        text.next(behind).await?;
        if text.rows > ROWS_MAX {
            return Err(ExportFailed::TooLarge);
        }
    }
    Ok(text.made())
}

/// Makes it again, part by part. The last part is given only if the whole is what it was: else the answer is cut off.
pub(crate) fn parts(
    pool: PgPool,
    recipe: Recipe,
    expected: Made,
) -> impl Stream<Item = Result<Bytes, PartFailed>> + Send {
    stream::try_unfold((Text::begin(pool, recipe), expected), |(mut text, expected)| async move {
        let Some(behind) = text.behind else { return Ok(None) };
        let part = text.next(behind).await.and_then(|bytes| {
            let is_whole = text.behind.is_some() || text.made() == expected;
            if is_whole { Ok(bytes) } else { Err(PartFailed::Changed) }
        });
        match part {
            Ok(bytes) => Ok(Some((bytes, (text, expected)))),
            Err(error) => {
                tracing::error!(%error, "an export of the audit trail was cut off");
                Err(error)
            }
        }
    })
}
