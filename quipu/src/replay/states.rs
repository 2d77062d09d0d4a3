//! The states of all streams, event by event, in bounded memory: what was not touched for long is dropped, and read again
//! from the log if it is wanted once more.

use std::collections::HashMap;

use domain::ids::TenantId;
use domain::{Event, StreamId};
use event_schemas::history::Replay;
use event_store::Recorded;
use event_store::log::{self, Direction, PAGE_MAX};
use sqlx::PgConnection;

/// States that are kept; the older half goes when there are more.
const KEPT_MAX: usize = 500_000;

/// Why an event does not lead to the states that it must.
#[derive(Debug)]
pub(super) struct Unfolded(pub(super) String);

type Key = (TenantId, StreamId);

struct Kept {
    replay: Replay,
    touched: i64,
}

/// The states so far.
#[derive(Default)]
pub(super) struct States {
    kept: HashMap<Key, Kept>,
    begun: u64,
}

impl States {
    /// How many streams there were.
    pub(super) fn streams(&self) -> u64 {
        self.begun
    }

    /// Applies an event to every stream that it belongs to.
    ///
    /// # Errors
    /// If the log cannot be read; inside, [`Unfolded`].
    pub(super) async fn fold(
        &mut self,
        conn: &mut PgConnection,
        recorded: &Recorded,
        event: &Event,
    ) -> anyhow::Result<Result<(), Unfolded>> {
        for stream in event.streams() {
            let own = stream == recorded.stream;
            let key = (recorded.tenant, stream);
            if !self.kept.contains_key(&key) {
                let Some(beginning) = Replay::begin(stream) else {
                    return Ok(Err(Unfolded(format!("no aggregate has the category of {stream}"))));
                };
                let before = if own && recorded.version == 1 {
                    Ok(beginning)
                } else {
                    before(conn, recorded, beginning, stream).await?
                };
                let replay = match before {
                    Ok(replay) => replay,
                    Err(unfolded) => return Ok(Err(unfolded)),
                };
                self.begun += u64::from(replay.version() == 0);
                self.kept.insert(key, Kept { replay, touched: recorded.position });
            }
            let Some(kept) = self.kept.get_mut(&key) else { continue };
            kept.touched = recorded.position;
            kept.replay.apply(event);
            if let Err(unfolded) = agrees(&kept.replay, recorded, event, own)? {
                return Ok(Err(unfolded));
            }
        }
        self.drop_old();
        Ok(Ok(()))
    }

    fn drop_old(&mut self) {
        if self.kept.len() <= KEPT_MAX {
            return;
        }
        let mut touched: Vec<i64> = self.kept.values().map(|it| it.touched).collect();
        let (_, middle, _) = touched.select_nth_unstable(KEPT_MAX / 2);
        let middle = *middle;
        self.kept.retain(|_, it| it.touched > middle);
    }
}

/// The state of a stream before an event: by its newest event then, if that carries it whole, else by all of them.
async fn before(
    conn: &mut PgConnection,
    recorded: &Recorded,
    beginning: Replay,
    stream: StreamId,
) -> anyhow::Result<Result<Replay, Unfolded>> {
    let links = log::streams_of(conn, recorded.position).await?;
    let here = links.iter().find(|(category, id, _)| *category == stream.category.code && *id == stream.id);
    let Some(&(_, _, version)) = here else {
        return Ok(Err(Unfolded(format!("it is not linked to {stream}"))));
    };
    let unreadable = |it: &Recorded| {
        Unfolded(format!("the event at {}, before it in {stream}, cannot be read", it.position))
    };
    if beginning.restorable() {
        let newest = log::stream(conn, recorded.tenant, stream, version, Direction::Backwards, 1).await?;
        let Some((version, newest)) = newest.into_iter().next() else { return Ok(Ok(beginning)) };
        let Ok(event) = newest.decode() else { return Ok(Err(unreadable(&newest))) };
        if let Some(replay) = beginning.restored(version, &event) {
            return Ok(Ok(replay));
        }
    }
    let mut replay = beginning;
    while replay.version() + 1 < version {
        let missing = (version - 1 - replay.version()).min(PAGE_MAX);
        let page = log::stream(conn, recorded.tenant, stream, replay.version(), Direction::Forwards, missing)
            .await?;
        if page.is_empty() {
            return Ok(Err(Unfolded(format!("{stream} has no version {}", replay.version() + 1))));
        }
        for (_, earlier) in page {
            let Ok(event) = earlier.decode() else { return Ok(Err(unreadable(&earlier))) };
            replay.apply(&event);
        }
    }
    Ok(Ok(replay))
}

/// Whether version and state are what the event itself says.
fn agrees(
    replay: &Replay,
    recorded: &Recorded,
    event: &Event,
    own: bool,
) -> anyhow::Result<Result<(), Unfolded>> {
    if own && replay.version() != recorded.version {
        let (found, expected) = (recorded.version, replay.version());
        return Ok(Err(Unfolded(format!("it is version {found} of its stream, and {expected} was to come"))));
    }
    if let Some(restored) = replay.restored(replay.version(), event)
        && restored.view()? != replay.view()?
    {
        return Ok(Err(Unfolded("the state that it carries is not the one that all events give".to_owned())));
    }
    Ok(Ok(()))
}
