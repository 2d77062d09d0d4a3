//! What consumers got against the log.

use std::collections::HashMap;

use uuid::Uuid;

use super::Check;
use super::image::Image;
use crate::consumer::Received;

/// A consumer that drops what it has seen has every event once, and nothing else.
#[must_use]
pub fn the_consumer_has_the_log(received: &Received, image: &Image) -> Check {
    let mut check = Check::new("consumer has the log");
    for it in &image.entries {
        check.look(received.events.get(&it.event_id) == Some(&it.position), || {
            format!(
                "the event at {} did not arrive as such: {:?}",
                it.position,
                received.events.get(&it.event_id)
            )
        });
    }
    if received.events.len() > image.entries.len() {
        check.fault(format!(
            "{} events arrived, {} are in the log",
            received.events.len(),
            image.entries.len()
        ));
    }
    received.faults.iter().for_each(|it| check.fault(it.clone()));
    check
}

/// What the stream holds, without what it holds twice, is the log in its order.
#[must_use]
pub fn the_stream_is_the_log(contents: &[(Uuid, i64)], image: &Image) -> Check {
    let mut check = Check::new("stream on NATS is the log");
    let mut first: HashMap<Uuid, i64> = HashMap::new();
    let mut last = 0;
    for (id, position) in contents {
        if first.insert(*id, *position).is_none() {
            check.look(*position > last, || format!("{position} comes after {last}"));
            last = last.max(*position);
        }
    }
    for it in &image.entries {
        check.look(first.get(&it.event_id) == Some(&it.position), || {
            format!("{} is not on the stream", it.position)
        });
    }
    check.look(first.len() == image.entries.len(), || {
        format!("the stream has {} events, the log {}", first.len(), image.entries.len())
    });
    check
}

#[cfg(test)]
mod tests;
