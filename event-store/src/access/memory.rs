//! What is kept: answers with what they rest on, and the last move of each stream. Pure and bounded.
//!
//! **Invariant:** an answer that was made at a position is recalled only while no stream that it rests on is known to have
//! moved behind that position, in the same epoch.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use domain::ids::TenantId;
use uuid::Uuid;

/// A stream by its numbers, as the tail names it: it may be of a category that this build does not know.
pub(super) type StreamKey = (TenantId, i16, Uuid);

type Map<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// An answer and what it rests on.
#[derive(Debug)]
pub(super) struct Made<A> {
    /// The streams were read in this epoch,
    pub(super) epoch: i32,
    /// and hold everything up to this position.
    pub(super) at: i64,
    pub(super) streams: Box<[StreamKey]>,
    pub(super) answer: Arc<A>,
}

impl<A> Clone for Made<A> {
    fn clone(&self) -> Self {
        Self { streams: self.streams.clone(), answer: Arc::clone(&self.answer), ..*self }
    }
}

/// Answers in two generations, as many in each as the younger may hold: what was not asked for while that filled up is
/// forgotten.
#[derive(Debug)]
pub(super) struct Memory<Q, A> {
    epoch: i32,
    young: Map<Q, Made<A>>,
    old: Map<Q, Made<A>>,
    answers_max: usize,
    moved: Map<StreamKey, i64>,
    moves_max: usize,
    /// Moves up to here may have been forgotten, so an answer must have been made at this position or later.
    floor: i64,
}

impl<Q: Clone + Eq + Hash, A> Memory<Q, A> {
    pub(super) fn new(epoch: i32, answers_max: usize, moves_max: usize) -> Self {
        Self {
            epoch,
            young: Map::default(),
            old: Map::default(),
            answers_max,
            moved: Map::default(),
            moves_max,
            floor: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// An answer that still holds, and whether it would be forgotten soon.
    pub(super) fn recall(&self, question: &Q) -> Option<(Arc<A>, bool)> {
        let (made, is_old) = match self.young.get(question) {
            Some(made) => (made, false),
            None => (self.old.get(question)?, true),
        };
        self.holds(made).then(|| (Arc::clone(&made.answer), is_old))
    }

    /// Keeps an answer that was recalled from the older generation.
    pub(super) fn touch(&mut self, question: &Q) {
        if let Some(made) = self.old.remove(question) {
            self.keep(question, made);
        }
    }

    /// Keeps an answer, and says whether it holds. One that does not was overtaken while it was made.
    pub(super) fn remember(&mut self, question: &Q, made: Made<A>) -> bool {
        let holds = self.holds(&made);
        if holds {
            self.old.remove(question);
            self.keep(question, made);
        }
        holds
    }

    /// Takes note that streams have moved, each at a position; `head` is that of the log.
    pub(super) fn note(&mut self, head: i64, moves: impl IntoIterator<Item = (StreamKey, i64)>) {
        for (stream, position) in moves {
            if self.moved.len() >= self.moves_max && !self.moved.contains_key(&stream) {
                self.moved.clear();
                self.floor = head;
            }
            let last = self.moved.entry(stream).or_insert(position);
            *last = position.max(*last);
        }
    }

    /// Forgets everything: the log has another life, in which positions mean something else.
    pub(super) fn begin_anew(&mut self, epoch: i32) {
        *self = Self::new(epoch, self.answers_max, self.moves_max);
    }

    fn keep(&mut self, question: &Q, made: Made<A>) {
        if self.young.len() >= self.answers_max && !self.young.contains_key(question) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question.clone(), made);
    }

    fn holds(&self, made: &Made<A>) -> bool {
        let stood_still =
            |stream: &StreamKey| self.moved.get(stream).is_none_or(|position| *position <= made.at);
        made.epoch == self.epoch && made.at >= self.floor && made.streams.iter().all(stood_still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stream(n: u128) -> StreamKey {
        (TenantId::new(Uuid::from_u128(1)), 21, Uuid::from_u128(n))
    }

    fn made(at: i64, streams: &[u128], answer: &'static str) -> Made<&'static str> {
        Made { epoch: 1, at, streams: streams.iter().map(|it| stream(*it)).collect(), answer: answer.into() }
    }

    fn memory() -> Memory<u8, &'static str> {
        Memory::new(1, 2, 3)
    }

    fn recalled(memory: &Memory<u8, &'static str>, question: u8) -> Option<&'static str> {
        memory.recall(&question).map(|(answer, _)| *answer)
    }

    #[test]
    fn an_answer_holds_until_one_of_its_streams_moves() {
        let mut memory = memory();
        assert!(memory.remember(&1, made(10, &[1, 2], "yes")));
        memory.note(12, [(stream(3), 12)]);
        memory.note(13, [(stream(2), 10)]);
        assert_eq!(recalled(&memory, 1), Some("yes"), "another stream, and a move that it knew");
        memory.note(14, [(stream(2), 14)]);
        assert_eq!(recalled(&memory, 1), None);
        assert!(memory.remember(&1, made(14, &[1, 2], "no")));
        assert_eq!(recalled(&memory, 1), Some("no"));
    }

    #[test]
    fn what_was_overtaken_while_it_was_made_is_not_kept() {
        let mut memory = memory();
        memory.note(11, [(stream(1), 11)]);
        assert!(!memory.remember(&1, made(10, &[1], "yes")));
        assert_eq!(recalled(&memory, 1), None);
        assert!(
            !memory.remember(&1, Made { epoch: 2, ..made(11, &[1], "yes") }),
            "of another life of the log"
        );
    }

    #[test]
    fn moves_that_are_told_out_of_order_count_by_their_position() {
        let mut memory = memory();
        memory.note(20, [(stream(1), 20), (stream(1), 15)]);
        assert!(!memory.remember(&1, made(19, &[1], "yes")));
    }

    #[test]
    fn when_moves_are_forgotten_so_are_the_answers() {
        let mut memory = memory();
        assert!(memory.remember(&1, made(10, &[9], "yes")));
        memory.note(13, (1..=3).map(|n| (stream(n), 10 + i64::try_from(n).unwrap())));
        assert_eq!(recalled(&memory, 1), Some("yes"));
        memory.note(14, [(stream(4), 14)]);
        assert_eq!(recalled(&memory, 1), None, "whether stream 9 moved is not known any more");
        assert!(memory.remember(&1, made(14, &[9], "yes")));
        assert!(memory.moved.len() <= 3);
    }

    #[test]
    fn another_epoch_forgets_everything() {
        let mut memory = memory();
        assert!(memory.remember(&1, made(10, &[1], "yes")));
        memory.begin_anew(2);
        assert_eq!((recalled(&memory, 1), memory.len()), (None, 0));
        assert!(memory.remember(&1, Made { epoch: 2, ..made(4, &[1], "yes") }));
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut memory = memory();
        for question in 1..=3 {
            assert!(memory.remember(&question, made(1, &[1], "yes")));
        }
        assert_eq!(memory.recall(&1).map(|it| it.1), Some(true), "soon forgotten");
        memory.touch(&1);
        assert!(memory.remember(&4, made(1, &[1], "yes")));
        assert_eq!(recalled(&memory, 1), Some("yes"));
        assert_eq!(recalled(&memory, 2), None);
        assert!(memory.len() <= 4);
    }
}
