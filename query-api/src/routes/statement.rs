//! `/v1/ledger/accounts/{account_id}/statement`: what was posted between two moments, and the balances around it.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use futures_util::{Stream, stream};
use read_models::account_entries::statement::{Basis, LineKey, Span, StatementLine};
use read_models::accounts::AccountRow;
use read_models::progress::Touch;
use read_models::{AccountEntries, Accounts, Moment, TenantTx, page};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions::ReadAccounts};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer::{self, PartFailed};
use crate::app::App;
use crate::export::{self, TEXT_CSV, cell};
use crate::reading::{Conditions, invalid, limit};

/// Lines that are read at once for CSV.
const PART_LINES: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

/// From when until when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementQuery {
    /// The first moment within it.
    #[param(value_type = DateTime<Utc>)]
    from: Moment,
    /// The first moment behind it, not in the future. The next statement begins here.
    #[param(value_type = DateTime<Utc>)]
    to: Moment,
    /// Whether postings count by when they were recorded or by their effective date.
    #[param(inline)]
    basis: Option<Basis>,
    /// `json`, in pages, if left out; `csv` is whole.
    #[param(inline)]
    format: Option<Format>,
    /// Lines of a page, 1 to 200; 50 if left out. JSON only.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before. JSON only.
    cursor: Option<String>,
}

/// A statement, or a page of its lines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Statement {
    /// Which account.
    account_id: Uuid,
    /// Its name for people.
    name: String,
    /// Its currency.
    currency: String,
    /// The side on which its balance grows.
    normal_side: String,
    /// By which time.
    basis: Basis,
    /// The first moment within it.
    from: DateTime<Utc>,
    /// The first moment behind it.
    to: DateTime<Utc>,
    /// The balance before its first line: the closing balance of the statement that ends at `from`.
    #[schema(value_type = String, example = "100.00")]
    opening_balance: Decimal,
    /// The balance after its last line.
    #[schema(value_type = String, example = "112.34")]
    closing_balance: Decimal,
    /// Its lines, in order of time.
    items: Vec<StatementLine>,
    /// Gives the next page of lines; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Show a statement
///
/// Of two statements that meet, the closing balance of the first is the opening balance of the second. By value date,
/// entries that are dated back later belong to the period of their date; pages of one statement are read as of the
/// position of its first page.
#[utoipa::path(get, operation_id = "getStatement", path = "/v1/ledger/accounts/{account_id}/statement", tag = "ledger",
    params(("account_id" = Uuid, Path, description = "Which account."), StatementQuery),
    responses(
        (status = 200, description = "The statement.", content((Statement = "application/json"), (String = "text/csv"))),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn statement(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<StatementQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let csv = query.format.unwrap_or_default() == Format::Csv;
    if csv && (query.limit.is_some() || query.cursor.is_some()) {
        return Err(invalid("limit and cursor do not go with csv, which is whole"));
    }
    // The log keeps microseconds.
    let (from, to) = (query.from.0.trunc_subsecs(6), query.to.0.trunc_subsecs(6));
    if from > to {
        return Err(invalid("from is behind to"));
    }
    let tenant = allowed.caller().tenant;
    let touches = [Touch::one::<Accounts>(id), Touch::one::<AccountEntries>(id)];
    let mut reading = app.read_as_of(tenant, &conditions, &touches, to).await?;
    let account = Accounts::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    let basis = query.basis.unwrap_or_default();
    let list = format!("statement/{id}/{basis:?}/{}/{}", from.timestamp_micros(), to.timestamp_micros());
    let mut span = Span { basis, from, to, known_to: reading.served.position };
    let mut behind = span.start();
    if let Some(cursor) = &query.cursor {
        let ((Moment(time), version), known_to) = page::decode::<((Moment, i64), i64)>(&list, cursor)
            .map_err(|_| Problem::new(&code::CURSOR_INVALID, ""))?;
        behind = (time, version);
        span.known_to = known_to.min(span.known_to);
    }
    let tx = &mut reading.tx;
    let opening_balance = AccountEntries::balance_at(tx, &account, &span, span.start()).await?;
    let closing_balance = AccountEntries::balance_at(tx, &account, &span, span.end()).await?;
    if csv {
        let position = reading.position();
        reading.tx.end().await?;
        let part = Part {
            app,
            tenant,
            epoch: position.epoch,
            account,
            span,
            behind: Some(behind),
            balance: opening_balance,
            closing_balance,
        };
        return Ok(answer::streamed(position, TEXT_CSV, &format!("statement-{id}.csv"), parts(part)));
    }
    let before = AccountEntries::balance_at(tx, &account, &span, behind).await?;
    let items = AccountEntries::lines(tx, &account, &span, behind, before, limit + 1).await?;
    let page = page::Page::cut(items, limit, &list, |it| (span.key(it), span.known_to));
    let content = Statement {
        account_id: id,
        name: account.name,
        currency: account.currency,
        normal_side: account.normal_side,
        basis,
        from,
        to,
        opening_balance,
        closing_balance,
        items: page.items,
        next_cursor: page.next_cursor,
    };
    answer::json(reading, &conditions, &content).await
}

/// Where a statement stands between two parts. It holds no transaction.
struct Part {
    app: App,
    tenant: TenantId,
    epoch: i32,
    account: AccountRow,
    span: Span,
    /// `None` at the end.
    behind: Option<LineKey>,
    balance: Decimal,
    closing_balance: Decimal,
}

const HEAD: [&str; 9] =
    ["kind", "recorded_at", "effective_at", "position", "transfer_id", "code", "side", "amount", "balance"];

fn parts(first: Part) -> impl Stream<Item = Result<Bytes, PartFailed>> + Send {
    stream::try_unfold(first, |mut part| async move {
        let Some(behind) = part.behind else { return Ok(None) };
        match part.next(behind).await {
            Ok(bytes) => Ok(Some((bytes, part))),
            Err(error) => {
                tracing::error!(%error, "a statement was cut off");
                Err(error)
            }
        }
    })
}

impl Part {
    async fn next(&mut self, behind: LineKey) -> Result<Bytes, PartFailed> {
        let touches = [Touch::one::<AccountEntries>(self.account.account_id)];
        let mut tx = TenantTx::begin(&self.app.pool, self.tenant, &touches).await?;
        let lines =
            AccountEntries::lines(&mut tx, &self.account, &self.span, behind, self.balance, PART_LINES)
                .await?;
        tx.end().await?;
        let mut rows = Vec::with_capacity(lines.len() + 3);
        if behind == self.span.start() {
            rows.push(HEAD.map(str::to_owned));
            rows.push(edge("opening", self.span.from, self.balance));
        }
        rows.extend(lines.iter().map(|line| row(line, self.epoch)));
        let full = i64::try_from(lines.len()).is_ok_and(|it| it == PART_LINES);
        self.behind = lines.last().filter(|_| full).map(|it| self.span.key(it));
        self.balance = lines.last().map_or(self.balance, |it| it.balance_after);
        if self.behind.is_none() {
            rows.push(edge("closing", self.span.to, self.closing_balance));
        }
        Ok(export::csv(rows)?)
    }
}

fn time(it: DateTime<Utc>) -> String {
    it.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn edge(kind: &str, at: DateTime<Utc>, balance: Decimal) -> [String; HEAD.len()] {
    let mut row = [const { String::new() }; HEAD.len()];
    let [first, when, .., last] = &mut row;
    *first = kind.to_owned();
    *when = time(at);
    *last = balance.to_string();
    row
}

fn row(line: &StatementLine, epoch: i32) -> [String; HEAD.len()] {
    [
        line.kind.clone(),
        time(line.recorded_at),
        time(line.effective_at),
        LogPosition { epoch, position: line.position }.to_string(),
        line.transfer_id.to_string(),
        cell(line.code.as_deref().unwrap_or_default()).into_owned(),
        line.side.clone(),
        line.amount.to_string(),
        line.balance_after.to_string(),
    ]
}
