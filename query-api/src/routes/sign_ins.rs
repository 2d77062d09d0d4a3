//! `/v1/sign-ins`: who signed in, who failed to, and from where; and how many of each on a day.

use axum::extract::State;
use axum::response::Response;
use chrono::{Days, NaiveDate, Utc};
use domain::words::Word;
use read_models::progress::Touch;
use read_models::sign_ins::{DayFilter, SignInDayRow, SignInFilter, SignInRow};
use read_models::{Moment, Order, Page, SignIns};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadSignIns};
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::app::App;
use crate::reading::{Conditions, asked, invalid, listed};
use crate::{answer, privacy};

/// Days of which counts are given if nothing is said, and at most.
const DAYS_DEFAULT: u64 = 30;
const DAYS_MAX: i64 = 366;

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Succeeded,
    Failed,
    Locked,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Locked => "locked",
        }
    }
}

/// Which sign-ins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SignInsQuery {
    /// Only those for this person.
    user_id: Option<Uuid>,
    /// Only those that ended so.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// Only those that were tried so.
    #[param(example = "password", pattern = "^[a-z][a-z0-9-]{0,39}$")]
    method: Option<String>,
    /// Only those at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only those before this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    to: Option<Moment>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List sign-ins
///
/// Those that came to something, those that failed, and locks. Those that failed alike within a minute
/// are one row with their number.
#[utoipa::path(get, operation_id = "listSignIns", path = "/v1/sign-ins", tag = "identity",
    params(SignInsQuery), responses(
    (status = 200, description = "A page of sign-ins.", body = Page<SignInRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadSignIns>,
    conditions: Conditions,
    Query(query): Query<SignInsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let method = query.method.as_deref().map(Word::parse).transpose();
    let filter = SignInFilter {
        user_id: query.user_id,
        outcome: query.outcome.map(|it| it.as_str().to_owned()),
        method: method.map_err(|_| invalid("method is a word"))?.map(|it| it.to_string()),
        from: query.from.map(|it| it.0),
        to: query.to.map(|it| it.0),
    };
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<SignIns>()]).await?;
    let mut page = SignIns::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ByDayQuery {
    /// The first day, in UTC; 30 days before `to`, if left out.
    #[param(example = "2026-03-01")]
    from: Option<NaiveDate>,
    /// The day behind the last one, at most 366 days after `from`; tomorrow, if left out.
    #[param(example = "2026-04-01")]
    to: Option<NaiveDate>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Count sign-ins by day
///
/// By day, method and outcome. What did not happen on a day has no row.
#[utoipa::path(get, operation_id = "countSignIns", path = "/v1/sign-ins/by-day", tag = "identity",
    params(ByDayQuery), responses(
    (status = 200, description = "A page of counts.", body = Page<SignInDayRow>),
))]
pub(crate) async fn by_day(
    State(app): State<App>,
    allowed: Allowed<ReadSignIns>,
    conditions: Conditions,
    Query(query): Query<ByDayQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let filter = days(query.from, query.to, Utc::now().date_naive())?;
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<SignIns>()]).await?;
    let page = SignIns::by_day(&mut reading.tx, filter, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

/// The days that are meant, such as SQL can take.
fn days(from: Option<NaiveDate>, to: Option<NaiveDate>, today: NaiveDate) -> Result<DayFilter, Problem> {
    let earliest = NaiveDate::from_yo_opt(1, 1).unwrap_or(NaiveDate::MIN);
    let latest = NaiveDate::from_yo_opt(9999, 1).unwrap_or(NaiveDate::MAX);
    let known = |day: &NaiveDate| (earliest..=latest).contains(day);
    if from.iter().chain(&to).any(|day| !known(day)) {
        return Err(invalid("a day is in the years 1 to 9998"));
    }
    let (from, to) = match (from, to) {
        (Some(from), None) => (from, from.checked_add_days(Days::new(DAYS_DEFAULT)).unwrap_or(latest)),
        (from, to) => {
            let to = to.or_else(|| today.succ_opt()).unwrap_or(latest);
            (from.or_else(|| to.checked_sub_days(Days::new(DAYS_DEFAULT))).unwrap_or(earliest), to)
        }
    };
    if (to - from).num_days() > DAYS_MAX {
        return Err(invalid("from and to are at most 366 days apart"));
    }
    Ok(DayFilter { from: Some(from), to: Some(to) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_days_are_meant_if_nothing_is_said() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-03-31");
        let meant = |from: Option<&str>, to: Option<&str>| {
            days(from.map(day), to.map(day), today).map(|it| (it.from.unwrap(), it.to.unwrap()))
        };
        for (from, to, first, behind) in [
            (None, None, "2026-03-02", "2026-04-01"),
            (Some("2026-01-01"), None, "2026-01-01", "2026-01-31"),
            (None, Some("2026-02-01"), "2026-01-02", "2026-02-01"),
            (Some("2025-01-01"), Some("2026-01-02"), "2025-01-01", "2026-01-02"),
            (Some("9998-12-31"), None, "9998-12-31", "9999-01-30"),
        ] {
            assert_eq!(meant(from, to).unwrap(), (day(first), day(behind)), "{from:?} {to:?}");
        }
        for (from, to) in [
            (Some("2024-01-01"), Some("2026-01-01")),
            (Some("-0004-01-01"), None),
            (None, Some("+12000-01-01")),
        ] {
            assert_eq!(meant(from, to).unwrap_err().code(), "request.invalid-parameter", "{from:?} {to:?}");
        }
    }
}
