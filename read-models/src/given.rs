//! Events for tests of folds: stored ones, as the projector hands them over.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Event, StreamId};
use event_schemas::catalog;
use event_store::Recorded;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::read_model::{Item, ProjectionError, ReadModel, decoded};

/// The tenant of all of it.
pub(crate) const TENANT: Uuid = Uuid::from_u128(1);
/// Who did all of it.
pub(crate) const ACTOR: Uuid = Uuid::from_u128(2);

/// When the event at a position was recorded.
pub(crate) fn at(position: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + 60 * position, 0).unwrap()
}

/// A sealed text of somebody.
pub(crate) fn sealed(subject: Uuid) -> Value {
    json!({ "$private": { "subject": subject, "key": 1, "nonce": "SW4gZm9ybSBvbmx5",
            "data": "QSB0ZXh0IG9mIHRoaXMgbGVuZ3RoLCBhbmQgaXRzIHRhZy4=" } })
}

/// A log.
#[derive(Default)]
pub(crate) struct Log {
    events: Vec<(Recorded, Event)>,
}

impl Log {
    /// One more event: its type, and what it says.
    pub(crate) fn and(mut self, event_type: &str, payload: Value) -> Self {
        let position = i64::try_from(self.events.len()).unwrap() + 1;
        let known = catalog::event_type(event_type).unwrap();
        let mut recorded = Recorded {
            position,
            tenant: TenantId::new(TENANT),
            tenant_seq: position,
            stream: StreamId::new(known.category, Uuid::nil()),
            version: 0,
            event_type: event_type.to_owned(),
            schema_version: 1,
            event_id: Uuid::from_u128(u128::try_from(position).unwrap()),
            recorded_at: at(position),
            payload: payload.to_string(),
            meta: json!({ "actor": ACTOR, "correlation": Uuid::nil(), "origin": sealed(ACTOR) }).to_string(),
            leaf: vec![],
        };
        let event = decoded(&recorded).unwrap();
        recorded.stream = event.streams()[0];
        let is_before = |(_, it): &&(Recorded, Event)| it.streams().contains(&recorded.stream);
        recorded.version = i64::try_from(self.events.iter().filter(is_before).count()).unwrap() + 1;
        self.events.push((recorded, event));
        self
    }

    /// What a model makes of it when a page ends behind each of these events; there are no rows before the first.
    pub(crate) fn fold<M: ReadModel>(&self, pages: &[usize]) -> Result<M::Rows, ProjectionError> {
        let mut rows = M::Rows::default();
        let mut begin = 0;
        for end in pages.iter().copied().chain([self.events.len()]) {
            let page = &self.events[begin..end];
            let items: Vec<Item<'_>> = page
                .iter()
                .flat_map(|(recorded, event)| {
                    let mut partitions: Vec<Uuid> =
                        event.streams().iter().filter_map(|it| M::partition(recorded.tenant, it)).collect();
                    partitions.dedup();
                    partitions.into_iter().map(move |it| Item::new(recorded, Ok(event), it))
                })
                .collect();
            M::fold(&mut rows, &items)?;
            begin = end;
        }
        Ok(rows)
    }
}
