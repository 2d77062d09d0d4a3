//! The events of a tenant that meet a filter, in the order of the log, each once.

use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use read_models::event_index::EventFilter;
use read_models::progress::Touch;
use read_models::{Asked, EventIndex, Order};
use sabotage::Guard;
use service_kit::problem::Problem;

use super::{Frame, Look, News, Source};
use crate::app::App;
use crate::events;
use crate::reading::{Conditions, listed};

/// Events of a look at most.
const PAGE: i64 = 64;
/// Positions that a look passes over at most, so that a filter that meets nothing is no long statement.
const POSITIONS_MAX: i64 = 50_000;

/// Events behind a position.
pub(crate) struct EventFeed {
    app: App,
    tenant: TenantId,
    filter: EventFilter,
    after: LogPosition,
}

impl EventFeed {
    /// The events behind `after` that meet the filter, whose own positions are not used.
    pub(crate) fn new(app: App, tenant: TenantId, filter: EventFilter, after: LogPosition) -> Self {
        Self { app, tenant, filter, after }
    }
}

impl Source for EventFeed {
    fn touches(&self) -> Vec<Touch> {
        vec![Touch::all::<EventIndex>()]
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
        let end = if sabotage::stands(Guard::IndexBound) { served.position } else { served.head };
        let until = end.min(after.saturating_add(POSITIONS_MAX));
        if until <= after {
            reading.tx.end().await?;
            return Ok(Look::News(News { frames: vec![], at: self.after, reached, more: false }));
        }
        let filter = EventFilter { after: Some(after), before: Some(until + 1), ..self.filter.clone() };
        let oldest = Asked { order: Order::Oldest, cursor: None, limit: PAGE };
        let page = EventIndex::list(&mut reading.tx, &filter, &oldest).await;
        let page = page.map_err(listed)?;
        let rows = events::rows(&self.app, &mut reading.tx, epoch, &page.items).await?;
        reading.tx.end().await?;
        let mut frames = Vec::with_capacity(rows.len());
        for (row, position) in rows.into_iter().zip(&page.items) {
            let data = serde_json::to_string(&row).map_err(|error| Problem::fault(&error))?;
            frames.push(Frame { id: LogPosition { epoch, position: *position }, name: row.event_type, data });
        }
        let full = page.next_cursor.is_some();
        let position = page.items.last().copied().filter(|_| full).unwrap_or(until);
        self.after = LogPosition { epoch, position };
        Ok(Look::News(News { frames, at: self.after, reached, more: position < served.position }))
    }
}
