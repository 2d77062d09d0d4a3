//! A log in memory that does what the executor does, without a database: it loads what a decision needs, records first what
//! is overdue, decides, takes claims, folds. On the way it checks what every decision promises: that it says the same twice,
//! that it asked for every stream that its events touch, and that it is content after [`ROUNDS_MAX`] rounds.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::aggregate::Aggregate;
use crate::application::{ApiKey, Consent, DeviceGrant, Inventory, Service};
use crate::audit::{Day, Export};
use crate::decision::{Claim, Decision, ROUNDS_MAX, StateSource, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::federation::{Link, Provider};
use crate::identity::{AccessToken, Factors, Session, SignInDay, User};
use crate::ids::TenantId;
use crate::ledger::{Account, Book, Transfer};
use crate::organisation::{Invitation, Membership, Policy, Profile, Role, Roster, Standing, Tenant};
use crate::platform::{Impersonation, Permissions, SigningKey};
use crate::stream::StreamId;

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

/// The aggregates of this crate: the one list that [`World::new`] is made from.
fn kinds() -> HashMap<i16, Kind> {
    fn entry<A: Aggregate>() -> (i16, Kind) {
        (A::CATEGORY.code, kind::<A>())
    }
    HashMap::from([
        entry::<Tenant>(),
        entry::<AccessToken>(),
        entry::<Standing>(),
        entry::<Policy>(),
        entry::<Profile>(),
        entry::<User>(),
        entry::<Session>(),
        entry::<SignInDay>(),
        entry::<Factors>(),
        entry::<Membership>(),
        entry::<Role>(),
        entry::<Roster>(),
        entry::<Invitation>(),
        entry::<Service>(),
        entry::<ApiKey>(),
        entry::<DeviceGrant>(),
        entry::<Consent>(),
        entry::<Inventory>(),
        entry::<Provider>(),
        entry::<Link>(),
        entry::<SigningKey>(),
        entry::<Permissions>(),
        entry::<Impersonation>(),
        entry::<Account>(),
        entry::<Transfer>(),
        entry::<Book>(),
        entry::<Day>(),
        entry::<Export>(),
    ])
}

/// The states and claims of one tenant.
#[derive(Default)]
struct Shelf {
    states: HashMap<StreamId, (i64, State)>,
    claims: BTreeMap<(String, String), StreamId>,
}

impl StateSource for Shelf {
    fn find(&self, stream: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))> {
        self.states.get(&stream).map(|(version, state)| (*version, state.as_ref()))
    }
}

/// A tenant of which nothing is known.
struct Bare;

impl StateSource for Bare {
    fn find(&self, _: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))> {
        None
    }
}

impl StateSource for World {
    fn find(&self, stream: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))> {
        self.shelves.get(&self.tenant)?.find(stream)
    }
}

/// The log of one tenant or of several, with states and claims, in memory.
pub struct World {
    tenant: TenantId,
    kinds: HashMap<i16, Kind>,
    shelves: HashMap<TenantId, Shelf>,
    log: Vec<Event>,
    told_in: Vec<TenantId>,
}

impl World {
    /// An empty world that knows every aggregate of this crate. Where no tenant is named, `tenant` is meant.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        let shelves = HashMap::from([(tenant, Shelf::default())]);
        Self { tenant, kinds: kinds(), shelves, log: Vec::new(), told_in: Vec::new() }
    }

    /// Makes another aggregate known.
    #[must_use]
    pub fn know<A: Aggregate>(mut self) -> Self {
        self.kinds.insert(A::CATEGORY.code, kind::<A>());
        self
    }

    /// Everything that happened, in order, whosever it is.
    #[must_use]
    pub fn log(&self) -> &[Event] {
        &self.log
    }

    /// What happened in one tenant's log, in order.
    pub fn log_of(&self, tenant: TenantId) -> impl Iterator<Item = &Event> {
        self.log.iter().zip(&self.told_in).filter(move |(_, it)| **it == tenant).map(|(event, _)| event)
    }

    /// What happened on one stream.
    pub fn history(&self, stream: StreamId) -> impl Iterator<Item = &Event> {
        self.log_of(self.tenant).filter(move |event| event.streams().contains(&stream))
    }

    /// The values claimed in a scope, in ascending order.
    #[must_use]
    pub fn claimed(&self, scope: &str) -> Vec<String> {
        self.claimed_in(self.tenant, scope)
    }

    /// The values that a tenant's streams have claimed in a scope, in ascending order.
    #[must_use]
    pub fn claimed_in(&self, tenant: TenantId, scope: &str) -> Vec<String> {
        let claims = self.shelves.get(&tenant).into_iter().flat_map(|it| it.claims.keys());
        claims.filter(|(it, _)| it == scope).map(|(_, value)| value.clone()).collect()
    }

    /// The state of a stream; an aggregate's default, if it has no events.
    #[must_use]
    pub fn state<A: Aggregate>(&self, id: Uuid) -> A {
        self.state_in(self.tenant, id)
    }

    /// The state of a tenant's stream, likewise.
    #[must_use]
    pub fn state_in<A: Aggregate>(&self, tenant: TenantId, id: Uuid) -> A {
        let found = self.shelves.get(&tenant).and_then(|it| it.find(StreamId::new(A::CATEGORY, id)));
        found.and_then(|(_, state)| state.downcast_ref::<A>()).cloned().unwrap_or_default()
    }

    /// How many events a stream has.
    #[must_use]
    pub fn version(&self, stream: StreamId) -> i64 {
        let found = self.shelves.get(&self.tenant).and_then(|it| it.find(stream));
        found.map_or(0, |(version, _)| version)
    }

    /// Appends an event as it is, to each of its streams.
    pub fn record(&mut self, event: impl Into<Event>) {
        self.record_in(self.tenant, event);
    }

    /// Appends an event to a tenant's log, likewise.
    pub fn record_in(&mut self, tenant: TenantId, event: impl Into<Event>) {
        let event = event.into();
        for stream in event.streams() {
            self.load(tenant, stream);
            let Some(kind) = self.kinds.get(&stream.category.code) else { continue };
            let shelf = self.shelves.entry(tenant).or_default();
            if let Some((version, state)) = shelf.states.get_mut(&stream) {
                (kind.evolve)(state, stream.id, &event);
                *version += 1;
            }
        }
        self.log.push(event);
        self.told_in.push(tenant);
    }

    /// Runs a command at a moment: what is overdue first, then the command itself.
    ///
    /// # Errors
    /// Its refusal.
    ///
    /// # Panics
    /// If the decision breaks a promise that every decision makes.
    pub fn submit(&mut self, decision: &dyn Decision, now: DateTime<Utc>) -> Result<Verdict, Refusal> {
        self.submit_in(self.tenant, decision, now)
    }

    /// Runs a command about a tenant's streams, likewise.
    ///
    /// # Errors
    /// Its refusal.
    ///
    /// # Panics
    /// If the decision breaks a promise that every decision makes.
    pub fn submit_in(
        &mut self,
        tenant: TenantId,
        decision: &dyn Decision,
        now: DateTime<Utc>,
    ) -> Result<Verdict, Refusal> {
        loop {
            self.load_needed(tenant, decision, now);
            let before = self.log.len();
            for overdue in decision.overdue(&self.view(tenant, now)) {
                self.submit_in(tenant, &*overdue, now)?;
            }
            if self.log.len() == before {
                break;
            }
        }
        let needed = self.load_needed(tenant, decision, now);
        let judged = decision.decide(&self.view(tenant, now));
        let again = decision.decide(&self.view(tenant, now));
        assert_eq!(
            judged.as_ref().map(|verdict| &verdict.events),
            again.as_ref().map(|verdict| &verdict.events),
            "a decision says the same twice"
        );
        let verdict = judged?;
        self.claim(tenant, &verdict)?;
        let subjects = decision.subjects();
        for event in &verdict.events {
            for stream in event.streams() {
                assert!(needed.contains(&stream), "{stream} was changed but not asked for");
            }
            for (path, private) in event.clone().privates() {
                assert!(subjects.contains(&private.subject()), "nobody said whom {path} is about");
            }
            self.record_in(tenant, event.clone());
        }
        Ok(verdict)
    }

    fn view(&self, tenant: TenantId, now: DateTime<Utc>) -> View<'_> {
        match self.shelves.get(&tenant) {
            Some(shelf) => View::new(tenant, now, shelf),
            None => View::new(tenant, now, &Bare),
        }
    }

    fn load(&mut self, tenant: TenantId, stream: StreamId) {
        if let Some(kind) = self.kinds.get(&stream.category.code) {
            let shelf = self.shelves.entry(tenant).or_default();
            shelf.states.entry(stream).or_insert_with(|| (0, (kind.empty)()));
        }
    }

    fn loaded(&self, tenant: TenantId) -> usize {
        self.shelves.get(&tenant).map_or(0, |shelf| shelf.states.len())
    }

    fn load_needed(
        &mut self,
        tenant: TenantId,
        decision: &dyn Decision,
        now: DateTime<Utc>,
    ) -> Vec<StreamId> {
        for _ in 0..=ROUNDS_MAX {
            let needed = decision.needs(&self.view(tenant, now));
            let before = self.loaded(tenant);
            for stream in &needed {
                assert!(self.kinds.contains_key(&stream.category.code), "{stream} is of no known category");
                self.load(tenant, *stream);
            }
            if self.loaded(tenant) == before {
                return needed;
            }
        }
        unreachable!("a decision is content after {ROUNDS_MAX} rounds")
    }

    fn claim(&mut self, tenant: TenantId, verdict: &Verdict) -> Result<(), Refusal> {
        let claims = &mut self.shelves.entry(tenant).or_default().claims;
        // As in the store: what is given up can be taken again at once, and a refusal leaves everything as it was.
        let mut after = claims.clone();
        for claim in &verdict.claims {
            if let Claim::Release { scope, value } = claim {
                after.remove(&(scope.clone(), value.clone()));
            }
        }
        for claim in &verdict.claims {
            if let Claim::Take { scope, value, taken } = claim {
                let held = after.insert((scope.clone(), value.clone()), verdict.primary);
                if held.is_some() {
                    return Err(taken.clone());
                }
            }
        }
        *claims = after;
        Ok(())
    }
}
