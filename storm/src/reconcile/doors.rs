//! Everything that people were told, asked of the processes themselves when all is healed: who stands is let in by each of
//! them and whoever does not by none, a refresh token is good once, a password is the one that was last chosen, rights are
//! those that were last given, and whoever was erased is nowhere.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tests::person::SignedIn;
use tests::stack::Answer;
use tests::until;
use uuid::Uuid;

use super::Check;
use crate::people::promises::{Key, Person, Session, State};
use crate::people::{People, plain_texts};

/// Who is asked about at once.
const AT_ONCE: usize = 8;
/// How often something is asked that has no answer, though nothing is broken any more.
const TRIES: u32 = 5;
/// Within this, every process knows that somebody may not act any more.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// Former passwords that are tried of each person: few enough for nobody to be locked out.
const GUESSES_MAX: usize = 2;
/// What a wrong password and a session that has ended are told.
const OUT: u16 = 401;

/// Asks about all of it. `conn` and `folder` are searched for whoever was erased.
///
/// # Errors
/// If the database does not answer, or a file cannot be read.
pub async fn all(people: &People, conn: &mut PgConnection, folder: &Path) -> anyhow::Result<Vec<Check>> {
    let (sessions, keys, everybody) = {
        let book = people.book();
        (book.sessions.clone(), book.keys.clone(), book.people.clone())
    };
    let mut at_doors = Check::new("sessions and keys at every door");
    take(&mut at_doors, sessions.iter().map(|it| session(people, it))).await;
    take(&mut at_doors, keys.iter().map(|it| key(people, it))).await;
    let mut passwords = Check::new("passwords and roles of people");
    take(&mut passwords, everybody.iter().map(|it| person(people, it))).await;
    let mut readable = Check::new("people are readable, and erased ones nowhere");
    take(&mut readable, everybody.iter().map(|it| readable_by_others(people, it))).await;
    for it in everybody.iter().filter(|it| it.is_erased) {
        nowhere(&mut readable, it, conn, folder).await?;
    }
    Ok(vec![at_doors, passwords, readable])
}

/// Waits for what is found about each.
async fn take<F: Future<Output = Vec<String>>>(check: &mut Check, asked: impl Iterator<Item = F>) {
    let mut found = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some(faults) = found.next().await {
        check.looked_at += 1;
        faults.into_iter().for_each(|it| check.fault(it));
    }
}

/// An answer, if there is one at last.
async fn told(people: &People, request: impl Fn() -> RequestBuilder) -> Option<Answer> {
    for _ in 0..TRIES {
        if let Some(told) = people.ask("reconcile", request()).await {
            return Some(told);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

/// What each process says to a session: the two command APIs, then the query API. Nothing is changed by it.
async fn doors_of_session(people: &People, access: &str) -> [u16; 3] {
    let ([first, second], query) = people.bases();
    let path = &*format!("/v1/auth/sessions/{}", Uuid::nil());
    let ends = |base| told(people, move || people.request(base, Method::DELETE, access, path));
    let (first, second, query) = tokio::join!(
        ends(first),
        ends(second),
        told(people, || people.request(query, Method::GET, access, "/v1/auth/me"))
    );
    [first, second, query].map(status)
}

fn status(told: Option<Answer>) -> u16 {
    told.map_or(0, |it| it.status.as_u16())
}

/// What a command API answers to somebody who stands and ends a session that is not there, and the query API.
const IN: [u16; 3] = [404, 404, 200];

async fn refresh(people: &People, token: &str, api: usize) -> Option<Answer> {
    let (commands, _) = people.bases();
    let base = commands.get(api % 2)?;
    // Once: asking again would be using it twice.
    let request = people.request(base, Method::POST, "", "/v1/auth/refresh");
    people.ask("reconcile", request.json(&json!({ "refresh_token": token }))).await
}

async fn is_shut(people: &People, access: &str) -> bool {
    until(KNOWN_WITHIN, || async { Ok(doors_of_session(people, access).await == [OUT; 3]) }).await.is_ok()
}

async fn session(people: &People, it: &Session) -> Vec<String> {
    let mut faults = Vec::new();
    let mut look = |is_right: bool, what: &str| {
        if !is_right {
            faults.push(format!("session {}, which is {:?}: {what}", it.id, it.state));
        }
    };
    let doors = doors_of_session(people, &it.access).await;
    match it.state {
        State::Ended => {
            look(is_shut(people, &it.access).await, &format!("not every process refuses it: {doors:?}"));
            let again = status(refresh(people, &it.refresh, 0).await);
            look(again == OUT, &format!("its refresh token is answered with {again}"));
        }
        State::Doubtful => {
            look(doors == IN || doors == [OUT; 3], &format!("processes do not agree: {doors:?}"));
            // Its access token can be out of time; what it gets now is not.
            let next = refresh(people, &it.refresh, 1).await;
            let tokens = next.as_ref().and_then(|it| SignedIn::of(it).ok());
            let again = status(next);
            look(matches!(again, 200 | OUT), &format!("its refresh token is answered with {again}"));
            match tokens {
                Some(tokens) => {
                    let doors = doors_of_session(people, &tokens.access).await;
                    look(doors == IN, &format!("it goes on, and is not let in everywhere: {doors:?}"));
                }
                None => look(is_shut(people, &it.access).await, "a token of it was no good, and it lives"),
            }
        }
        State::Live => {
            look(doors == IN, &format!("it is not let in everywhere: {doors:?}"));
            let next = refresh(people, &it.refresh, 0).await;
            let tokens = next.as_ref().and_then(|it| SignedIn::of(it).ok());
            look(tokens.is_some(), &format!("it does not go on: {}", status(next)));
            // A copy of a token that was used: nobody has anything of it any more.
            let spent = it.spent.first().unwrap_or(&it.refresh);
            let again = status(refresh(people, spent, 1).await);
            look(again == OUT, &format!("a refresh token that was used is answered with {again}"));
            look(is_shut(people, &it.access).await, "a token of it came back, and it lives");
            if let Some(tokens) = tokens {
                let last = status(refresh(people, &tokens.refresh, 0).await);
                look(
                    last == OUT,
                    &format!("a token of it came back, and its newest is answered with {last}"),
                );
            }
        }
    }
    faults
}

async fn key(people: &People, it: &Key) -> Vec<String> {
    let Some(text) = &it.text else { return Vec::new() };
    let ([first, second], query) = people.bases();
    let body = json!({ "items": [] });
    let batch = |base| {
        let body = &body;
        told(people, move || {
            let request = people.request(base, Method::POST, text, "/v1/ledger/batches");
            request.header("Idempotency-Key", Uuid::now_v7().to_string()).json(body)
        })
    };
    let all = async || {
        let (first, second, query) = tokio::join!(
            batch(first),
            batch(second),
            told(people, || people.request(query, Method::GET, text, "/v1/ledger/accounts"))
        );
        [first, second, query].map(status)
    };
    let doors = all().await;
    // An empty batch is refused as such, behind the gate.
    let is_in = doors == [400, 400, 200];
    let is_right = match it.state {
        State::Live => is_in,
        State::Doubtful => is_in || doors == [OUT; 3],
        State::Ended => doors == [OUT; 3],
    };
    if is_right { Vec::new() } else { vec![format!("key {}, which is {:?}: {doors:?}", it.id, it.state)] }
}

async fn sign_in(people: &People, it: &Person, password: &str) -> Option<Answer> {
    let ([first, _], _) = people.bases();
    let body = json!({ "tenant_slug": people.slug(), "email": it.email, "password": password });
    told(people, || people.request(first, Method::POST, "", "/v1/auth/login").json(&body)).await
}

/// The one password of somebody opens, and none that was theirs; and they may what their roles say.
async fn person(people: &People, it: &Person) -> Vec<String> {
    let mut faults = Vec::new();
    for former in it.former.iter().rev().take(GUESSES_MAX) {
        let told = status(sign_in(people, it, former).await);
        if told != OUT {
            faults.push(format!("{}: a former password is answered with {told}", it.user));
        }
    }
    let mut opened = Vec::new();
    let mut said = Vec::new();
    for password in &it.passwords {
        let told = sign_in(people, it, password).await;
        let tokens = told.as_ref().and_then(|it| SignedIn::of(it).ok());
        said.push(status(told));
        if let Some(tokens) = tokens {
            if let Ok(session) = tokens.session() {
                people.book().fact("identity.session-started", session.uuid());
            }
            opened.push(tokens);
        }
    }
    let expected = usize::from(!it.is_erased);
    if opened.len() != expected || said.iter().any(|it| !matches!(*it, 200 | OUT)) {
        faults.push(format!("{}, erased: {}: of the passwords in question: {said:?}", it.user, it.is_erased));
    }
    if let Some(tokens) = opened.first() {
        faults.extend(rights(people, it, &tokens.access).await);
    }
    faults
}

/// Whether accounts may be opened and periods closed, by what every process says and by each set of roles in question.
async fn rights(people: &People, it: &Person, access: &str) -> Vec<String> {
    let ([first, second], query) = people.bases();
    let me = told(people, || people.request(query, Method::GET, access, "/v1/auth/me")).await;
    let permissions = me.as_ref().and_then(|it| it.json.get("permissions")).cloned().unwrap_or_default();
    let holds = |name: &str| permissions.as_array().is_some_and(|all| all.iter().any(|it| it == name));
    let (opens, closes) = (holds("ledger.open-account"), holds("ledger.close-period"));
    let mut faults = Vec::new();
    let possible: Vec<(bool, bool)> = it.roles.iter().map(|it| expected(it)).collect();
    if !possible.contains(&(opens, closes)) {
        faults.push(format!("{} was told {:?}, and may {permissions}", it.user, it.roles));
    }
    for base in [first, second] {
        // It lacks everything, which is said to those alone who may open one.
        let open = || {
            let request = people.request(base, Method::POST, access, "/v1/ledger/accounts");
            request.header("Idempotency-Key", Uuid::now_v7().to_string()).json(&json!({}))
        };
        let said = status(told(people, open).await);
        if said != if opens { 400 } else { 403 } {
            faults.push(format!("{} may open accounts: {opens}; a command API says {said}", it.user));
        }
    }
    faults
}

/// Whether these roles let somebody open accounts and close periods. Every role of the organisation's own does both.
fn expected(roles: &[String]) -> (bool, bool) {
    let has = |name: &str| roles.iter().any(|it| it == name);
    let own = roles.iter().any(|it| Uuid::parse_str(it).is_ok());
    (own || has("manager") || has("admin"), own || has("admin"))
}

/// Whoever may read people reads their addresses, and of the erased ones that they are.
async fn readable_by_others(people: &People, it: &Person) -> Vec<String> {
    let (_, query) = people.bases();
    let path = format!("/v1/users/{}", it.user);
    let Some(told) = told(people, || people.request(query, Method::GET, people.operator(), &path)).await
    else {
        return vec![format!("{} cannot be read: there is no answer", it.user)];
    };
    let field = |name: &str| told.json.get(name).cloned().unwrap_or_default();
    let is_right = told.status == StatusCode::OK
        && if it.is_erased {
            field("status") == "erased" && field("email") == Value::Null && field("given_name") == Value::Null
        } else {
            field("email") == it.email.as_str()
        };
    // What is told of somebody holds no personal data.
    if is_right {
        Vec::new()
    } else {
        vec![format!("{} is not as it should be read: {}", it.user, told.status)]
    }
}

/// No table and no file of the run holds in plain text what was typed of somebody who was erased.
async fn nowhere(
    check: &mut Check,
    it: &Person,
    conn: &mut PgConnection,
    folder: &Path,
) -> anyhow::Result<()> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and n.nspname in ('store', 'read', 'vault', 'keys', 'run') order by 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    let texts = plain_texts(it);
    for table in tables {
        let search = format!(
            "select count(*) from {table} t, unnest($1::text[]) as g (needle)
             where strpos(to_jsonb(t)::text, g.needle) > 0"
        );
        let found: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(search)).bind(&texts[..]).fetch_one(&mut *conn).await?;
        check.look(found == 0, || format!("{} rows of {table} tell of {}", found, it.user));
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            let content = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let found = texts.iter().any(|text| content.contains(text));
            check.look(!found, || format!("{} tells of {}", path.display(), it.user));
        }
    }
    Ok(())
}
