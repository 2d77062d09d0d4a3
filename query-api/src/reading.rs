//! One read: the conditions of the request, the wait, the snapshot, and what its answer is exact for.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::metadata;
use event_schemas::envelope::LogPosition;
use read_models::progress::{self, Served, Touch};
use read_models::{Asked, ListError, TenantTx};
use sabotage::Guard;
use service_kit::problem::{CodeDoc, Problem, code};

use crate::app::App;

/// Says how far in the log an answer is exact, and in a request how far it must be.
pub(crate) const QUIPU_POSITION: HeaderName = HeaderName::from_static("quipu-position");

/// What a request demands of its answer: how new it must be, and which content it has already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) at_least: Option<LogPosition>,
    /// What the answer is asked to be as of: unlike a position that a command answered with, nobody promised that it is there.
    pub(crate) as_of: Option<LogPosition>,
    pub(crate) known_tags: Vec<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let malformed = || Problem::new(&code::POSITION_MALFORMED, "");
        let mut positions = parts.headers.get_all(QUIPU_POSITION).iter();
        let at_least = match (positions.next(), positions.next()) {
            (None, _) => None,
            (Some(one), None) => {
                let text = one.to_str().map_err(|_| malformed())?;
                Some(text.trim().parse::<LogPosition>().map_err(|_| malformed())?)
            }
            (Some(_), Some(_)) => return Err(malformed()),
        };
        let known_tags = parts.headers.get_all(header::IF_NONE_MATCH).iter();
        let known_tags = known_tags.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
        let known_tags = known_tags.map(|it| it.trim().trim_start_matches("W/").to_owned()).collect();
        Ok(Self { at_least, as_of: None, known_tags })
    }
}

impl Conditions {
    /// The same, and the answer must reach this position too.
    pub(crate) fn reaching(mut self, position: LogPosition) -> Result<Self, Problem> {
        match self.at_least {
            Some(known) if known.epoch != position.epoch => {
                return Err(Problem::new(&code::EPOCH_CHANGED, ""));
            }
            Some(known) => self.at_least = Some(known.max(position)),
            None => self.at_least = Some(position),
        }
        Ok(self)
    }

    /// The same, and the answer is as of this position, which must have come.
    pub(crate) fn exactly_at(self, position: LogPosition) -> Result<Self, Problem> {
        let as_of = self.as_of.max(Some(position));
        Ok(Self { as_of, ..self.reaching(position)? })
    }
}

/// An open snapshot of one tenant.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) tx: TenantTx,
    pub(crate) served: Served,
}

impl Reading {
    /// How far the answer is exact.
    pub(crate) fn position(&self) -> LogPosition {
        position_of(&self.served)
    }

    /// Nothing of this tenant is there: the same answer whether it is nobody's or somebody else's.
    pub(crate) fn not_found(&self) -> Problem {
        Problem::new(&code::NOT_FOUND, "").header(QUIPU_POSITION, position_header(self.position()))
    }
}

fn position_of(served: &Served) -> LogPosition {
    LogPosition { epoch: served.epoch, position: served.position }
}

pub(crate) fn position_header(position: LogPosition) -> HeaderValue {
    // Two numbers and a dash are always a header.
    HeaderValue::try_from(position.to_string()).unwrap_or_else(|_| HeaderValue::from_static("0-0"))
}

impl App {
    /// Opens a snapshot that is as new as the request demands.
    pub(crate) async fn read(
        &self,
        tenant: TenantId,
        conditions: &Conditions,
        touches: &[Touch],
    ) -> Result<Reading, Problem> {
        let Some(wanted) = conditions.at_least else { return self.open(tenant, touches).await };
        let had = touches.is_empty() || self.watcher.had(touches, wanted);
        if !had {
            self.watcher.until(touches, wanted).await;
        }
        let mut reading = self.open(tenant, touches).await?;
        if had && reading.served.reached < wanted.position && reading.served.epoch == wanted.epoch {
            // It had come so far and does not stand there any more; or, without a model, the log itself is awaited.
            reading.tx.end().await?;
            self.watcher.until(touches, wanted).await;
            reading = self.open(tenant, touches).await?;
        }
        if sabotage::stands(Guard::ReadPosition) {
            demand(&reading.served, wanted, conditions.as_of)?;
        }
        Ok(reading)
    }

    async fn open(&self, tenant: TenantId, touches: &[Touch]) -> Result<Reading, Problem> {
        let mut tx = TenantTx::begin(&self.pool, tenant, touches).await?;
        let served = progress::served(&mut tx, touches).await?;
        Ok(Reading { tx, served })
    }

    /// Opens a snapshot for a stream that is to begin behind a position of this life of the log. Behind one that has not come,
    /// all that comes until then would be passed over in silence; the log is waited for, since a standby may not have yet
    /// what a command has answered with.
    pub(crate) async fn read_behind(
        &self,
        tenant: TenantId,
        conditions: &Conditions,
        touches: &[Touch],
        behind: Option<LogPosition>,
    ) -> Result<Reading, Problem> {
        let mut reading = self.read(tenant, conditions, touches).await?;
        let Some(behind) = behind else { return Ok(reading) };
        if behind.epoch == reading.served.epoch && behind.position > reading.served.head {
            reading.tx.end().await?;
            self.watcher.until(&[], behind).await;
            reading = self.read(tenant, conditions, touches).await?;
        }
        if behind.epoch != reading.served.epoch {
            return Err(Problem::new(&code::EPOCH_CHANGED, ""));
        }
        if behind.position > reading.served.head {
            return Err(not_come(&reading.served));
        }
        Ok(reading)
    }

    /// Opens a snapshot in which everything is that had been recorded up to a moment when the request came.
    pub(crate) async fn read_as_of(
        &self,
        tenant: TenantId,
        conditions: &Conditions,
        touches: &[Touch],
        moment: DateTime<Utc>,
    ) -> Result<Reading, Problem> {
        if moment > Utc::now() {
            return Err(Problem::new(&code::TIME_IN_FUTURE, ""));
        }
        let reading = self.read(tenant, conditions, touches).await?;
        if reading.served.parked.is_some() {
            return Err(refuse(&reading.served, &code::MODEL_PARKED));
        }
        if reading.served.covers(moment) {
            return Ok(reading);
        }
        let head = LogPosition { epoch: reading.served.epoch, position: reading.served.head };
        reading.tx.end().await?;
        self.read(tenant, &conditions.clone().reaching(head)?, touches).await
    }
}

/// Refuses to answer with less than was demanded, and as of what the log has not come to.
fn demand(served: &Served, wanted: LogPosition, as_of: Option<LogPosition>) -> Result<(), Problem> {
    if served.epoch != wanted.epoch {
        return Err(refuse(served, &code::EPOCH_CHANGED));
    }
    if as_of.is_some_and(|it| it.position > served.head) {
        return Err(not_come(served));
    }
    if served.position >= wanted.position {
        return Ok(());
    }
    match served.parked {
        Some(parked) if parked <= wanted.position => Err(refuse(served, &code::MODEL_PARKED)),
        _ => Err(refuse(served, &code::PROJECTION_BEHIND)),
    }
}

/// The log has not come to a position that was named.
pub(crate) fn not_come(served: &Served) -> Problem {
    let newest = LogPosition { epoch: served.epoch, position: served.head };
    refuse(served, &code::VERSION_AHEAD).with("newest_position", newest.to_string())
}

fn refuse(served: &Served, doc: &CodeDoc) -> Problem {
    Problem::new(doc, "").header(QUIPU_POSITION, position_header(position_of(served)))
}

/// What HTTP says to a list that cannot be given.
pub(crate) fn listed(error: ListError) -> Problem {
    match error {
        ListError::Cursor(_) => Problem::new(&code::CURSOR_INVALID, ""),
        ListError::Database(error) => error.into(),
    }
}

/// How many rows a page has.
pub(crate) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(read_models::page::LIMIT_DEFAULT),
        Some(asked) if (1..=read_models::page::LIMIT_MAX).contains(&asked) => Ok(asked),
        Some(_) => Err(invalid("limit is 1 to 200")),
    }
}

/// Which page of a list is asked for, in which order.
pub(crate) fn asked<O: Default>(
    order: Option<O>,
    cursor: Option<String>,
    limited: Option<i64>,
) -> Result<Asked<O>, Problem> {
    Ok(Asked { order: order.unwrap_or_default(), cursor, limit: limit(limited)? })
}

/// A word to be searched for. What nobody sees in it was not meant, and would find nothing: it is refused, with its place.
pub(crate) fn searched(parameter: &'static str, text: String) -> Result<String, Problem> {
    match metadata::not_in_labels(&text) {
        Some(at) => {
            let problem = invalid(&format!("{parameter} holds a character that cannot be seen, at {at}"));
            Err(problem.with("parameter", parameter))
        }
        None => Ok(text),
    }
}

/// A parameter whose word is none of those that there are; they are named.
pub(crate) fn none_of<'a>(parameter: &'static str, words: impl IntoIterator<Item = &'a str>) -> Problem {
    let words: Vec<&str> = words.into_iter().collect();
    let words = words.join(", ");
    invalid(&format!("{parameter} is one of {words}")).with("parameter", parameter)
}

/// A parameter that cannot be what it is.
pub(crate) fn invalid(detail: &str) -> Problem {
    Problem::new(&code::INVALID_PARAMETER, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(position: i64, parked: Option<i64>) -> Served {
        let position = parked.map_or(position, |it| position.min(it - 1));
        let recorded_at = DateTime::<Utc>::MIN_UTC;
        Served { epoch: 2, position, reached: position, head: 90, recorded_at, parked }
    }

    #[test]
    fn a_word_with_something_unseen_in_it_is_refused() {
        for word in ["Customer", "", "M\u{fc}ller & S\u{f6}hne", "\u{645}\u{6cc}\u{200c}\u{62e}"] {
            assert_eq!(searched("name_prefix", word.to_owned()), Ok(word.to_owned()));
        }
        for word in ["Cus\u{200b}tomer", "\u{feff}C", "C\u{2060}", "C\u{202e}", "C\n", "C\u{ad}u"] {
            let refused = searched("name_prefix", word.to_owned()).unwrap_err();
            assert_eq!(refused.code(), "request.invalid-parameter", "{word:?}");
        }
    }

    #[test]
    fn what_was_demanded_is_given_or_refused() {
        let at = |epoch, position| LogPosition { epoch, position };
        assert_eq!(demand(&served(5, None), at(2, 5), None), Ok(()));
        assert_eq!(demand(&served(5, Some(4)), at(2, 3), None), Ok(()));
        assert_eq!(demand(&served(90, None), at(2, 90), Some(at(2, 90))), Ok(()));
        for (served, wanted, code) in [
            (served(5, None), at(1, 1), "read.epoch-changed"),
            (served(5, None), at(2, 6), "read.projection-behind"),
            (served(5, Some(4)), at(2, 4), "read.model-parked"),
        ] {
            let refused = demand(&served, wanted, None).unwrap_err();
            assert_eq!(refused.code(), code);
        }
        // A model can be behind what it is asked for; the log itself has come so far, or it has not.
        for (as_of, code) in [(at(2, 90), "read.projection-behind"), (at(2, 91), "read.version-ahead")] {
            assert_eq!(demand(&served(5, None), as_of, Some(as_of)).unwrap_err().code(), code);
        }
    }
}
