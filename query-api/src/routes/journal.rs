//! `/v1/ledger/journal`: everything that moved, for programs of plain-text accounting and for spreadsheets.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use futures_util::{Stream, stream};
use read_models::progress::Touch;
use read_models::transfers::TransferRow;
use read_models::{Accounts, TenantTx, Transfers};
use serde::Deserialize;
use service_kit::access::{Allowed, Audited, permissions::ReadJournal};
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer::{self, PartFailed};
use crate::app::App;
use crate::export::{self, TEXT_CSV};
use crate::journal;
use crate::reading::Conditions;

/// Transfers that are read at once.
const PART_TRANSFERS: i64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Hledger,
    Ledger,
    Csv,
}

/// In which format.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JournalQuery {
    /// `hledger` if left out. hledger and ledger read the same text.
    #[param(inline)]
    format: Option<Format>,
}

/// Export the journal
///
/// Every transfer that moved money, posted holds and reversals among them, in the order of the log up to the answer's
/// `Quipu-Position`; debits are positive. Written while it is read: a client that gets less than a whole answer sees a
/// broken transfer.
#[utoipa::path(get, operation_id = "exportJournal", path = "/v1/ledger/journal", tag = "ledger",
    params(JournalQuery), responses(
    (status = 200, description = "The journal.", content(
        (String = "text/plain"), (String = "text/csv"),
    )),
))]
pub(crate) async fn journal(
    State(app): State<App>,
    allowed: Allowed<Audited<ReadJournal>>,
    conditions: Conditions,
    Query(query): Query<JournalQuery>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let reading = app.read(tenant, &conditions, &TOUCHES).await?;
    let position = reading.position();
    reading.tx.end().await?;
    let format = query.format.unwrap_or_default();
    let (media_type, file) = match format {
        Format::Hledger => ("text/plain; charset=utf-8", "journal.hledger"),
        Format::Ledger => ("text/plain; charset=utf-8", "journal.ledger"),
        Format::Csv => (TEXT_CSV, "journal.csv"),
    };
    let parts = parts(Part { app, tenant, format, known_to: position, behind: Some(0), begun: false });
    Ok(answer::streamed(position, media_type, file, parts))
}

/// Legs carry the accounts' names.
const TOUCHES: [Touch; 2] = [Touch::all::<Transfers>(), Touch::all::<Accounts>()];

/// Where an export stands between two parts. It holds no transaction.
struct Part {
    app: App,
    tenant: TenantId,
    format: Format,
    known_to: LogPosition,
    /// `None` at the end.
    behind: Option<i64>,
    begun: bool,
}

fn parts(first: Part) -> impl Stream<Item = Result<Bytes, PartFailed>> + Send {
    stream::try_unfold(first, |mut part| async move {
        let Some(behind) = part.behind else { return Ok(None) };
        let bytes = match part.next(behind).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "the journal was cut off");
                return Err(error);
            }
        };
        Ok(Some((bytes, part)))
    })
}

impl Part {
    async fn next(&mut self, behind: i64) -> Result<Bytes, PartFailed> {
        let mut tx = TenantTx::begin(&self.app.pool, self.tenant, &TOUCHES).await?;
        let transfers = Transfers::posted(&mut tx, behind, self.known_to.position, PART_TRANSFERS).await?;
        let ids: Vec<Uuid> =
            transfers.iter().flat_map(|it| it.legs.iter().map(|leg| leg.account_id)).collect();
        let names = Accounts::names(&mut tx, &ids).await?;
        tx.end().await?;
        let full = i64::try_from(transfers.len()).is_ok_and(|it| it == PART_TRANSFERS);
        self.behind = transfers.last().filter(|_| full).and_then(|it| it.posted_position);
        let begins = !std::mem::replace(&mut self.begun, true);
        let epoch = self.known_to.epoch;
        if self.format == Format::Csv {
            let head = begins.then(|| journal::CSV_HEAD.map(str::to_owned));
            let rows = transfers.iter().flat_map(|it| journal::csv_rows(it, epoch, &names));
            return Ok(export::csv(head.into_iter().chain(rows))?);
        }
        let head =
            if begins { format!("; journal up to position {}\n\n", self.known_to) } else { String::new() };
        let entry = |text: String, it: &TransferRow| text + &journal::entry(it, epoch, &names);
        Ok(Bytes::from(transfers.iter().fold(head, entry)))
    }
}
