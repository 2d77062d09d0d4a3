//! What the projector tells its monitoring.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use service_kit::metrics::{Metrics, seconds};
use tokio::time::Instant;

type OfModel = [(&'static str, &'static str); 1];
type Seconds = Gauge<f64, AtomicU64>;

/// The figures of one projector.
#[derive(Debug)]
pub(crate) struct ProjectorMetrics {
    page_seconds: Family<OfModel, Histogram, fn() -> Histogram>,
    events: Family<OfModel, Counter>,
    pub(crate) published: Counter,
    /// Events that were published, that NATS has lost, and that are not sent again yet.
    pub(crate) publisher_gap: Gauge,
    /// 1 while nothing is published since NATS holds events that the log has lost.
    pub(crate) set_back: Gauge,
    pub(crate) observed: Observed,
}

/// What the observer sees in the database, apart from what followers say of themselves.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    head: Gauge,
    hole: Gauge,
    swept: Gauge,
    lag_events: Family<OfModel, Gauge>,
    lag_seconds: Family<OfModel, Seconds>,
    parked: Family<OfModel, Gauge>,
    publisher_lag: Gauge,
    last: Arc<Mutex<Option<Instant>>>,
}

/// How one model stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    pub(crate) model: &'static str,
    pub(crate) lag_events: i64,
    pub(crate) lag_seconds: f64,
    pub(crate) parked: i64,
}

impl ProjectorMetrics {
    /// Begins them, as part of what the process shows.
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let this = Self {
            page_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            events: Family::default(),
            published: Counter::default(),
            publisher_gap: Gauge::default(),
            set_back: Gauge::default(),
            observed: Observed::default(),
        };
        metrics.register(|registry| {
            let page_seconds = this.page_seconds.clone();
            registry.register(
                "quipu_projection_page_seconds",
                "From a page of events to the commit of its rows and its checkpoint",
                page_seconds,
            );
            registry.register(
                "quipu_projection_events",
                "Events that a follower went over",
                this.events.clone(),
            );
            let published = this.published.clone();
            registry.register("quipu_publisher_published", "Messages that NATS has acknowledged", published);
            registry.register(
                "quipu_publisher_gap",
                "Events that were published, that NATS has lost, and that are not sent again yet",
                this.publisher_gap.clone(),
            );
            registry.register(
                "quipu_log_set_back",
                "1 if NATS holds events that the log has lost: nothing is published",
                this.set_back.clone(),
            );
            let seen = &this.observed;
            registry.register("quipu_log_head_position", "The newest position of the log", seen.head.clone());
            registry.register("quipu_log_hole", "1 if a position of the log is missing", seen.hole.clone());
            registry.register(
                "quipu_log_swept_position",
                "Up to here the log was found without a hole since the process began",
                seen.swept.clone(),
            );
            let (lag_events, lag_seconds) = (seen.lag_events.clone(), seen.lag_seconds.clone());
            registry.register(
                "quipu_projection_lag_events",
                "Events that a model does not contain yet",
                lag_events,
            );
            registry.register(
                "quipu_projection_lag_seconds",
                "How long ago the oldest event was recorded that a model does not contain yet",
                lag_seconds,
            );
            registry.register(
                "quipu_projection_parked",
                "Partitions of a model that wait for repair",
                seen.parked.clone(),
            );
            registry.register(
                "quipu_publisher_lag_events",
                "Events that are not published yet",
                seen.publisher_lag.clone(),
            );
        });
        let (begun, last) = (Instant::now(), Arc::clone(&this.observed.last));
        metrics.gauge(
            "quipu_observation_age_seconds",
            "How long ago lag and log were last looked at; if it grows, their figures are missing or old",
            move || {
                let last = last.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(begun);
                i64::try_from(last.elapsed().as_secs()).unwrap_or(i64::MAX)
            },
        );
        this
    }

    /// Counts a page that was written.
    pub(crate) fn page(&self, model: &'static str, events: i64, time: Duration) {
        self.page_seconds.get_or_create(&[("model", model)]).observe(time.as_secs_f64());
        self.events.get_or_create(&[("model", model)]).inc_by(u64::try_from(events).unwrap_or(0));
    }
}

impl Observed {
    pub(crate) fn standings(&self, head: i64, standings: &[Standing]) {
        self.head.set(head);
        for standing in standings {
            let model = [("model", standing.model)];
            self.lag_events.get_or_create(&model).set(standing.lag_events);
            self.lag_seconds.get_or_create(&model).set(standing.lag_seconds);
            self.parked.get_or_create(&model).set(standing.parked);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Takes back what is not known any more: no figure is better than one of the past.
    pub(crate) fn forget(&self) {
        self.lag_events.clear();
        self.lag_seconds.clear();
        self.parked.clear();
    }

    pub(crate) fn publisher_lag(&self, events: i64) {
        self.publisher_lag.set(events);
    }

    pub(crate) fn swept(&self, position: i64, hole: bool) {
        self.swept.set(position);
        self.hole.set(i64::from(hole));
    }
}
