//! What happens to the security of an organisation, in the order of the log, each event once.

use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use read_models::progress::Touch;
use read_models::security_feed::SecurityFilter;
use read_models::{SecurityFeed, in_epoch};
use service_kit::problem::Problem;

use super::{Frame, Look, News, Source};
use crate::app::App;
use crate::reading::Conditions;

/// Rows of a look at most.
const PAGE: i64 = 64;
/// Positions that a look passes over at most, so that a filter that meets nothing is no long statement.
const POSITIONS_MAX: i64 = 50_000;

/// Rows of the feed behind a position.
pub(crate) struct SecuritySource {
    app: App,
    tenant: TenantId,
    filter: SecurityFilter,
    after: LogPosition,
}

impl SecuritySource {
    /// The rows behind `after` that meet the filter.
    pub(crate) fn new(app: App, tenant: TenantId, filter: SecurityFilter, after: LogPosition) -> Self {
        Self { app, tenant, filter, after }
    }
}

impl Source for SecuritySource {
    fn touches(&self) -> Vec<Touch> {
        vec![Touch::all::<SecurityFeed>()]
    }

    fn begin(&self) -> LogPosition {
        self.after
    }

    async fn look(&mut self) -> Result<Look, Problem> {
        let mut reading = self.app.read(self.tenant, &Conditions::default(), &self.touches()).await?;
        let served = reading.served;
        let epoch = self.after.epoch;
        if served.epoch != epoch {
            return Ok(Look::EpochChanged);
        }
        let after = self.after.position;
        let reached = LogPosition { epoch, position: served.reached };
        let until = served.position.min(after.saturating_add(POSITIONS_MAX));
        if until <= after {
            reading.tx.end().await?;
            return Ok(Look::News(News { frames: vec![], at: self.after, reached, more: false }));
        }
        let rows = SecurityFeed::between(&mut reading.tx, &self.filter, after, until, PAGE).await?;
        reading.tx.end().await?;
        let mut frames = Vec::with_capacity(rows.len());
        for row in &rows {
            let data =
                in_epoch(epoch, || serde_json::to_string(row)).map_err(|error| Problem::fault(&error))?;
            let id = LogPosition { epoch, position: row.position };
            frames.push(Frame { id, name: row.kind.clone(), data });
        }
        let is_full = i64::try_from(rows.len()).is_ok_and(|it| it >= PAGE);
        let position = rows.last().map(|it| it.position).filter(|_| is_full).unwrap_or(until);
        self.after = LogPosition { epoch, position };
        Ok(Look::News(News { frames, at: self.after, reached, more: position < served.position }))
    }
}
