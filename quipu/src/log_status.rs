//! How the log grows and how far its readers are, from the database alone, so that it is true while servers are down.

use chrono::{DateTime, TimeDelta, Utc};
use event_store::{epoch, log};
use serde::Serialize;
use sqlx::PgPool;

/// Minutes of the past of which the rate is told.
const MINUTES: i32 = 30;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A follower of the log.
#[derive(Debug, Serialize)]
pub(crate) struct Reader {
    pub(crate) model: String,
    pub(crate) version: i32,
    /// Whether this version answers queries.
    pub(crate) active: bool,
    pub(crate) epoch: i32,
    /// Everything up to here is in it.
    pub(crate) position: i64,
    /// Events that are not in it yet.
    pub(crate) lag_events: i64,
    /// Seconds between the recording of the newest event and of the last one in it.
    pub(crate) lag_seconds: f64,
    /// Partitions that wait for repair.
    pub(crate) parked: i64,
    /// The process that works on it now.
    pub(crate) lease_owner: Option<String>,
}

/// The log and its readers.
#[derive(Debug, Serialize)]
pub struct LogStatus {
    epoch: i32,
    head: i64,
    recorded_at: DateTime<Utc>,
    /// Events of each of the last minutes, the oldest first.
    events_a_minute: Vec<i64>,
    readers: Vec<Reader>,
    published: Option<Published>,
}

#[derive(Debug, Serialize)]
struct Published {
    position: i64,
    lag_events: i64,
}

/// Every follower, by name and version.
pub(crate) async fn readers(pool: &PgPool) -> sqlx::Result<Vec<Reader>> {
    sqlx::query_as!(
        Reader,
        r#"select p.model, p.version, coalesce(a.version = p.version, true) as "active!", p.epoch, p.position,
                  case when p.epoch = h.epoch then greatest(h.position - p.position, 0) else h.position end as "lag_events!",
                  case when p.epoch = h.epoch and p.position >= h.position then 0
                       else greatest(extract(epoch from h.recorded_at - p.recorded_at), 0) end::float8 as "lag_seconds!",
                  (select count(*) from run.parked k where k.model = p.model and k.version = p.version) as "parked!",
                  case when p.lease_until > clock_timestamp() then p.lease_owner end as lease_owner
           from run.projections p cross join store.log_head h left join run.active_models a on a.model = p.model
           order by p.model, p.version"#
    )
    .fetch_all(pool)
    .await
}

impl LogStatus {
    /// Looks now.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn of(pool: &PgPool) -> sqlx::Result<Self> {
        let mut conn = pool.acquire().await?;
        let head = epoch::head(&mut conn).await?;
        let now = Utc::now();
        let mut edges = Vec::new();
        for minute in (0..=MINUTES).rev() {
            let edge = now - TimeDelta::minutes(i64::from(minute));
            edges.push(log::position_at(&mut conn, edge).await?);
        }
        let published = sqlx::query_as!(
            Published,
            r#"select p.position, greatest(h.position - p.position, 0) as "lag_events!"
               from run.publisher p cross join store.log_head h"#
        )
        .fetch_optional(&mut *conn)
        .await?;
        drop(conn);
        let events_a_minute = edges.iter().zip(edges.iter().skip(1)).map(|(from, to)| to - from).collect();
        Ok(Self {
            epoch: head.epoch,
            head: head.position,
            recorded_at: head.recorded_at,
            events_a_minute,
            readers: readers(pool).await?,
            published,
        })
    }

    /// Lines for people.
    #[must_use]
    pub fn lines(&self) -> String {
        let last = self.events_a_minute.last().copied().unwrap_or_default();
        let mut lines = vec![
            format!(
                "log: position {}-{}, newest event {}",
                self.epoch,
                self.head,
                crate::table::moment(self.recorded_at)
            ),
            format!(
                "events a minute, last {MINUTES}: {} {last} in the last one",
                sparkline(&self.events_a_minute)
            ),
        ];
        let parked: i64 = self.readers.iter().map(|it| it.parked).sum();
        let behind = self.readers.iter().filter(|it| it.active).max_by_key(|it| it.lag_events);
        if let Some(it) = behind {
            lines.push(match it.lag_events {
                0 => format!("read models: all {} are at the head", self.readers.len()),
                lag => {
                    format!("read models: {} is {lag} events and {:.1} s behind", it.model, it.lag_seconds)
                }
            });
        }
        if parked > 0 {
            lines.push(format!("parked partitions: {parked}; see `quipu projection parked`"));
        }
        if let Some(it) = &self.published {
            lines.push(format!("published to NATS: up to {}, {} events behind", it.position, it.lag_events));
        }
        lines.join("\n")
    }
}

fn sparkline(counts: &[i64]) -> String {
    let most = counts.iter().copied().max().unwrap_or_default();
    let bar = |count: &i64| {
        let at = if most == 0 { 0 } else { (count * 7 + most - 1) / most };
        usize::try_from(at).ok().and_then(|it| BARS.get(it)).copied().unwrap_or(' ')
    };
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_the_busiest_minute_and_little_is_not_nothing() {
        assert_eq!(sparkline(&[0, 1, 350, 700]), "▁▂▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
