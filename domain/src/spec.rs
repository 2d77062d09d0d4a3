//! Given, when, then: a log in memory for tests of the rules, here and in whole-system tests.
//!
//! It does what the executor does, without a database: loads what a decision needs, records first what is overdue, decides,
//! takes claims, folds. On the way it checks what every decision promises: that it says the same twice, that it asked
//! for every stream that its events touch, and that it is content after [`ROUNDS_MAX`] rounds.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::aggregate::Aggregate;
use crate::audit::{Day, Export};
use crate::decision::{Claim, Decision, ROUNDS_MAX, StateSource, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::identity::AccessToken;
use crate::ids::TenantId;
use crate::ledger::{Account, Book, Transfer};
use crate::organisation::Tenant;
use crate::stream::StreamId;

/// The tenant of a specification that names none.
pub const TENANT: TenantId = TenantId::new(Uuid::from_u128(0xa11ce));

type State = Box<dyn Any + Send + Sync>;

#[derive(Clone, Copy)]
struct Kind {
    empty: fn() -> State,
    evolve: fn(&mut State, Uuid, &Event),
}

fn kind<A: Aggregate>() -> Kind {
    Kind {
        empty: || Box::new(A::default()),
        evolve: |state, id, event| {
            if let Some(state) = state.downcast_mut::<A>() {
                state.evolve(id, event);
            }
        },
    }
}

/// One tenant's log, states and claims, in memory.
pub struct World {
    tenant: TenantId,
    kinds: HashMap<i16, Kind>,
    states: HashMap<StreamId, (i64, State)>,
    claims: BTreeMap<(String, String), StreamId>,
    log: Vec<Event>,
}

impl StateSource for World {
    fn find(&self, stream: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))> {
        self.states.get(&stream).map(|(version, state)| (*version, state.as_ref()))
    }
}

impl World {
    /// An empty world that knows every aggregate of this crate.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        let world = Self {
            tenant,
            kinds: HashMap::new(),
            states: HashMap::new(),
            claims: BTreeMap::new(),
            log: Vec::new(),
        };
        world
            .know::<Tenant>()
            .know::<AccessToken>()
            .know::<Account>()
            .know::<Transfer>()
            .know::<Book>()
            .know::<Day>()
            .know::<Export>()
    }

    /// Makes another aggregate known.
    #[must_use]
    pub fn know<A: Aggregate>(mut self) -> Self {
        self.kinds.insert(A::CATEGORY.code, kind::<A>());
        self
    }

    /// Everything that happened, in order.
    #[must_use]
    pub fn log(&self) -> &[Event] {
        &self.log
    }

    /// What happened on one stream.
    pub fn history(&self, stream: StreamId) -> impl Iterator<Item = &Event> {
        self.log.iter().filter(move |event| event.streams().contains(&stream))
    }

    /// The values claimed in a scope, in ascending order.
    #[must_use]
    pub fn claimed(&self, scope: &str) -> Vec<String> {
        self.claims.keys().filter(|(it, _)| it == scope).map(|(_, value)| value.clone()).collect()
    }

    /// The state of a stream; an aggregate's default, if it has no events.
    #[must_use]
    pub fn state<A: Aggregate>(&self, id: Uuid) -> A {
        let stream = StreamId::new(A::CATEGORY, id);
        let state = self.states.get(&stream).and_then(|(_, state)| state.downcast_ref::<A>());
        state.cloned().unwrap_or_default()
    }

    /// How many events a stream has.
    #[must_use]
    pub fn version(&self, stream: StreamId) -> i64 {
        self.states.get(&stream).map_or(0, |(version, _)| *version)
    }

    /// Appends an event as it is, to each of its streams.
    pub fn record(&mut self, event: impl Into<Event>) {
        let event = event.into();
        for stream in event.streams() {
            self.load(stream);
            let Some(kind) = self.kinds.get(&stream.category.code).copied() else { continue };
            if let Some((version, state)) = self.states.get_mut(&stream) {
                (kind.evolve)(state, stream.id, &event);
                *version += 1;
            }
        }
        self.log.push(event);
    }

    /// Runs a command at a moment: what is overdue first, then the command itself.
    ///
    /// # Errors
    /// Its refusal.
    ///
    /// # Panics
    /// If the decision breaks a promise that every decision makes.
    pub fn submit(&mut self, decision: &dyn Decision, now: DateTime<Utc>) -> Result<Verdict, Refusal> {
        loop {
            self.load_needed(decision, now);
            let before = self.log.len();
            for overdue in decision.overdue(&self.view(now)) {
                self.submit(&*overdue, now)?;
            }
            if self.log.len() == before {
                break;
            }
        }
        let needed = self.load_needed(decision, now);
        let judged = decision.decide(&self.view(now));
        let again = decision.decide(&self.view(now));
        assert_eq!(
            judged.as_ref().map(|verdict| &verdict.events),
            again.as_ref().map(|verdict| &verdict.events),
            "a decision says the same twice"
        );
        let verdict = judged?;
        self.claim(&verdict)?;
        for event in &verdict.events {
            for stream in event.streams() {
                assert!(needed.contains(&stream), "{stream} was changed but not asked for");
            }
            self.record(event.clone());
        }
        Ok(verdict)
    }

    fn view(&self, now: DateTime<Utc>) -> View<'_> {
        View::new(self.tenant, now, self)
    }

    fn load(&mut self, stream: StreamId) {
        if let Some(kind) = self.kinds.get(&stream.category.code) {
            self.states.entry(stream).or_insert_with(|| (0, (kind.empty)()));
        }
    }

    fn load_needed(&mut self, decision: &dyn Decision, now: DateTime<Utc>) -> Vec<StreamId> {
        for _ in 0..=ROUNDS_MAX {
            let needed = decision.needs(&self.view(now));
            let missing: Vec<_> =
                needed.iter().copied().filter(|stream| !self.states.contains_key(stream)).collect();
            if missing.is_empty() {
                return needed;
            }
            for stream in missing {
                self.load(stream);
                assert!(self.states.contains_key(&stream), "{stream} is of no known category");
            }
        }
        unreachable!("a decision is content after {ROUNDS_MAX} rounds")
    }

    fn claim(&mut self, verdict: &Verdict) -> Result<(), Refusal> {
        for claim in &verdict.claims {
            if let Claim::Take { scope, value, taken } = claim
                && self.claims.contains_key(&(scope.clone(), value.clone()))
            {
                return Err(taken.clone());
            }
        }
        for claim in &verdict.claims {
            match claim {
                Claim::Take { scope, value, .. } => {
                    self.claims.insert((scope.clone(), value.clone()), verdict.primary);
                }
                Claim::Release { scope, value } => {
                    self.claims.remove(&(scope.clone(), value.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Begins a specification with what happened.
#[must_use]
pub fn given<E: Into<Event>>(events: impl IntoIterator<Item = E>) -> Given {
    let mut given = given_nothing();
    for event in events {
        given.world.record(event);
    }
    given
}

/// Begins a specification in an empty world.
#[must_use]
pub fn given_nothing() -> Given {
    Given { world: World::new(TENANT), now: DateTime::UNIX_EPOCH }
}

/// What is so before the command.
pub struct Given {
    world: World,
    now: DateTime<Utc>,
}

impl Given {
    /// Sets the clock.
    #[must_use]
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.now = now;
        self
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn having(mut self, decision: impl Decision) -> Self {
        let judged = self.world.submit(&decision, self.now);
        assert!(judged.is_ok(), "given: {:?}", judged.err());
        self
    }

    /// The world as it is.
    #[must_use]
    pub fn world(self) -> World {
        self.world
    }

    /// Runs the command that the specification is about.
    #[must_use]
    pub fn when(mut self, decision: impl Decision) -> Judged {
        let before = self.world.log.len();
        let result = self.world.submit(&decision, self.now);
        Judged { before, result, world: self.world }
    }
}

/// What came of the command.
pub struct Judged {
    before: usize,
    result: Result<Verdict, Refusal>,
    world: World,
}

impl Judged {
    /// It succeeded with these events, those that were overdue among them.
    ///
    /// # Panics
    /// If it did not.
    pub fn then<E: Into<Event>>(self, events: impl IntoIterator<Item = E>) {
        assert!(self.result.is_ok(), "refused: {:?}", self.result.as_ref().err());
        let expected: Vec<Event> = events.into_iter().map(Into::into).collect();
        assert_eq!(self.events(), expected);
    }

    /// It succeeded without any event.
    ///
    /// # Panics
    /// If it did not.
    pub fn then_already(self) {
        self.then::<Event>([]);
    }

    /// It was refused with this code; the refusal is given for a closer look.
    ///
    /// # Panics
    /// If it was not.
    pub fn then_refused(self, code: &str) -> Refusal {
        match self.result {
            Err(refusal) => {
                assert_eq!(refusal.code, code, "{refusal:?}");
                refusal
            }
            Ok(verdict) => unreachable!("expected {code}, but it succeeded: {:?}", verdict.events),
        }
    }

    /// It was refused for exactly this.
    ///
    /// # Panics
    /// If it was not.
    pub fn then_refused_for(self, expected: impl Into<Refusal>) {
        let verdict = self.result.map(|verdict| verdict.events);
        assert_eq!(verdict, Err(expected.into()));
    }

    /// It succeeded; the verdict and the world after it are given for a closer look.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn then_accepted(self) -> (Verdict, World) {
        match self.result {
            Ok(verdict) => (verdict, self.world),
            Err(refusal) => unreachable!("refused: {refusal:?}"),
        }
    }

    /// What was recorded, even before a refusal.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.world.log.get(self.before..).unwrap_or_default()
    }
}
