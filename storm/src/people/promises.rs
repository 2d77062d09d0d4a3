//! What people were told, and what they could not know: the book that everything about them is compared with in the end.
//!
//! A fact that was acknowledged stands. What was asked for without an answer may have happened, or may still: such a thing is
//! [`State::Doubtful`] until something says which. Nothing here asks anybody.

use std::collections::BTreeMap;

use domain::ids::UserId;
use uuid::Uuid;

/// Entries of each list at most; whoever finds a list full begins nothing more.
const ENTRIES_MAX: usize = 50_000;
/// Used refresh tokens that a session remembers.
const SPENT_MAX: usize = 3;
/// Passwords that were good once and are remembered, of each person.
const FORMER_MAX: usize = 3;
/// Faults that are told in words.
const FAULTS_MAX: usize = 20;

/// What is known of something that can be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It was given, and nobody asked for its end.
    Live,
    /// Its end was asked for without an answer.
    Doubtful,
    /// Its end was acknowledged, or a process has refused it.
    Ended,
}

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose: the number of the person.
    pub person: usize,
    /// Its id.
    pub id: Uuid,
    /// The newest access token that was given out for it.
    pub access: String,
    /// The newest refresh token.
    pub refresh: String,
    /// Refresh tokens that were exchanged, the newest last.
    pub spent: Vec<String>,
    /// Whether it stands.
    pub state: State,
}

impl Session {
    /// Other tokens came for the one that was shown.
    pub fn renewed(&mut self, access: String, refresh: String) {
        let spent = std::mem::replace(&mut self.refresh, refresh);
        self.access = access;
        self.spent.push(spent);
        if self.spent.len() > SPENT_MAX {
            self.spent.remove(0);
        }
    }
}

/// An API key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// As it was shown; nothing if the answer that showed it was lost.
    pub text: Option<String>,
    /// Whether it stands.
    pub state: State,
}

/// What becomes of somebody in the storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Has API keys, and always the same roles.
    Keeper,
    /// Gets other roles again and again.
    Member,
    /// Is erased.
    Leaver,
    /// Was invited in the storm.
    Invited,
}

/// Somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// What becomes of them.
    pub part: Part,
    /// The passwords that can be theirs now, the newest first; more than one if an answer was lost.
    pub passwords: Vec<String>,
    /// Passwords that were theirs and are not any more.
    pub former: Vec<String>,
    /// The sets of roles that they can have now; more than one if an answer was lost.
    pub roles: Vec<Vec<String>>,
    /// Whether their erasure was certified.
    pub is_erased: bool,
}

impl Person {
    /// Somebody who was registered just now.
    #[must_use]
    pub fn new(user: UserId, email: String, part: Part, password: String, roles: &[&str]) -> Self {
        Self {
            user,
            email,
            part,
            passwords: vec![password],
            former: Vec::new(),
            roles: vec![sorted(roles.iter().map(|it| (*it).to_owned()).collect())],
            is_erased: false,
        }
    }

    /// It is known which password is theirs.
    pub fn has_password(&mut self, password: &str) {
        let others = std::mem::replace(&mut self.passwords, vec![password.to_owned()]);
        self.former.extend(others.into_iter().filter(|it| it != password));
        let surplus = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..surplus);
    }
}

/// Roles in the order in which they are compared.
#[must_use]
pub fn sorted(mut roles: Vec<String>) -> Vec<String> {
    roles.sort_unstable();
    roles
}

/// An invitation.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Who has come by it, as they were told.
    pub came: Option<UserId>,
}

/// Something that was acknowledged, as the log must have it: an event of this type on a stream of this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact {
    /// The type of the event.
    pub event_type: &'static str,
    /// The stream's id.
    pub stream: Uuid,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// Everybody, by number.
    pub people: Vec<Person>,
    /// Every session that anybody was given.
    pub sessions: Vec<Session>,
    /// Every API key.
    pub keys: Vec<Key>,
    /// Every invitation.
    pub invitations: Vec<Invitation>,
    /// Everything that was acknowledged and that one event records.
    pub facts: Vec<Fact>,
    /// Of each code of a device that was asked for: how often it was exchanged for tokens.
    pub codes: Vec<u32>,
    /// How often each act was acknowledged.
    pub told: BTreeMap<&'static str, u64>,
    /// How often the answer to each was lost.
    pub lost: BTreeMap<&'static str, u64>,
    /// What answers themselves showed to be wrong.
    pub faults: Vec<String>,
    /// How many of those there were.
    pub fault_count: u64,
}

impl Promises {
    /// Whether anything more can be kept in mind.
    #[must_use]
    pub fn has_room(&self) -> bool {
        [self.sessions.len(), self.keys.len(), self.invitations.len(), self.facts.len(), self.codes.len()]
            .into_iter()
            .all(|it| it < ENTRIES_MAX)
    }

    /// An act was acknowledged.
    pub fn told(&mut self, act: &'static str) {
        *self.told.entry(act).or_default() += 1;
    }

    /// An act was acknowledged that one event records.
    pub fn fact(&mut self, event_type: &'static str, stream: Uuid) {
        self.facts.push(Fact { event_type, stream });
    }

    /// The answer to an act was lost.
    pub fn lost(&mut self, act: &'static str) {
        *self.lost.entry(act).or_default() += 1;
    }

    /// How often the answer to an act was lost.
    #[must_use]
    pub fn lost_of(&self, act: &str) -> u64 {
        self.lost.get(act).copied().unwrap_or_default()
    }

    /// Everything that was acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.told.values().sum()
    }

    /// An answer that nobody should get.
    pub fn fault(&mut self, what: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }

    /// A process has refused a session, which is wrong if nobody asked for its end. Either way it is over.
    pub fn refused(&mut self, session: usize, told: &str) {
        let Some(it) = self.sessions.get_mut(session) else { return };
        let stood = std::mem::replace(&mut it.state, State::Ended) == State::Live;
        if stood {
            let id = it.id;
            self.fault(format!("session {id} stands and was refused: {told}"));
        }
    }

    /// All sessions of somebody get another state, but for one of them; those that are over stay so.
    pub fn others(&mut self, person: usize, except: usize, state: State) {
        for (at, it) in self.sessions.iter_mut().enumerate() {
            if it.person == person && at != except && it.state != State::Ended {
                it.state = state;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(person: usize) -> Session {
        let text = |it: &str| it.to_owned();
        Session {
            person,
            id: Uuid::from_u128(person as u128),
            access: text("a"),
            refresh: text("r0"),
            spent: Vec::new(),
            state: State::Live,
        }
    }

    #[test]
    fn a_session_remembers_the_newest_tokens_that_were_spent() {
        let mut it = session(0);
        for n in 1..6 {
            it.renewed("a".to_owned(), format!("r{n}"));
        }
        assert_eq!((it.refresh.as_str(), it.spent), ("r5", vec!["r2".into(), "r3".into(), "r4".into()]));
    }

    #[test]
    fn only_a_session_that_stands_is_refused_wrongly() {
        let mut book = Promises { sessions: vec![session(0), session(0), session(1)], ..Promises::default() };
        book.others(0, 1, State::Doubtful);
        let states: Vec<State> = book.sessions.iter().map(|it| it.state).collect();
        assert_eq!(states, [State::Doubtful, State::Live, State::Live]);
        book.refused(0, "401");
        assert_eq!((book.fault_count, book.sessions[0].state), (0, State::Ended));
        book.others(0, 1, State::Doubtful);
        assert_eq!(book.sessions[0].state, State::Ended, "nothing comes back");
        book.refused(2, "401");
        assert_eq!(book.fault_count, 1);
    }

    #[test]
    fn what_was_their_password_is_remembered_as_such() {
        let user = UserId::new(Uuid::nil());
        let mut it =
            Person::new(user, "a@example.com".into(), Part::Keeper, "one".into(), &["user", "admin"]);
        assert_eq!(it.roles, [["admin", "user"]]);
        it.passwords.insert(0, "two".into());
        it.has_password("two");
        assert_eq!((it.passwords, it.former), (vec!["two".to_owned()], vec!["one".to_owned()]));
    }
}
