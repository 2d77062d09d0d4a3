//! An attempt that holds the head: for when another process has written, or a key is repeated. Nothing can change between
//! lock and commit, so it cannot fail in the same way twice.

use std::time::Duration;

use domain::Refusal;
use sqlx::PgConnection;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::remembered::remembered;
use super::{
    Attempt, Attempted, Core, Failure, InDoubt, Landed, Lookup, Outcomes, Overlay, Plan, Planned,
    SubmitError, answers, appending, deciding, execute, in_time, plan_all, served,
};
use crate::epoch::Head;
use crate::executor::plan::{Draft, Trust};
use crate::keyring::MasterKey;
use crate::unit::Unit;

impl Core {
    /// Judges and appends while holding the head, so that nothing can change in between.
    pub(crate) async fn under_lock(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Attempt {
        let unsent = |failure| (failure, None);
        let asked = Instant::now();
        in_time(execute(conn, "begin")).await.map_err(unsent)?;
        match self.held(master, conn, units).await {
            Ok((attempted, in_doubt)) => match in_time(execute(conn, "commit")).instrument(appending()).await
            {
                Ok(()) => Ok(Attempted { append: asked.elapsed(), ..attempted }),
                Err(failure) => Err((failure, Some(in_doubt))),
            },
            Err(failure) => {
                self.cache.clear();
                if !matches!(failure, Failure::Lost) {
                    in_time(execute(conn, "rollback")).await.map_err(unsent)?;
                }
                Err((failure, None))
            }
        }
    }

    /// The part of [`Core::under_lock`] between begin and commit.
    async fn held(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Result<(Attempted, InDoubt), Failure> {
        let served = served(units);
        let asked = Instant::now();
        let head = in_time(hold_head(conn, &served)).await?;
        let waited = asked.elapsed();
        self.stand_at(&head);
        // Keys that were made but not stored may meanwhile exist: what is stored is looked up again.
        self.forget_new_keys();
        let replays = in_time(remembered(conn, &served, units)).await?;
        let fresh: Vec<&Unit> = units
            .iter()
            .zip(&replays)
            .filter(|(_, replay)| replay.is_none())
            .map(|(unit, _)| *unit)
            .collect();
        self.ensure_keys(master, conn, &fresh).await?;
        in_time(execute(conn, "savepoint unit")).await?;
        let (landed, events, planned, mut in_doubt) =
            match self.append_held(conn, &served, &fresh, None).await {
                Ok(done) => done,
                Err(Failure::Constraint(_) | Failure::Database(_)) => {
                    in_time(execute(conn, "rollback to savepoint unit")).await?;
                    self.cache.clear();
                    self.forget_keys();
                    self.singly(master, conn, &served, &fresh).await?
                }
                Err(failure) => return Err(failure),
            };
        let mut attempted = Attempted { waited, ..self.landed(landed, events, &planned) };
        let mut answered = attempted.outcomes.into_iter();
        attempted.outcomes = replays
            .into_iter()
            .map(|replay| {
                replay.map_or_else(
                    || answered.next().unwrap_or(Err(SubmitError::Internal)),
                    |replay| replay.into_outcome(self.epoch),
                )
            })
            .collect();
        in_doubt.units = attempted.outcomes.iter().cloned().map(Planned::Settled).collect();
        Ok((attempted, in_doubt))
    }

    /// Judges units on exact states and appends them as one batch.
    async fn append_held(
        &mut self,
        conn: &mut PgConnection,
        served: &[Uuid],
        units: &[&Unit],
        refusal: Option<&Refusal>,
    ) -> Result<(Landed, i32, Vec<Planned>, InDoubt), Failure> {
        let (now, after) = (self.now(), self.cache.known_to());
        let mut draft = Draft::new(now, self.epoch, after, Trust::Nothing);
        let nothing_under_way = Overlay::default();
        let mut plan = Plan::new(&mut draft, &mut self.cache, &nothing_under_way, &self.keys);
        match refusal {
            Some(refusal) => units.iter().for_each(|unit| plan.refuse(unit, refusal)),
            None => {
                plan_all(&mut plan, &mut Lookup::Database(conn), units).instrument(deciding()).await?;
            }
        }
        let (basis, guards) = self.basis(&mut draft);
        let landed = match in_time(draft.append.execute(conn, served, &basis, &guards)).await {
            Ok(landed) => landed,
            Err(Failure::Constraint(name))
                if name == "claims_pkey" && refusal.is_none() && units.len() == 1 =>
            {
                in_time(execute(conn, "rollback to savepoint unit")).await?;
                let taken = in_time(async { Ok(draft.append.taken(conn).await?) }).await?;
                let Some(taken) = taken else { return Err(Failure::Constraint(name)) };
                return Box::pin(self.append_held(conn, served, units, Some(&taken))).await;
            }
            Err(failure) => return Err(failure),
        };
        let in_doubt = InDoubt::of(served.to_vec(), &draft, after);
        let events = draft.append.events();
        let planned = draft.commit(&mut self.cache, landed.base);
        self.last_recorded = self.last_recorded.max(landed.recorded_at);
        self.new_keys.clear();
        Ok((landed, events, planned, in_doubt))
    }

    /// Appends units one by one, so that one whose data the database refuses does not take the others with it.
    async fn singly(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        units: &[&Unit],
    ) -> Result<(Landed, i32, Vec<Planned>, InDoubt), Failure> {
        let base = self.cache.known_to();
        let mut planned: Vec<Planned> = Vec::with_capacity(units.len());
        let mut events = 0;
        let mut in_doubt = InDoubt { served: served.to_vec(), event_id: None, after: base, units: vec![] };
        for unit in units {
            match self.one(master, conn, served, unit).await? {
                Ok((outcomes, more, doubt)) => {
                    events += more;
                    in_doubt.event_id = in_doubt.event_id.or(doubt.and_then(|it| it.event_id));
                    planned.extend(outcomes.into_iter().map(Planned::Settled));
                }
                Err(error) => planned.push(Planned::Settled(Err(error))),
            }
        }
        let landed = Landed { base, recorded_at: self.last_recorded, waited: Duration::ZERO };
        Ok((landed, events, planned, in_doubt))
    }

    /// Judges and appends one unit of several in the same transaction; what the database refuses is undone alone.
    async fn one(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        unit: &Unit,
    ) -> Result<Result<(Outcomes, i32, Option<InDoubt>), SubmitError>, Failure> {
        // An earlier unit of the same batch may have taken the key.
        let replay = in_time(remembered(conn, served, &[unit])).await?.pop().flatten();
        if let Some(replay) = replay {
            return Ok(Ok((vec![replay.into_outcome(self.epoch)], 0, None)));
        }
        in_time(execute(conn, "savepoint unit")).await?;
        self.ensure_keys(master, conn, &[unit]).await?;
        match self.append_held(conn, served, &[unit], None).await {
            Ok((landed, more, single, doubt)) => {
                in_time(execute(conn, "release savepoint unit")).await?;
                Ok(Ok((answers(&single, landed.base, self.epoch), more, Some(doubt))))
            }
            Err(Failure::Lost) => Err(Failure::Lost),
            Err(failure) => {
                tracing::error!(error = %failure, "a command cannot be stored");
                in_time(execute(conn, "rollback to savepoint unit")).await?;
                self.cache.clear();
                self.forget_keys();
                Ok(Err(SubmitError::Internal))
            }
        }
    }
}

/// Locks the head for the rest of the transaction and serves the tenants in it.
async fn hold_head(conn: &mut PgConnection, served: &[Uuid]) -> Result<Head, Failure> {
    Ok(sqlx::query_as!(
        Head,
        r#"select position as "position!", recorded_at as "recorded_at!", epoch as "epoch!" from store.hold_head($1)"#,
        served
    )
    .fetch_one(conn)
    .await?)
}
