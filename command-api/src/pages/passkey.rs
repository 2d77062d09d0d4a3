//! Signing in with a passkey, from the page. What the browser is to sign stands in a page of its own, and what it signed comes
//! back with the form of that page: a script of ours carries it from the one to the other, and fetches nothing.
//!
//! After a password it is the same: a passkey shows two factors by itself. But then it must be of whoever has the password.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::problem::{Problem, code};

use super::form::Filled;
use super::sign_in::{Onward, Place, enters, form, second};
use super::view::{Frame, Told, page};
use super::visitor::Visitor;
use crate::app::App;
use crate::identity::passkeys::{Signed, party};
use crate::routes::passkeys::{RequestOptions, bytes};

/// Somebody wants to sign in with a passkey.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginFields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
    /// Of the first half, if they have shown that.
    ticket: Option<String>,
}

/// What their browser signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedFields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
    ticket: Option<String>,
    credential: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
}

/// What the page fills in, of [`SignedFields`].
const SIGNED: [&str; 4] = ["credential", "client_data", "authenticator_data", "signature"];

/// Has the browser do something with a passkey, and takes what it answers.
#[derive(Template)]
#[template(path = "pages/passkey.html")]
pub(super) struct Asking<'a> {
    pub frame: Frame<'a>,
    pub title: &'a str,
    pub text: &'a str,
    /// `get`, or `create`.
    pub asks: &'a str,
    /// What exactly, as the interface has it.
    pub options: String,
    /// Where the answer goes.
    pub path: &'a str,
    /// What goes with it.
    pub kept: Vec<(&'static str, &'a str)>,
    /// The fields of the answer.
    pub answers: &'a [&'static str],
    /// What else can be done, and where.
    pub otherwise: (&'a str, &'a str),
}

impl Asking<'_> {
    /// As an answer.
    pub(super) fn page(&self, visitor: &Visitor) -> Result<Response, Problem> {
        page(visitor, StatusCode::OK, true, self)
    }
}

/// What a page asks of a browser, as the script reads it.
pub(super) fn options(asked: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(asked).map_err(|error| Problem::fault(&error))
}

/// Whether there can be passkeys where we are.
pub(super) fn are_possible(app: &App) -> bool {
    party(&app.providers).is_ok()
}

fn nowhere() -> Problem {
    Problem::new(&code::MISSING_FIELD, "organization")
}

/// `POST /sign-in/passkey`
pub(super) async fn begin(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<BeginFields>,
) -> Result<Response, Problem> {
    let BeginFields { request, organization, device, ticket } = fields;
    let onward = Onward::new(request, organization, device);
    let place = Place::of(&app, &mut visitor, &onward).await?.ok_or_else(nowhere)?;
    let (words, ticket) = (visitor.words(), ticket.as_deref());
    let texts = (words.passkey_title, words.passkey_text);
    match to_sign(&app, &visitor, &onward, &place.slug, ticket, texts).await {
        Ok(page) => Ok(page),
        Err(problem) => again(&app, &visitor, &onward, &place, ticket, problem).await,
    }
}

/// Has the browser sign, of somebody of this organisation. The page has this title, and says this.
pub(super) async fn to_sign(
    app: &App,
    visitor: &Visitor,
    onward: &Onward,
    slug: &str,
    ticket: Option<&str>,
    (title, text): (&str, &str),
) -> Result<Response, Problem> {
    let party = party(&app.providers)?;
    let challenge = app.identity.begin_passkey_sign_in(slug, &visitor.origin).await?;
    let words = visitor.words();
    let mut kept = onward.fields();
    kept.extend(ticket.map(|it| ("ticket", it)));
    let asking = Asking {
        frame: visitor.frame(),
        title,
        text,
        asks: "get",
        options: options(&RequestOptions::of(challenge, &party))?,
        path: "/sign-in/passkey/answer",
        kept,
        answers: &SIGNED,
        otherwise: (words.passkey_otherwise, &format!("/sign-in?{}", onward.query())),
    };
    asking.page(visitor)
}

/// `POST /sign-in/passkey/answer`
pub(super) async fn answer(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<SignedFields>,
) -> Result<Response, Problem> {
    let SignedFields { request, organization, device, ticket, .. } = &fields;
    let onward = Onward::new(request.clone(), organization.clone(), device.clone());
    let place = Place::of(&app, &mut visitor, &onward).await?.ok_or_else(nowhere)?;
    let shown = Signed {
        tenant_slug: place.slug.clone(),
        credential: bytes("credential", &fields.credential)?,
        client_data: bytes("client_data", &fields.client_data)?,
        authenticator_data: bytes("authenticator_data", &fields.authenticator_data)?,
        signature: bytes("signature", &fields.signature)?,
        after: ticket.clone().map(Into::into),
    };
    match app.identity.sign_in_with_passkey(shown, &party(&app.providers)?, &visitor.origin).await {
        Ok(done) => enters(&app, &visitor, &onward, &done.tokens.refresh, Some(&done.device)).await,
        Err(problem) => again(&app, &visitor, &onward, &place, ticket.as_deref(), problem).await,
    }
}

/// The form from which somebody came, with what is wrong.
async fn again(
    app: &App,
    visitor: &Visitor,
    onward: &Onward,
    place: &Place,
    ticket: Option<&str>,
    problem: Problem,
) -> Result<Response, Problem> {
    let told = Told::of(problem, visitor.language);
    match ticket {
        Some(ticket) => second(app, visitor, onward, ticket, Some(&told)).await,
        None => form(app, visitor, onward, place, None, Some(&told)).await,
    }
}
