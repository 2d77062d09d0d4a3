//! From what a caller asks to a unit, and from its receipt to the answer: every command of a route is run by one of these.

use std::collections::HashSet;

use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use domain::ids::{SessionId, TenantId};
use domain::organisation::standing;
use domain::{Decision, Refusal, StreamId, Verdict, View};
use event_schemas::envelope::Origin;
use event_store::unit::{NOT_APPLIED, Placed};
use event_store::vault::VaultChange;
use event_store::{Cause, Done, IdempotencyKey, Linkage, SubmitError, Unit};
use serde::Serialize;
use service_kit::access::{Admitted, Caller};
use service_kit::body::Json;
use service_kit::permissions::PermissionDoc;
use service_kit::problem::Problem;
use service_kit::telemetry;

use super::{
    Accepted, BatchAnswer, ItemResult, POSITION, accepted, carried_out, item_result, mark, outcome_of,
    refusals, refused,
};
use crate::app::App;

/// Who asks, for the envelope of the events that follow. Staff who act in a person's place are the actor, and the person is
/// whom they act for.
pub(crate) fn cause(caller: &Caller) -> Cause {
    Cause {
        actor: caller.acts.unwrap_or(caller.actor),
        token: Some(caller.token_id),
        session: caller.session.map(SessionId::new),
        on_behalf_of: caller.acts.map(|_| caller.actor),
        correlation: caller.trace_id.uuid(),
        causation: None,
        trace: Some(caller.trace_id.to_string()),
        span: telemetry::current_span_id(),
        origin: Some(Origin { ip: Some(caller.ip.to_string()), user_agent: caller.user_agent.clone() }),
    }
}

/// Commands of which all happen or none does, and what changes in the vault if they do.
pub struct Together<const N: usize> {
    /// In order, each on what those before it did. The first is what the request is about.
    pub commands: [Box<dyn Decision>; N],
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

impl Together<1> {
    /// One command, and what changes in the vault if it happens.
    pub fn one(command: impl Decision + 'static, vault: impl IntoIterator<Item = VaultChange>) -> Self {
        Self { commands: [Box::new(command)], vault: vault.into_iter().collect() }
    }
}

/// A command in the caller's log and one in another organisation's, of which both happen or neither does.
pub struct Across {
    /// What the request is about, behind the gate.
    pub here: Box<dyn Decision>,
    /// The other organisation.
    pub there: TenantId,
    /// What follows in its log.
    pub then: Box<dyn Decision>,
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

/// Nothing to do: so that a gate can be asked by itself.
pub(crate) struct Nothing;

impl Decision for Nothing {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        Vec::new()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        Ok(Verdict::already(standing::stream(view.tenant)))
    }
}

/// A unit of one command, behind the gate of whoever asks.
fn unit_of_one(by: &impl Admitted, command: impl Decision + 'static) -> Unit {
    let caller = by.caller();
    Unit::of(caller.tenant, cause(caller), [by.gated(Box::new(command))])
}

/// A unit of commands of which all happen or none does, behind one gate.
fn unit_of_all<const N: usize>(by: &impl Admitted, together: Together<N>) -> Unit {
    let caller = by.caller();
    let mut commands = together.commands.into_iter();
    // What the first does may close the gate for whoever asked, such as leaving; it was open for all of them.
    let gated = commands.next().map(|command| by.gated(command));
    let commands = gated.into_iter().chain(commands);
    Unit::of(caller.tenant, cause(caller), commands).with_vault(together.vault)
}

/// A unit of a command behind the gate, and of one in another organisation's log.
fn unit_across(by: &impl Admitted, across: Across) -> Unit {
    let caller = by.caller();
    let mut unit = Unit::of(caller.tenant, cause(caller), [by.gated(across.here)]);
    unit.decisions.push(Placed { tenant: across.there, decision: across.then });
    unit.with_vault(across.vault)
}

impl App {
    /// Runs one command and answers it. `location` is where the thing can be read, without its id.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        expected: Option<(StreamId, i64)>,
        location: &str,
        command: impl Decision + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Unit { key, ..unit_of_one(by, command).expecting(expected) }, location).await
    }

    /// Runs a command that makes something new, whose id is the one of `minted` unless the caller gave another.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_new(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        minted: StreamId,
        location: &str,
        command: impl Decision + 'static,
    ) -> Result<Response, Problem> {
        self.answer(Unit { key, ..unit_of_one(by, command).minting(minted) }, location).await
    }

    /// Runs commands of which all happen or none does. The answer is about the first, or tells which was refused.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_together<const N: usize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        together: Together<N>,
    ) -> Result<Response, Problem> {
        self.run_expecting(by, key, None, location, together).await
    }

    /// The same, if a stream still has the version that what changes in the vault rests on.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_expecting<const N: usize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        expected: Option<(StreamId, i64)>,
        location: &str,
        together: Together<N>,
    ) -> Result<Response, Problem> {
        let unit = unit_of_all(by, together).expecting(expected);
        self.answer(Unit { key, ..unit }, location).await
    }

    /// Runs commands of which all happen or none does, behind one gate, after others that make room for them. The answer is
    /// about the first of `together`.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_after<const N: usize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        before: Vec<Box<dyn Decision>>,
        together: Together<N>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let mut commands = before.into_iter().chain(together.commands);
        let gated = commands.next().map(|command| by.gated(command));
        let unit = Unit::of(caller.tenant, cause(caller), gated.into_iter().chain(commands));
        let unit = Unit { key, ..unit.with_vault(together.vault) };
        self.answer_about(unit, N, location, None::<()>).await
    }

    /// Runs a command and what follows from it in another organisation's log. The answer is about the former.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_across(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        across: Across,
    ) -> Result<Response, Problem> {
        self.answer(Unit { key, ..unit_across(by, across) }, location).await
    }

    /// The same where the command here changes nothing and only admits what follows, which the answer is about.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_there(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        location: &str,
        across: Across,
    ) -> Result<Response, Problem> {
        self.answer_about(Unit { key, ..unit_across(by, across) }, 1, location, None::<()>).await
    }

    /// Runs a command about the caller's own organisation in the platform's log, which keeps the dossiers; and what follows
    /// from it in the organisation's own, which the answer is about: its event comes last, so the caller can read what stands
    /// at the position of the answer. The gate is asked in their log, before both.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_on_platform(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        expected: Option<(StreamId, i64)>,
        location: &str,
        command: impl Decision + 'static,
        follows: Together<1>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let Together { commands: [own], vault } = follows;
        let mut unit = Unit::of(caller.tenant, cause(caller), [by.gated(Box::new(Nothing))])
            .and(TenantId::PLATFORM, command);
        unit.decisions.push(Placed { tenant: caller.tenant, decision: own });
        let unit = Unit { key, ..unit.with_vault(vault).expecting(expected) };
        self.answer_about(unit, 1, location, None::<()>).await
    }

    /// Runs commands of which all happen or none does, the first of which makes something new. The answer shows what `shows`
    /// adds to it, once: a repeated request is answered without, since no secret is kept.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_showing<const N: usize, T: Serialize>(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        minted: StreamId,
        location: &str,
        together: Together<N>,
        shows: T,
    ) -> Result<Response, Problem> {
        let unit = Unit { key, ..unit_of_all(by, together).minting(minted) };
        let mut response = self.answer_showing(unit, location, Some(shows)).await?;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Runs commands in another organisation's log, behind the gate of the caller's own. All happen or none does; the answer is
    /// about the first.
    ///
    /// # Errors
    /// The refusal, or why there is no outcome.
    pub async fn run_elsewhere<const N: usize>(
        &self,
        by: &impl Admitted,
        there: TenantId,
        commands: [Box<dyn Decision>; N],
        vault: Vec<VaultChange>,
    ) -> Result<Accepted, Problem> {
        let caller = by.caller();
        let mut unit = Unit::of(caller.tenant, cause(caller), [by.gated(Box::new(Nothing))]);
        unit.decisions.extend(commands.map(|decision| Placed { tenant: there, decision }));
        let receipt = carried_out(&self.executor, unit.with_vault(vault)).await?;
        let position = receipt.position.to_string();
        let results: Result<Vec<Done>, Refusal> = receipt
            .results
            .into_iter()
            .filter(|it| !it.as_ref().is_err_and(|it| it.code == NOT_APPLIED))
            .collect();
        let header = HeaderValue::try_from(&position).map_err(|error| Problem::fault(&error))?;
        let results = results.map_err(|refusal| refused(refusal).header(POSITION, header))?;
        // The first is the gate's.
        let done = results.into_iter().nth(1).ok_or_else(|| Problem::fault(&SubmitError::Internal))?;
        Ok(Accepted { id: done.stream.id, version: done.version, position })
    }

    async fn answer(&self, unit: Unit, location: &str) -> Result<Response, Problem> {
        self.answer_showing(unit, location, None::<()>).await
    }

    async fn answer_showing<T: Serialize>(
        &self,
        unit: Unit,
        location: &str,
        shows: Option<T>,
    ) -> Result<Response, Problem> {
        let all = unit.decisions.len();
        self.answer_about(unit, all, location, shows).await
    }

    /// Answers what became of the first of the last `last` commands of a unit. They are counted from the end, since what
    /// made room for them the first time is not there any more when the request is repeated.
    async fn answer_about<T: Serialize>(
        &self,
        unit: Unit,
        last: usize,
        location: &str,
        shows: Option<T>,
    ) -> Result<Response, Problem> {
        let receipt = carried_out(&self.executor, unit).await?;
        let (position, shows) = (receipt.position, shows.filter(|_| !receipt.replayed));
        let mut response = match outcome_of(receipt.results, last) {
            Some(Ok(done)) => accepted(done, position, location, shows),
            Some(Err(refusal)) => refused(refusal).into_response(),
            None => Problem::fault(&SubmitError::Internal).into_response(),
        };
        mark(&mut response, position, receipt.replayed);
        Ok(response)
    }

    /// Runs the items of a batch, each behind the gate of its own permission, and answers them all.
    ///
    /// # Errors
    /// Why there is no outcome; refusals are in the answer.
    pub async fn run_batch(
        &self,
        by: &impl Admitted,
        key: Option<IdempotencyKey>,
        linkage: Linkage,
        minted: HashSet<StreamId>,
        commands: impl IntoIterator<Item = (&'static PermissionDoc, Box<dyn Decision>)>,
    ) -> Result<Response, Problem> {
        let caller = by.caller();
        let gated = commands.into_iter().map(|(permission, command)| by.gated_by(Some(permission), command));
        let unit = Unit { key, linkage, minted, ..Unit::of(caller.tenant, cause(caller), gated) };
        let receipt = carried_out(&self.executor, unit).await?;
        let results: Vec<ItemResult> = receipt.results.into_iter().map(item_result).collect();
        let refusals = refusals(&results);
        let answer = BatchAnswer { results, position: receipt.position.to_string() };
        let mut response = Json(answer).into_response();
        mark(&mut response, receipt.position, receipt.replayed);
        if let Some(refusals) = refusals {
            response.extensions_mut().insert(refusals);
        }
        Ok(response)
    }
}
