//! What the mailer tells its monitoring.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::metrics::Metrics;

use super::outbox::Standing;

/// Its figures. Every process shows the same of the whole outbox, and counts its own sends.
pub(in crate::reactors) struct MailFigures {
    waiting: Gauge,
    dead: Gauge,
    oldest: Gauge,
    sent: Counter,
    failed: Family<[(&'static str, &'static str); 1], Counter>,
}

impl MailFigures {
    /// Begins them, as part of what the process shows.
    pub(in crate::reactors) fn of(metrics: &Metrics) -> Self {
        let this = Self {
            waiting: Gauge::default(),
            dead: Gauge::default(),
            oldest: Gauge::default(),
            sent: Counter::default(),
            failed: Family::default(),
        };
        // They are there from the beginning: what grew from nothing cannot be told from what grew from zero.
        for why in ["passing", "final", "expired"] {
            let _begun = this.failed.get_or_create(&[("why", why)]);
        }
        metrics.register(|registry| {
            registry.register(
                "quipu_mail_waiting",
                "Letters that wait to be sent, counted up to 10,000",
                this.waiting.clone(),
            );
            registry.register(
                "quipu_mail_dead",
                "Letters of the last month that will never be sent, counted up to 10,000",
                this.dead.clone(),
            );
            registry.register(
                "quipu_mail_oldest_seconds",
                "For how long the oldest letter has waited",
                this.oldest.clone(),
            );
            registry.register("quipu_mail_sent", "Letters that the server has taken over", this.sent.clone());
            let failed = this.failed.clone();
            registry.register(
                "quipu_mail_failed",
                "Tries that failed: passing, final, or the letter's time was over",
                failed,
            );
        });
        this
    }

    pub(super) fn waiting(&self, standing: Standing) {
        self.waiting.set(standing.waiting);
        self.dead.set(standing.dead);
        self.oldest.set(standing.oldest_seconds);
    }

    pub(super) fn sent(&self) {
        self.sent.inc();
    }

    pub(super) fn failed(&self, why: &'static str) {
        self.failed.get_or_create(&[("why", why)]).inc();
    }

    pub(super) fn expired(&self, letters: u64) {
        if letters > 0 {
            self.failed.get_or_create(&[("why", "expired")]).inc_by(letters);
        }
    }
}
