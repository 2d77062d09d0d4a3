//! The links of letters, and asking for one. A link carries its secret in the fragment of the address, which reaches no server;
//! a script of ours puts it into the form, or the person does by hand. So looking at a link consumes nothing, whoever looks:
//! only the form does.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::organisation::Slug;
use serde::Deserialize;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};

use super::form::Filled;
use super::view::{Frame, Told, message, refused_page};
use super::visitor::Visitor;
use super::words::Words;
use crate::app::App;
use crate::passwords::Password;

/// Somebody has forgotten their password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgotFields {
    organization: String,
    email: String,
}

/// Somebody chooses another one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetFields {
    token: String,
    new_password: Password,
}

/// Somebody confirms something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmFields {
    token: String,
    /// Another short name, if that of a new organisation was taken meanwhile.
    slug: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/forgot.html")]
struct ForgotPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    organization: &'a str,
    email: &'a str,
}

#[derive(Template)]
#[template(path = "pages/reset.html")]
struct ResetPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    token: &'a str,
}

#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    title: &'a str,
    text: &'a str,
    path: &'a str,
    token: &'a str,
    asks_slug: bool,
}

/// What is confirmed by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirms {
    Account,
    Address,
    Organisation,
}

impl Confirms {
    const fn path(self) -> &'static str {
        match self {
            Self::Account => "/verify",
            Self::Address => "/verify/address",
            Self::Organisation => "/verify/organization",
        }
    }

    const fn asked(self, words: &Words) -> (&'static str, &'static str) {
        match self {
            Self::Account => (words.verify_title, words.verify_text),
            Self::Address => (words.address_title, words.address_text),
            Self::Organisation => (words.founding_title, words.founding_text),
        }
    }

    const fn done(self, words: &Words) -> (&'static str, &'static str) {
        match self {
            Self::Account => (words.verify_done_title, words.verify_done),
            Self::Address => (words.verify_done_title, words.address_done),
            Self::Organisation => (words.founding_done_title, words.founding_done),
        }
    }
}

/// `GET /forgot`
pub(super) async fn forgot(visitor: Visitor) -> Result<Response, Problem> {
    forgot_page(&visitor, "", "", None)
}

/// `POST /forgot`
pub(super) async fn ask(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ForgotFields>,
) -> Result<Response, Problem> {
    let ForgotFields { organization, email } = fields;
    let asked = match EmailAddress::parse(&email) {
        Ok(address) => app.identity.forgot_password(&organization, &address, &visitor.origin).await,
        Err(_) => Err(Problem::new(&code::EMAIL_MALFORMED, "")),
    };
    match asked {
        Ok(()) => {
            let words = visitor.words();
            message(&visitor, words.sent_title, &[words.sent], Some((words.to_sign_in, "/sign-in")))
        }
        Err(problem) => {
            forgot_page(&visitor, &organization, &email, Some(&Told::of(problem, visitor.language)))
        }
    }
}

fn forgot_page(
    visitor: &Visitor,
    organization: &str,
    email: &str,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    refused_page(visitor, told, false, &ForgotPage { frame: visitor.frame(), told, organization, email })
}

/// `GET /reset`
pub(super) async fn reset(visitor: Visitor) -> Result<Response, Problem> {
    reset_page(&visitor, "", None)
}

/// `POST /reset`
pub(super) async fn save(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ResetFields>,
) -> Result<Response, Problem> {
    let ResetFields { token, new_password } = fields;
    match app.identity.reset_password(&token, new_password, &visitor.origin).await {
        Ok(()) => {
            let words = visitor.words();
            let paragraphs = [words.reset_done];
            message(&visitor, words.reset_done_title, &paragraphs, Some((words.to_sign_in, "/sign-in")))
        }
        Err(problem) => reset_page(&visitor, &token, Some(&Told::of(problem, visitor.language))),
    }
}

fn reset_page(visitor: &Visitor, token: &str, told: Option<&Told>) -> Result<Response, Problem> {
    let frame = Frame { scripted: true, ..visitor.frame() };
    refused_page(visitor, told, true, &ResetPage { frame, told, token })
}

/// `GET /verify`
pub(super) async fn verify(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Account, "", None)
}

/// `POST /verify`
pub(super) async fn verified(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ConfirmFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let done = app.identity.verify_email(token, &visitor.origin).await;
    confirmed(&visitor, Confirms::Account, token, done.map(|_| ()))
}

/// `GET /verify/address`
pub(super) async fn address(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Address, "", None)
}

/// `POST /verify/address`
pub(super) async fn address_confirmed(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ConfirmFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let done = app.identity.confirm_address(token, &visitor.origin).await;
    confirmed(&visitor, Confirms::Address, token, done.map(|_| ()))
}

/// `GET /verify/organization`
pub(super) async fn organization(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Organisation, "", None)
}

/// `POST /verify/organization`
pub(super) async fn organization_confirmed(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ConfirmFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let slug = fields.slug.as_deref().map(Slug::parse).transpose();
    let done = match slug {
        Ok(slug) => app.identity.found(token, slug, &visitor.origin).await.map(|_| ()),
        Err(_) => {
            let (kind, pointer) = (domain::ErrorKind::Invalid, "/slug".to_owned());
            Err(Problem::field("organisation.slug-malformed", kind, pointer, String::new()))
        }
    };
    confirmed(&visitor, Confirms::Organisation, token, done)
}

/// What is said once a link was used, or the form once more.
fn confirmed(
    visitor: &Visitor,
    confirms: Confirms,
    token: &str,
    done: Result<(), Problem>,
) -> Result<Response, Problem> {
    match done {
        Ok(()) => {
            let words = visitor.words();
            let (title, text) = confirms.done(words);
            message(visitor, title, &[text], Some((words.to_sign_in, "/sign-in")))
        }
        Err(problem) => confirm_page(visitor, confirms, token, Some(&Told::of(problem, visitor.language))),
    }
}

fn confirm_page(
    visitor: &Visitor,
    confirms: Confirms,
    token: &str,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let (title, text) = confirms.asked(visitor.words());
    let frame = Frame { scripted: true, ..visitor.frame() };
    let asks_slug = told.is_some_and(|it| it.code.starts_with("organisation.slug-"));
    let template = ConfirmPage { frame, told, title, text, path: confirms.path(), token, asks_slug };
    refused_page(visitor, told, true, &template)
}
