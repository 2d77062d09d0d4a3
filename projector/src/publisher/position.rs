//! Where the publisher goes on, from what it remembers and what NATS holds. NATS is never the record: it acknowledges
//! before it syncs, so what it holds decides, and it is checked against the log first.

use chrono::{DateTime, Utc};

/// What `run.publisher` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: i32,
    pub(crate) position: i64,
    /// When the stream was made that this is about.
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) sequence: u64,
    /// Whether the event at `position` is young enough to be on NATS still.
    pub(crate) retained: bool,
}

/// What the stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) created: DateTime<Utc>,
    /// The last sequence that it ever gave out.
    pub(crate) sequence: u64,
    pub(crate) tail: Tail,
}

/// Its last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// It has none.
    Empty,
    /// An event of this log, checked by its id, or an epoch marker.
    Ours { sequence: u64, position: i64 },
    /// An event of this epoch that this log does not have, or anything of a later one.
    Lost { position: i64 },
    /// Ours by its looks, but of an earlier epoch.
    OtherEpoch,
    /// Not ours: another database's, or somebody else's.
    Foreign,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// After this position.
    After(i64),
    /// With the oldest event that is within retention.
    Retention,
    /// After the newest message that is an event of this log, which must be searched for.
    LastCommon,
}

/// What to do, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) from: From,
    /// Whether consumers are told first that positions have another meaning now.
    pub(crate) marker: bool,
    pub(crate) why: Why,
}

/// Why the publisher goes on where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// NATS holds what is remembered, or more: the note of it was lost.
    InStep,
    /// Nothing was ever published.
    First,
    /// Everything on NATS grew too old, as it should.
    AgedOut,
    /// The stream is another one.
    MadeAnew,
    /// The stream lost its end.
    Shorter,
    /// The stream was emptied.
    Emptied,
    /// The end of the stream is not ours.
    Foreign,
    /// The stream ends with an event that the log does not have: it is another log's, or the log was set back.
    Lost,
    /// The log was restored.
    OtherEpoch,
}

/// Decides.
pub(crate) fn resume(epoch: i32, known: &Known, seen: &Seen) -> Resume {
    let restored = known.epoch != epoch && known.position > 0;
    let anew = known.created.is_some_and(|created| created != seen.created);
    let (from, why) = match seen.tail {
        Tail::Ours { sequence, position } => {
            let why = if anew {
                Why::MadeAnew
            } else if seen.sequence < known.sequence || sequence < seen.sequence {
                Why::Shorter
            } else {
                Why::InStep
            };
            // The end is of this epoch already: if a marker was due, it was sent.
            return Resume { from: From::After(position), marker: false, why };
        }
        Tail::OtherEpoch => return Resume { from: From::LastCommon, marker: true, why: Why::OtherEpoch },
        Tail::Foreign => (From::LastCommon, Why::Foreign),
        Tail::Lost { .. } => (From::LastCommon, Why::Lost),
        Tail::Empty if restored => (From::Retention, Why::OtherEpoch),
        Tail::Empty if known.position == 0 => (From::Retention, Why::First),
        Tail::Empty if anew => (From::Retention, Why::MadeAnew),
        Tail::Empty if seen.sequence < known.sequence => (From::Retention, Why::Shorter),
        Tail::Empty if known.retained => (From::Retention, Why::Emptied),
        Tail::Empty => (From::After(known.position), Why::AgedOut),
    };
    Resume { from, marker: restored, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    const EPOCH: i32 = 2;

    fn known() -> Known {
        Known { epoch: EPOCH, position: 100, created: Some(at(1)), sequence: 90, retained: true }
    }

    fn seen(sequence: u64, tail: Tail) -> Seen {
        Seen { created: at(1), sequence, tail }
    }

    #[track_caller]
    fn check(known: Known, seen: Seen, from: From, marker: bool, why: Why) {
        assert_eq!(resume(EPOCH, &known, &seen), Resume { from, marker, why });
    }

    fn ours(sequence: u64, position: i64) -> Tail {
        Tail::Ours { sequence, position }
    }

    #[test]
    fn goes_on_after_the_last_message() {
        check(known(), seen(90, ours(90, 100)), From::After(100), false, Why::InStep);
        // The note of the last page was lost.
        check(known(), seen(95, ours(95, 105)), From::After(105), false, Why::InStep);
    }

    #[test]
    fn refills_what_nats_lost() {
        check(known(), seen(70, ours(70, 80)), From::After(80), false, Why::Shorter);
        // The last messages were deleted one by one.
        check(known(), seen(90, ours(70, 80)), From::After(80), false, Why::Shorter);
        check(
            known(),
            Seen { created: at(2), ..seen(0, Tail::Empty) },
            From::Retention,
            false,
            Why::MadeAnew,
        );
        // A restored stream with some of its messages.
        check(
            known(),
            Seen { created: at(2), ..seen(40, ours(40, 50)) },
            From::After(50),
            false,
            Why::MadeAnew,
        );
        check(known(), seen(0, Tail::Empty), From::Retention, false, Why::Shorter);
        check(known(), seen(90, Tail::Empty), From::Retention, false, Why::Emptied);
    }

    #[test]
    fn does_not_publish_again_what_grew_too_old() {
        let old = Known { retained: false, ..known() };
        check(old, seen(90, Tail::Empty), From::After(100), false, Why::AgedOut);
        check(old, seen(80, Tail::Empty), From::Retention, false, Why::Shorter);
    }

    #[test]
    fn begins_with_what_is_within_retention() {
        let new = Known { epoch: EPOCH, position: 0, created: None, sequence: 0, retained: false };
        check(new, seen(0, Tail::Empty), From::Retention, false, Why::First);
        // The stream outlived the table.
        check(new, seen(90, ours(90, 100)), From::After(100), false, Why::InStep);
        check(new, seen(90, Tail::Foreign), From::LastCommon, false, Why::Foreign);
        check(new, seen(90, Tail::Lost { position: 100 }), From::LastCommon, false, Why::Lost);
        check(Known { epoch: 1, ..new }, seen(0, Tail::Empty), From::Retention, false, Why::First);
    }

    #[test]
    fn marks_another_epoch_once() {
        let before = Known { epoch: 1, ..known() };
        check(before, seen(90, Tail::OtherEpoch), From::LastCommon, true, Why::OtherEpoch);
        check(known(), seen(90, Tail::OtherEpoch), From::LastCommon, true, Why::OtherEpoch);
        check(before, seen(0, Tail::Empty), From::Retention, true, Why::OtherEpoch);
        check(before, seen(90, Tail::Foreign), From::LastCommon, true, Why::Foreign);
        // It was sent, and the note of that was lost.
        check(before, seen(91, ours(91, 60)), From::After(60), false, Why::InStep);
    }
}
