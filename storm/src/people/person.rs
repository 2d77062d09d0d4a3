//! One person's day: signing in, going on, signing out, another password, ending what other windows hold, keys for programs.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::person::SignedIn;
use tests::stack::Answer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::promises::{Key, Part, Session, State};
use super::{People, SLUG, STILL_POSSIBLE, TRIES, password};

/// Sessions that somebody uses at once.
const WINDOWS_MAX: usize = 4;
/// Keys that somebody keeps.
const KEYS_MAX: usize = 4;

/// Somebody at work.
struct Living {
    people: Arc<People>,
    number: usize,
    part: Part,
    rng: Rng,
    /// Sessions in use: their numbers in the book.
    windows: Vec<usize>,
    /// Keys in use: the same.
    keys: Vec<usize>,
    /// Until then, something that was asked for may still end whatever they have.
    doubtful_until: Instant,
    /// From then on, a password whose change was asked for without an answer is theirs or will never be.
    password_known_at: Instant,
}

/// Lives until told to stop.
///
/// # Errors
/// If an answer that says that all is well is none.
pub(super) async fn live(
    people: Arc<People>,
    number: usize,
    rng: Rng,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let part = people.book().people.get(number).map_or(Part::Member, |it| it.part);
    let now = Instant::now();
    let mut living = Living {
        people,
        number,
        part,
        rng,
        windows: Vec::new(),
        keys: Vec::new(),
        doubtful_until: now,
        password_known_at: now,
    };
    while !stop.is_cancelled() && living.people.book().has_room() {
        living.act().await?;
        let pause = Duration::from_millis(living.rng.u64(200..700));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

impl Living {
    async fn act(&mut self) -> anyhow::Result<()> {
        let choice = self.rng.u8(0..100);
        let Some(window) = self.rng.choice(&self.windows).copied() else { return self.sign_in().await };
        match choice {
            0..18 if self.windows.len() < WINDOWS_MAX => self.sign_in().await,
            0..45 => self.refresh(window).await,
            45..54 => self.refresh_twice(window).await,
            54..64 => self.sign_out(window).await,
            64..72 => self.change_password(window).await,
            72..78 => self.end_others(window).await,
            _ if self.part == Part::Keeper => self.keys(window).await,
            _ => self.refresh(window).await,
        }
    }

    /// What is given out now can be taken away by what was asked for before.
    fn new_state(&self) -> State {
        if Instant::now() < self.doubtful_until { State::Doubtful } else { State::Live }
    }

    async fn sign_in(&mut self) -> anyhow::Result<()> {
        let Some(person) = self.people.book().people.get(self.number).cloned() else { return Ok(()) };
        let (api, is_known) = (self.rng.usize(0..2), Instant::now() >= self.password_known_at);
        for candidate in &person.passwords {
            let body = json!({ "tenant_slug": SLUG, "email": person.email, "password": candidate });
            let request = self.people.at(api, Method::POST, "", "/v1/auth/login").json(&body);
            let Some(told) = self.people.ask("sign-in", request).await else { return Ok(()) };
            if told.status == StatusCode::OK {
                self.opened(&told, candidate, is_known)?;
                return Ok(());
            }
            if told.status != StatusCode::UNAUTHORIZED || person.passwords.len() == 1 {
                self.people.book().fault(format!("{} cannot sign in: {}", person.user, told.text));
                return Ok(());
            }
        }
        Ok(())
    }

    fn opened(&mut self, told: &Answer, password: &str, is_known: bool) -> anyhow::Result<()> {
        let tokens = SignedIn::of(told)?;
        let (id, state) = (tokens.session()?.uuid(), self.new_state());
        let mut book = self.people.book();
        book.told("sign-in");
        book.fact("identity.session-started", id);
        self.windows.push(book.sessions.len());
        book.sessions.push(Session {
            person: self.number,
            id,
            access: tokens.access,
            refresh: tokens.refresh,
            spent: Vec::new(),
            state,
        });
        // The newest one is theirs: what was asked for has happened. An older one that still opens says nothing, as long
        // as it can happen any moment.
        if let Some(person) = book.people.get_mut(self.number)
            && (is_known || person.passwords.first().is_some_and(|it| it == password))
        {
            person.has_password(password);
        }
        Ok(())
    }

    fn forget(&mut self, window: usize) {
        self.windows.retain(|it| *it != window);
    }

    fn session(&self, window: usize) -> Option<Session> {
        self.people.book().sessions.get(window).cloned()
    }

    fn change(&self, window: usize, change: impl FnOnce(&mut Session)) {
        if let Some(it) = self.people.book().sessions.get_mut(window) {
            change(it);
        }
    }

    /// A process does not take a session any more.
    fn refused(&mut self, window: usize, told: &Answer) {
        self.people.book().refused(window, &format!("{} {}", told.status, told.text));
        self.forget(window);
    }

    fn shows(&self, api: usize, token: &str) -> reqwest::RequestBuilder {
        let request = self.people.at(api, Method::POST, "", "/v1/auth/refresh");
        request.json(&json!({ "refresh_token": token }))
    }

    /// Exchanges a refresh token as clients do: whoever has no answer shows the same one again.
    async fn refresh(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let first = self.rng.usize(0..2);
        for attempt in 0..TRIES as usize {
            let request = self.shows(first + attempt, &session.refresh);
            match self.people.ask("refresh", request).await {
                Some(told) => return self.exchanged(window, &told),
                // It may be used now, and a request on its way may use it later.
                None => self.change(window, |it| it.state = it.state.max(State::Doubtful)),
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(50..400))).await;
        }
        self.forget(window);
        Ok(())
    }

    fn exchanged(&mut self, window: usize, told: &Answer) -> anyhow::Result<()> {
        match told.status {
            StatusCode::OK => {
                let tokens = SignedIn::of(told)?;
                self.people.book().told("refresh");
                self.change(window, |it| it.renewed(tokens.access, tokens.refresh));
            }
            StatusCode::UNAUTHORIZED => self.refused(window, told),
            other => self.people.book().fault(format!("a refresh was answered with {other}: {}", told.text)),
        }
        Ok(())
    }

    /// Two show one token at the same moment, at two processes: one of them has stolen it.
    async fn refresh_twice(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let (one, other) = tokio::join!(
            self.people.ask("refresh-twice", self.shows(0, &session.refresh)),
            self.people.ask("refresh-twice", self.shows(1, &session.refresh))
        );
        let answers: Vec<Answer> = [one, other].into_iter().flatten().collect();
        let good: Vec<&Answer> = answers.iter().filter(|it| it.status == StatusCode::OK).collect();
        let refused = answers.iter().any(|it| it.status == StatusCode::UNAUTHORIZED);
        let mut book = self.people.book();
        if good.len() > 1 {
            book.fault(format!("a refresh token of session {} was good twice", session.id));
        }
        if good.is_empty() && answers.len() == 2 && session.state == State::Live {
            book.fault(format!("a good refresh token of session {} was good for nobody", session.id));
        }
        if refused {
            book.told("reuse");
        }
        drop(book);
        if let Some(told) = good.first() {
            let tokens = SignedIn::of(told)?;
            self.change(window, |it| it.renewed(tokens.access, tokens.refresh));
        }
        // Whoever was told that it is no good has ended it for both.
        let state = if refused { State::Ended } else { State::Doubtful };
        self.change(window, |it| it.state = it.state.max(state));
        if refused || good.is_empty() {
            self.forget(window);
        }
        Ok(())
    }

    async fn sign_out(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        self.forget(window);
        let first = self.rng.usize(0..2);
        for attempt in 0..TRIES as usize {
            let request = self.people.at(first + attempt, Method::POST, "", "/v1/auth/logout");
            let request = request.json(&json!({ "refresh_token": session.refresh }));
            if let Some(told) = self.people.ask("sign-out", request).await {
                let mut book = self.people.book();
                if told.status != StatusCode::NO_CONTENT {
                    book.fault(format!("signing out was answered with {} {}", told.status, told.text));
                    return Ok(());
                }
                book.told("sign-out");
                if session.state == State::Live {
                    book.fact("identity.session-ended", session.id);
                }
                drop(book);
                self.change(window, |it| it.state = State::Ended);
                return Ok(());
            }
            self.change(window, |it| it.state = it.state.max(State::Doubtful));
        }
        Ok(())
    }

    async fn change_password(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let Some(person) = self.people.book().people.get(self.number).cloned() else { return Ok(()) };
        // Whoever does not know which one is theirs finds out by signing in.
        let [current] = person.passwords.as_slice() else { return self.sign_in().await };
        let (new, ends_others) = (password(), self.rng.bool());
        let body = json!({ "current": current, "new": new, "end_others": ends_others });
        let api = self.rng.usize(0..2);
        let request =
            self.people.at(api, Method::POST, &session.access, "/v1/auth/password/change").json(&body);
        let told = self.people.ask("password", request).await;
        let mut book = self.people.book();
        let number = self.number;
        match &told {
            None => {
                if let Some(it) = book.people.get_mut(number) {
                    it.passwords.insert(0, new);
                }
                self.password_known_at = Instant::now() + STILL_POSSIBLE;
                if ends_others {
                    book.others(number, window, State::Doubtful);
                    self.doubtful_until = Instant::now() + STILL_POSSIBLE;
                }
            }
            Some(told) if told.status == StatusCode::NO_CONTENT => {
                book.told("password");
                book.fact("identity.password-changed", person.user.uuid());
                if let Some(it) = book.people.get_mut(number) {
                    it.passwords.insert(0, new.clone());
                    it.has_password(&new);
                }
                if ends_others {
                    book.others(number, window, State::Ended);
                    self.windows.retain(|it| *it == window);
                }
            }
            Some(told) if told.status == StatusCode::UNAUTHORIZED && told.code().starts_with("auth.") => {
                drop(book);
                self.refused(window, told);
            }
            Some(told) => {
                book.fault(format!("a password could not be changed: {} {}", told.status, told.text))
            }
        }
        Ok(())
    }

    async fn end_others(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let path = "/v1/auth/sessions?keep=current";
        let request = self.people.at(self.rng.usize(0..2), Method::DELETE, &session.access, path);
        let told = self.people.ask("end-others", request).await;
        let mut book = self.people.book();
        match &told {
            None => {
                book.others(self.number, window, State::Doubtful);
                self.doubtful_until = Instant::now() + STILL_POSSIBLE;
            }
            Some(told) if told.status == StatusCode::OK => {
                book.told("end-others");
                book.others(self.number, window, State::Ended);
                self.windows.retain(|it| *it == window);
            }
            Some(told) if told.status == StatusCode::UNAUTHORIZED => {
                drop(book);
                self.refused(window, told);
            }
            Some(told) => book.fault(format!("other sessions were not ended: {} {}", told.status, told.text)),
        }
        Ok(())
    }

    async fn keys(&mut self, window: usize) -> anyhow::Result<()> {
        let oldest = self.keys.first().copied().filter(|_| self.keys.len() >= KEYS_MAX || self.rng.bool());
        match oldest {
            Some(key) => self.revoke_key(window, key).await,
            None => self.make_key(window).await,
        }
    }

    async fn make_key(&mut self, window: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let body =
            json!({ "name": "storm", "permissions": ["ledger.read-accounts", "ledger.post-transfer"] });
        let people = Arc::clone(&self.people);
        let request = |api| people.at(api, Method::POST, &session.access, "/v1/api-keys").json(&body);
        let told = people.ask_again("key", &mut self.rng, request).await;
        let Some(told) = told else { return Ok(()) };
        if told.status == StatusCode::UNAUTHORIZED {
            self.refused(window, &told);
            return Ok(());
        }
        let mut book = people.book();
        let id =
            told.json.get("id").and_then(serde_json::Value::as_str).and_then(|it| Uuid::parse_str(it).ok());
        let Some(id) = id.filter(|_| told.status == StatusCode::CREATED) else {
            book.fault(format!("a key was not made: {} {}", told.status, told.text));
            return Ok(());
        };
        book.told("key");
        book.fact("application.api-key-issued", id);
        self.keys.push(book.keys.len());
        let text = told.json.get("key").and_then(serde_json::Value::as_str).map(str::to_owned);
        book.keys.push(Key { id, text, state: State::Live });
        Ok(())
    }

    async fn revoke_key(&mut self, window: usize, key: usize) -> anyhow::Result<()> {
        let Some(session) = self.session(window) else { return Ok(()) };
        let Some(id) = self.people.book().keys.get(key).map(|it| it.id) else { return Ok(()) };
        let (people, path) = (Arc::clone(&self.people), format!("/v1/api-keys/{id}/revoke"));
        let request = |api| people.at(api, Method::POST, &session.access, &path).json(&Value::Null);
        let told = people.ask_again("key-revoked", &mut self.rng, request).await;
        if told.as_ref().is_some_and(|it| it.status == StatusCode::UNAUTHORIZED) {
            told.iter().for_each(|it| self.refused(window, it));
            return Ok(());
        }
        self.keys.retain(|it| *it != key);
        let mut book = people.book();
        let state = match &told {
            None => State::Doubtful,
            Some(told) if told.status == StatusCode::OK => {
                book.told("key-revoked");
                book.fact("application.api-key-revoked", id);
                State::Ended
            }
            Some(told) => {
                book.fault(format!("key {id} was not revoked: {} {}", told.status, told.text));
                State::Doubtful
            }
        };
        if let Some(it) = book.keys.get_mut(key) {
            it.state = state;
        }
        Ok(())
    }
}
