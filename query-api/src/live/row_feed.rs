//! One row of a read model: as it is, and again whenever it has changed. States between two looks are passed over; the
//! newest one always comes.

use std::future::Future;

use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use read_models::progress::Touch;
use read_models::{TenantTx, in_epoch};
use serde::Serialize;
use service_kit::problem::Problem;

use super::{Frame, Look, News, Source};
use crate::app::App;
use crate::reading::Conditions;

/// A row that can be followed.
pub(crate) trait LiveRow: Send + Sync + 'static {
    /// The row itself: the same content that its own route answers with.
    type Row: Serialize + Send;
    /// The name of its frames; without a dot, unlike types of events.
    const NAME: &'static str;

    /// The model that it is a row of.
    fn touch(&self) -> Touch;

    /// The row, if it is there.
    fn find(&self, tx: &mut TenantTx) -> impl Future<Output = sqlx::Result<Option<Self::Row>>> + Send;
}

/// A row behind a position.
pub(crate) struct RowFeed<R> {
    app: App,
    tenant: TenantId,
    row: R,
    at: LogPosition,
    known: String,
}

impl<R: LiveRow> RowFeed<R> {
    /// Follows a row that is there. What is sent is never older than `at`.
    pub(crate) fn new(app: App, tenant: TenantId, row: R, at: LogPosition) -> Self {
        Self { app, tenant, row, at, known: String::new() }
    }
}

impl<R: LiveRow> Source for RowFeed<R> {
    fn touches(&self) -> Vec<Touch> {
        vec![self.row.touch()]
    }

    fn begin(&self) -> LogPosition {
        self.at
    }

    async fn look(&mut self) -> Result<Look, Problem> {
        let mut reading = self.app.read(self.tenant, &Conditions::default(), &self.touches()).await?;
        let served = reading.served;
        if served.epoch != self.at.epoch {
            return Ok(Look::EpochChanged);
        }
        let position = reading.position();
        let row = self.row.find(&mut reading.tx).await?;
        reading.tx.end().await?;
        let mut frames = Vec::new();
        // A model that was taken back to an older build is waited for: what was seen is not unseen.
        if let Some(row) = row.filter(|_| position >= self.at) {
            let data = in_epoch(position.epoch, || serde_json::to_string(&row));
            let data = data.map_err(|error| Problem::fault(&error))?;
            if data != self.known {
                frames.push(Frame { id: position, name: R::NAME.to_owned(), data: data.clone() });
                self.known = data;
            }
        }
        self.at = self.at.max(position);
        let reached = LogPosition { epoch: served.epoch, position: served.reached };
        Ok(Look::News(News { frames, at: self.at, reached, more: false }))
    }
}
