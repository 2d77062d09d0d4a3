//! The links of letters, and asking for one. A link carries its secret in the fragment of the address, which reaches no server;
//! a script of ours puts it into the form, or the person does by hand. So looking at a link consumes nothing, whoever looks:
//! only the form does.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::organisation::Slug;
use serde::Deserialize;
use service_kit::body::Query;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};

use super::form::Filled;
use super::link::{LinkFields, link_page, not_opened};
use super::sign_in::{Onward, Place};
use super::view::{Frame, Told, message, refused_page};
use super::visitor::Visitor;
use super::words::Words;
use crate::app::App;
use crate::identity::browser::Called;
use crate::identity::opening::{LinkFor, Opened};
use crate::passwords::Password;

/// Where the page of a link to another password sends its secret.
const RESET: &str = "/reset/open";

/// Somebody has forgotten their password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgotFields {
    request: Option<String>,
    device: Option<String>,
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

/// Somebody confirms that they registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyFields {
    token: String,
    /// The password that they chose then.
    password: Password,
}

/// Somebody confirms an address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressFields {
    token: String,
}

/// Somebody confirms that they want an organisation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FoundFields {
    token: String,
    /// The password that they chose then.
    password: Password,
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
    /// Where somebody goes on to when they remember, or have chosen another password.
    onward: Vec<(&'static str, &'a str)>,
}

#[derive(Template)]
#[template(path = "pages/reset.html")]
struct ResetPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    token: &'a str,
    /// What a password must be.
    hint: String,
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
    asks_password: bool,
    /// Whether the password is that of an account, which may have been forgotten.
    has_account: bool,
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
pub(super) async fn forgot(
    State(app): State<App>,
    mut visitor: Visitor,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    let place = Place::of(&app, &mut visitor, &onward).await?;
    let slug = place.as_ref().map_or("", |it| &*it.slug);
    let hint = place.as_ref().and_then(|it| it.asked.as_ref()?.login_hint.as_deref());
    let onward = onward.elsewhere();
    forgot_page(&visitor, slug, hint.unwrap_or_default(), &onward, None)
}

/// `POST /forgot`
pub(super) async fn ask(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<ForgotFields>,
) -> Result<Response, Problem> {
    let ForgotFields { request, device, organization, email } = fields;
    let asked = match EmailAddress::parse(email.trim()) {
        Ok(address) => app.identity.forgot_password(&organization, &address, &visitor.origin).await,
        Err(_) => Err(Problem::new(&code::EMAIL_MALFORMED, "")),
    };
    match asked {
        Ok(()) => {
            let words = visitor.words();
            // An application names the organisation by itself.
            let organization = Some(organization).filter(|_| request.is_none());
            let back = format!("/sign-in?{}", Onward::new(request, organization, device).query());
            message(&visitor, words.sent_title, &[words.sent], Some((words.to_sign_in, &back)))
        }
        Err(problem) => {
            let told = Told::of(problem, visitor.language);
            let onward = Onward::new(request, None, device);
            forgot_page(&visitor, &organization, &email, &onward, Some(&told))
        }
    }
}

fn forgot_page(
    visitor: &Visitor,
    organization: &str,
    email: &str,
    onward: &Onward,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let (frame, onward) = (visitor.frame(), onward.fields());
    refused_page(visitor, told, false, &ForgotPage { frame, told, organization, email, onward })
}

/// `GET /reset`
pub(super) async fn reset(visitor: Visitor) -> Result<Response, Problem> {
    link_page(&visitor, visitor.words().reset_title, RESET)
}

/// `POST /reset/open`
pub(super) async fn reset_opened(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<LinkFields>,
) -> Result<Response, Problem> {
    match app.identity.open_link(&fields.token, LinkFor::Reset, &visitor.origin).await {
        Ok(opened) => reset_page(&visitor, &fields.token, &opened, None),
        Err(problem) => no_reset(&visitor, problem),
    }
}

/// A link with which nobody chooses a password (any more): another one can be asked for.
fn no_reset(visitor: &Visitor, problem: Problem) -> Result<Response, Problem> {
    let words = visitor.words();
    not_opened(visitor, words.reset_title, RESET, problem, Some((words.forgotten, "/forgot")))
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
            let of = app.identity.organisation_of_link(&token).await?;
            done(&visitor, words.reset_done_title, words.reset_done, of.as_ref())
        }
        Err(problem) => match app.identity.behind_link(&token, LinkFor::Reset).await {
            Ok(opened) => reset_page(&visitor, &token, &opened, Some(&Told::of(problem, visitor.language))),
            Err(problem) => no_reset(&visitor, problem),
        },
    }
}

fn reset_page(
    visitor: &Visitor,
    token: &str,
    opened: &Opened,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let (frame, hint) = (visitor.frame(), visitor.words().password_hint(opened.length_min));
    refused_page(visitor, told, false, &ResetPage { frame, told, token, hint })
}

/// `GET /verify`
pub(super) async fn verify(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Account, "", None)
}

/// `POST /verify`
pub(super) async fn verified(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<VerifyFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let done = app.identity.verify_email(token, Some(&fields.password), &visitor.origin).await;
    let of = app.identity.organisation_of_link(token).await?;
    confirmed(&visitor, Confirms::Account, token, done.map(|_| of))
}

/// `GET /verify/address`
pub(super) async fn address(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Address, "", None)
}

/// `POST /verify/address`
pub(super) async fn address_confirmed(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<AddressFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let done = app.identity.confirm_address(token, &visitor.origin).await;
    let of = app.identity.organisation_of_link(token).await?;
    confirmed(&visitor, Confirms::Address, token, done.map(|_| of))
}

/// `GET /verify/organization`
pub(super) async fn organization(visitor: Visitor) -> Result<Response, Problem> {
    confirm_page(&visitor, Confirms::Organisation, "", None)
}

/// `POST /verify/organization`
pub(super) async fn organization_confirmed(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<FoundFields>,
) -> Result<Response, Problem> {
    let token = &fields.token;
    let slug = fields.slug.map(|it| Slug::parse(&it.trim().to_ascii_lowercase())).transpose();
    let done = match slug {
        Ok(slug) => match app.identity.found(token, slug, Some(&fields.password), &visitor.origin).await {
            Ok(founded) => Ok(app.identity.organisation_called(founded.tenant).await?),
            Err(problem) => Err(problem),
        },
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
    outcome: Result<Option<Called>, Problem>,
) -> Result<Response, Problem> {
    match outcome {
        Ok(of) => {
            let (title, text) = confirms.done(visitor.words());
            done(visitor, title, text, of.as_ref())
        }
        Err(problem) => confirm_page(visitor, confirms, token, Some(&Told::of(problem, visitor.language))),
    }
}

/// What is said once something is done, with the way to sign in: to the organisation that it was about, whose short name is
/// told, since pages and letters ask for it.
pub(super) fn done(
    visitor: &Visitor,
    title: &str,
    text: &str,
    of: Option<&Called>,
) -> Result<Response, Problem> {
    let words = visitor.words();
    let Some(Called { slug, name }) = of else {
        return message(visitor, title, &[text], Some((words.to_sign_in, "/sign-in")));
    };
    let named = format!("{}: {name} ({slug})", words.organisation);
    let sign_in = format!("/sign-in?{}", Onward::organization(slug).query());
    message(visitor, title, &[text, &named], Some((words.to_sign_in, &sign_in)))
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
    let (path, has_account) = (confirms.path(), confirms == Confirms::Account);
    let asks_password = has_account || confirms == Confirms::Organisation;
    let template =
        ConfirmPage { frame, told, title, text, path, token, asks_slug, asks_password, has_account };
    refused_page(visitor, told, true, &template)
}
