//! Answers made from the log: the streams that a question needs, read as they are now.

use std::sync::Arc;

use chrono::Utc;
use domain::decision::ROUNDS_MAX;
use domain::{StreamId, View};
use sqlx::PgConnection;

use super::memory::{Made, StreamKey};
use super::{CATEGORIES, Question, Unknown};
use crate::epoch;
use crate::executor::Failure;
use crate::executor::load::{Unreadable, load};
use crate::executor::states::{Layers, Overlay, StateCache};
use crate::stream_ref::StreamRef;

/// States of one answer at most; a person has a handful of roles.
const STATES_MAX: usize = 1_000;

/// What an answer is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// To be kept, so its streams must be among those whose moves are seen.
    Kept,
    /// To be told once.
    Told,
}

/// Reads what the question needs, and answers it. The streams are read after the head, each at a time of its own: one
/// that moves meanwhile is seen moving by the tail, behind the position that the answer is remembered with.
pub(super) async fn make<Q: Question>(
    conn: &mut PgConnection,
    question: &Q,
    use_of_it: Use,
) -> Result<Made<Q::Answer>, Unknown> {
    let head = epoch::head(conn).await?;
    let tenant = question.tenant();
    let nothing = Overlay::default();
    let mut states = StateCache::new(STATES_MAX);
    let mut unreadable = Unreadable::new();
    let mut read: Vec<StreamRef> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let needs = with_view(question, &nothing, &states, |view| question.needs(view));
        let missing = missing(question, &read, needs);
        if use_of_it == Use::Kept
            && let Some(it) = missing.iter().find(|it| !CATEGORIES.contains(&it.stream.category.code))
        {
            return Err(Unknown::NotFollowed(it.stream));
        }
        if missing.is_empty() {
            break;
        }
        load(conn, &mut states, &mut unreadable, &missing, head.position).await.map_err(unknown)?;
        read.extend(missing);
    }
    if !unreadable.is_empty() {
        return Err(Unknown::NewerEvent);
    }
    let answer = with_view(question, &nothing, &states, |view| question.answer(view));
    let key = |it: &StreamRef| -> StreamKey { (tenant, it.stream.category.code, it.stream.id) };
    let streams = read.iter().map(key).collect();
    Ok(Made { epoch: head.epoch, at: head.position, streams, answer: Arc::new(answer) })
}

fn missing<Q: Question>(question: &Q, read: &[StreamRef], needs: Vec<StreamId>) -> Vec<StreamRef> {
    let mut missing: Vec<StreamRef> = Vec::new();
    for stream in needs {
        let stream = StreamRef { tenant: question.tenant(), stream };
        if !read.contains(&stream) && !missing.contains(&stream) {
            missing.push(stream);
        }
    }
    missing
}

fn with_view<Q: Question, T>(
    question: &Q,
    nothing: &Overlay,
    states: &StateCache,
    look: impl FnOnce(&View<'_>) -> T,
) -> T {
    let tenant = question.tenant();
    let layers = Layers { tenant, unit: nothing, batch: nothing, under_way: nothing, cache: states };
    look(&View::new(tenant, Utc::now(), &layers))
}

fn unknown(failure: Failure) -> Unknown {
    match failure {
        Failure::Database(error) => Unknown::Database(error),
        Failure::Stale | Failure::Constraint(_) | Failure::Lost | Failure::NotInMemory => Unknown::Lost,
    }
}
