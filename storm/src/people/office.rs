//! Those who run the organisation: they define roles, give them and take them away, and invite people.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::UserId;
use event_store::vault::{Letter, Mail};
use fastrand::Rng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use tests::stack::Answer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::promises::{Invitation, Part, Person, sorted};
use super::{People, STILL_POSSIBLE, family_name, given_name, password};

/// Roles of the organisation's own that stand at once.
const ROLES_MAX: usize = 6;
/// People who come by invitation, over all of a storm.
const GUESTS_MAX: usize = 60;
/// How often a letter is looked for.
const LOOKS_MAX: u32 = 20;

/// Gives members other roles until told to stop.
///
/// # Errors
/// Never.
pub(super) async fn give_roles(people: Arc<People>, rng: Rng, stop: CancellationToken) -> anyhow::Result<()> {
    let members: Vec<usize> = {
        let book = people.book();
        let of = |it: &(usize, &Person)| it.1.part == Part::Member;
        book.people.iter().enumerate().filter(of).map(|it| it.0).collect()
    };
    let mut office = Office { people, rng, members, own: Vec::new(), settled_at: HashMap::new() };
    while !stop.is_cancelled() && office.people.book().has_room() {
        office.act().await;
        let pause = Duration::from_millis(office.rng.u64(100..400));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

/// Who gives roles.
struct Office {
    people: Arc<People>,
    rng: Rng,
    /// The numbers of those who get other roles.
    members: Vec<usize>,
    /// Roles of the organisation's own.
    own: Vec<Uuid>,
    /// Of whom it is not known which roles they have, and from when on it stays as it is. Nobody touches them until then.
    settled_at: HashMap<usize, Instant>,
}

impl Office {
    async fn act(&mut self) {
        match self.rng.u8(0..10) {
            0..2 if self.own.len() < ROLES_MAX => self.define().await,
            2 if !self.own.is_empty() => self.take_away().await,
            _ => {
                let Some(member) = self.rng.choice(&self.members).copied() else { return };
                let mut roles = vec![if self.rng.bool() { "user" } else { "manager" }.to_owned()];
                roles.extend(self.rng.choice(&self.own).map(Uuid::to_string));
                self.assign(member, roles).await;
            }
        }
    }

    async fn define(&mut self) {
        let people = &self.people;
        let name = format!("Storm {:08x}", self.rng.u32(..));
        let body = json!({ "name": name, "permissions": ["ledger.open-account", "ledger.close-period"] });
        let request = |api| people.at(api, Method::POST, &people.operator, "/v1/roles").json(&body);
        let Some(told) = people.ask_again("role", &mut self.rng, request).await else { return };
        let id = told.json.get("id").and_then(Value::as_str).and_then(|it| Uuid::parse_str(it).ok());
        let mut book = people.book();
        match id.filter(|_| told.status == StatusCode::CREATED) {
            Some(id) => {
                book.told("role");
                book.fact("organisation.role-defined", id);
                self.own.push(id);
            }
            None => book.fault(format!("a role was not defined: {} {}", told.status, told.text)),
        }
    }

    /// Whether somebody may have a role, as far as is known.
    fn holders(&self, role: Uuid) -> Vec<usize> {
        let (book, name) = (self.people.book(), role.to_string());
        let has =
            |it: &usize| book.people.get(*it).is_some_and(|it| it.roles.iter().any(|it| it.contains(&name)));
        self.members.iter().copied().filter(has).collect()
    }

    /// Whoever has a role loses it, and then it is deleted.
    async fn take_away(&mut self) {
        let Some(role) = self.own.pop() else { return };
        for holder in self.holders(role) {
            self.assign(holder, vec!["user".to_owned()]).await;
        }
        let is_held = !self.holders(role).is_empty();
        let (people, path) = (&self.people, format!("/v1/roles/{role}"));
        let request = |api| people.at(api, Method::DELETE, &people.operator, &path);
        let Some(told) = people.ask_again("role-deleted", &mut self.rng, request).await else { return };
        let mut book = people.book();
        match told.status {
            StatusCode::OK => {
                book.told("role-deleted");
                book.fact("organisation.role-deleted", role);
            }
            StatusCode::CONFLICT if is_held => {}
            _ => book.fault(format!("a role was not deleted: {} {}", told.status, told.text)),
        }
    }

    async fn assign(&mut self, member: usize, roles: Vec<String>) {
        if self.settled_at.get(&member).is_some_and(|it| Instant::now() < *it) {
            return;
        }
        let people = &self.people;
        let Some(user) = people.book().people.get(member).map(|it| it.user) else { return };
        let (path, body) = (format!("/v1/members/{user}/roles"), json!({ "roles": roles }));
        let request = |api| people.at(api, Method::PUT, &people.operator, &path).json(&body);
        let told = people.ask_again("roles", &mut self.rng, request).await;
        let mut book = people.book();
        match &told {
            Some(told) if told.status == StatusCode::OK => {
                book.told("roles");
                if let Some(it) = book.people.get_mut(member) {
                    it.roles = vec![sorted(roles)];
                }
            }
            Some(told) => book.fault(format!("roles were not given: {} {}", told.status, told.text)),
            None => {
                self.settled_at.insert(member, Instant::now() + STILL_POSSIBLE);
                if let Some(it) = book.people.get_mut(member) {
                    it.roles.push(sorted(roles));
                }
            }
        }
    }
}

/// Invites somebody every now and then, who comes, twice at once.
///
/// # Errors
/// Never.
pub(super) async fn invite(people: Arc<People>, mut rng: Rng, stop: CancellationToken) -> anyhow::Result<()> {
    for number in 0..GUESTS_MAX {
        if stop.is_cancelled() || !people.book().has_room() {
            break;
        }
        guest(&people, &mut rng, number).await;
        let pause = Duration::from_millis(rng.u64(1_000..4_000));
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

async fn guest(people: &People, rng: &mut Rng, number: usize) {
    let email = format!("guest{number}.{:08x}@example.com", rng.u32(..));
    let body = json!({ "email": email, "roles": ["user"] });
    let request = |api| people.at(api, Method::POST, &people.operator, "/v1/invitations").json(&body);
    let Some(told) = people.ask_again("invitation", rng, request).await else { return };
    let id = told.json.get("id").and_then(Value::as_str).and_then(|it| Uuid::parse_str(it).ok());
    let Some(id) = id.filter(|_| told.status == StatusCode::CREATED) else {
        people.book().fault(format!("nobody was invited: {} {}", told.status, told.text));
        return;
    };
    let at = {
        let mut book = people.book();
        book.told("invitation");
        book.fact("organisation.invitation-sent", id);
        book.invitations.push(Invitation { id, came: None });
        book.invitations.len() - 1
    };
    let Some(token) = link(people, &email).await else { return };
    let password = password();
    let body = json!({
        "token": token, "password": password, "given_name": given_name(&email), "family_name": family_name(&email),
    });
    let accept = |api| {
        people.ask("acceptance", people.at(api, Method::POST, "", "/v1/invitations/accept").json(&body))
    };
    let (one, other) = tokio::join!(accept(0), accept(1));
    let mut told: Vec<Answer> = [one, other].into_iter().flatten().collect();
    if told.is_empty() {
        told.extend(accept(rng.usize(0..2)).await);
    }
    let came: Vec<UserId> = told.iter().filter_map(joined).collect();
    let mut book = people.book();
    if let Some(it) = told.iter().find(|it| !matches!(it.status.as_u16(), 200 | 404 | 409)) {
        book.fault(format!("an invitation was answered with {} {}", it.status, it.text));
    }
    match came.as_slice() {
        [] => {}
        [user] => {
            book.told("acceptance");
            book.fact("organisation.invitation-accepted", id);
            book.fact("identity.user-registered", user.uuid());
            book.fact("organisation.member-added", user.uuid());
            if let Some(it) = book.invitations.get_mut(at) {
                it.came = Some(*user);
            }
            book.people.push(Person::new(*user, email, Part::Invited, password, &["user"]));
        }
        _ => book.fault(format!("invitation {id} was accepted twice: {came:?}")),
    }
}

fn joined(told: &Answer) -> Option<UserId> {
    let id = told.json.get("id").and_then(Value::as_str)?;
    id.parse().ok().filter(|_| told.status == StatusCode::OK)
}

/// The link of the letter to an address, read where it waits for being sent. Nothing, if it is not there in time.
async fn link(people: &People, to: &str) -> Option<String> {
    for _ in 0..LOOKS_MAX {
        // Whatever is broken now: it is looked for again.
        if let Ok(Some(token)) = look(people, to).await {
            return Some(token);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

async fn look(people: &People, to: &str) -> anyhow::Result<Option<String>> {
    let mut conn = people.letters.connect().await?;
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select mail_id, sealed from vault.outbox where tenant_id = $1 and kind = 'invitation'
         order by queued_at desc limit 20",
    )
    .bind(people.tenant.uuid())
    .fetch_all(&mut conn)
    .await?;
    for (mail, sealed) in rows {
        let letter = Letter::open(people.tenant, mail, &sealed, &people.master)?;
        if let Mail::Invitation { token, .. } = letter.mail
            && letter.to == to
        {
            return Ok(Some(token));
        }
    }
    Ok(None)
}
