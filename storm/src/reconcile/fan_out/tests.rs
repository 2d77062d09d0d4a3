//! Events that did not arrive, arrived as others, or were never in the log are found.

use super::*;
use crate::reconcile::sample::image;

type Damage = fn(&mut Vec<(Uuid, i64)>);

fn all() -> Vec<(Uuid, i64)> {
    image().entries.iter().map(|it| (it.event_id, it.position)).collect()
}

#[test]
fn everything_once_is_right_and_so_is_everything_twice() {
    let events = all().into_iter().collect();
    let received = Received { events, duplicates: 3, ..Received::default() };
    assert!(the_consumer_has_the_log(&received, &image()).holds());
    assert!(the_stream_is_the_log(&all(), &image()).holds());
    let twice = [all(), all()].concat();
    assert!(the_stream_is_the_log(&twice, &image()).holds());
}

#[test]
fn what_lacks_is_more_or_is_elsewhere_is_found() {
    let damages: [Damage; 3] = [Vec::clear, |it| it.push((Uuid::from_u128(9), 6)), |it| it[1].1 = 4];
    for damage in damages {
        let mut events = all();
        damage(&mut events);
        assert!(!the_stream_is_the_log(&events, &image()).holds());
        let received = Received { events: events.into_iter().collect(), ..Received::default() };
        assert!(!the_consumer_has_the_log(&received, &image()).holds());
    }
    let mut events = all();
    events.swap(1, 2);
    assert!(!the_stream_is_the_log(&events, &image()).holds(), "the order counts");
}
