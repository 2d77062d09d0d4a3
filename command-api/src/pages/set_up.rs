//! Setting up a second factor, from the page, as whoever is signed in: where their organisation asks everybody for one they are
//! sent here on their way, and go on from here. What it takes is what the interface asks: that they showed who they are a moment
//! ago, by all that they have.
//!
//! | step | what happens |
//! |---|---|
//! | looking at the page | nothing |
//! | choosing an authenticator app | a seed is offered, as a picture and in letters |
//! | the first code of the app | it is enrolled, and the recovery codes are shown, once |
//!
//! **Invariant:** a seed is shown again in the session for which it was made and in no other. Whoever has a password that is not
//! theirs does not look on while its owner sets a second factor up.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::ids::FactorId;
use event_store::keyring::IndexOf;
use sabotage::Guard;
use serde::Deserialize;
use service_kit::body::Query;
use service_kit::problem::{Problem, code};
use subtle::ConstantTimeEq as _;

use super::form::Filled;
use super::passkey;
use super::picture::Picture;
use super::sign_in::{Known, Onward, known, path_of, prove_again, sign_in_first};
use super::view::{Frame, Told, page, refused_page};
use super::visitor::Visitor;
use crate::app::App;
use crate::identity::second_factor::enrolment::{Issued, Offered};
use crate::identity::sessions::InSession;

/// Letters of a seed that stand together, so that they can be typed.
const GROUP: usize = 4;

/// Somebody begins, or wants other recovery codes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginFields {
    request: Option<String>,
    device: Option<String>,
}

/// The first code of an app.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeFields {
    request: Option<String>,
    device: Option<String>,
    ticket: String,
    code: String,
}

#[derive(Template)]
#[template(path = "pages/set-up.html")]
struct ChoicePage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    organisation: &'a str,
    /// Whether nobody goes on without.
    required: bool,
    email: &'a str,
    onward: Vec<(&'static str, &'a str)>,
    /// The same as the parameters of a link.
    query: String,
    /// Where they go on to without.
    past: &'a str,
    /// Whether they can have a passkey instead.
    offers_passkey: bool,
}

#[derive(Template)]
#[template(path = "pages/set-up-totp.html")]
struct OfferPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    /// None, if it would hold too much.
    picture: Option<Picture>,
    secret: String,
    uri: &'a str,
    ticket: String,
    onward: Vec<(&'static str, &'a str)>,
    query: String,
}

#[derive(Template)]
#[template(path = "pages/recovery-codes.html")]
struct CodesPage<'a> {
    frame: Frame<'a>,
    codes: &'a [String],
    past: &'a str,
}

#[derive(Template)]
#[template(path = "pages/set-up-done.html")]
struct DonePage<'a> {
    frame: Frame<'a>,
    onward: Vec<(&'static str, &'a str)>,
    past: &'a str,
}

/// `GET /second-factor/set-up`
pub(super) async fn show(
    State(app): State<App>,
    mut visitor: Visitor,
    Query(onward): Query<Onward>,
) -> Result<Response, Problem> {
    let onward = onward.elsewhere();
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    reads(&app, &mut visitor, &onward).await;
    match app.identity.may_enrol_totp(who).await {
        Ok(()) => choice_page(&app, &visitor, who, &onward, None).await,
        Err(problem) => hindered(&app, &visitor, who, onward, problem).await,
    }
}

/// `POST /second-factor/set-up`
pub(super) async fn begin(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<BeginFields>,
) -> Result<Response, Problem> {
    let onward = Onward::new(fields.request, None, fields.device);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    reads(&app, &mut visitor, &onward).await;
    match app.identity.offer_totp(who, visitor.frame().host).await {
        Ok(offered) => offer_page(&app, &visitor, who, &onward, &offered, None),
        Err(problem) => hindered(&app, &visitor, who, onward, problem).await,
    }
}

/// `POST /second-factor/set-up/code`
pub(super) async fn confirm(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<CodeFields>,
) -> Result<Response, Problem> {
    let CodeFields { request, device, ticket, code: shown } = fields;
    let onward = Onward::new(request, None, device);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    reads(&app, &mut visitor, &onward).await;
    let factor = ticketed(&app, who, &ticket);
    let offered = match app.identity.offered_totp(who, factor, visitor.frame().host).await {
        Ok(offered) => offered,
        Err(problem) => return hindered(&app, &visitor, who, onward, problem).await,
    };
    let digits: String = shown.chars().filter(|it| !it.is_whitespace()).collect();
    match app.identity.enrol_totp(who, &digits, None, &visitor.origin).await {
        Ok(issued) => codes_page(&visitor, &onward, &issued),
        Err(problem) if is_for_form(&problem) => {
            let told = Told::of(problem, visitor.language);
            offer_page(&app, &visitor, who, &onward, &offered, Some(&told))
        }
        Err(problem) => hindered(&app, &visitor, who, onward, problem).await,
    }
}

/// `POST /second-factor/recovery-codes`
pub(super) async fn renew(
    State(app): State<App>,
    Filled { fields, mut visitor }: Filled<BeginFields>,
) -> Result<Response, Problem> {
    let onward = Onward::new(fields.request, None, fields.device);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    reads(&app, &mut visitor, &onward).await;
    match app.identity.renew_recovery_codes(who, &visitor.origin).await {
        Ok(issued) => codes_page(&visitor, &onward, &issued),
        Err(problem) => hindered(&app, &visitor, who, onward, problem).await,
    }
}

/// Has somebody read the language of the application to which they are on their way. It may have given them up meanwhile: that
/// is told when they go on.
async fn reads(app: &App, visitor: &mut Visitor, onward: &Onward) {
    let Some(request) = onward.asked() else { return };
    if let Ok(asked) = app.oauth.asked(request).await {
        visitor.prefers(asked.ui_locales.as_deref());
    }
}

/// Whether a refusal is about what was typed, which can be typed again.
fn is_for_form(problem: &Problem) -> bool {
    [code::CODE_INVALID.code, code::RATE_LIMITED.code].contains(&problem.code())
}

/// What somebody is shown who cannot go on with this as it is: how they can, or why not.
async fn hindered(
    app: &App,
    visitor: &Visitor,
    who: InSession,
    onward: Onward,
    problem: Problem,
) -> Result<Response, Problem> {
    match problem.code() {
        "identity.factor-exists" => done_page(visitor, &onward),
        // It took too long, or another window began anew.
        "identity.factor-not-found" => {
            let told = Told::of(problem, visitor.language);
            choice_page(app, visitor, who, &onward, Some(&told)).await
        }
        "auth.step-up-required" | "auth.second-factor-missing" => {
            prove_again(app, visitor, onward, who, problem).await
        }
        "auth.session-ended" => Ok(sign_in_first(visitor, &onward)),
        _ => Err(problem),
    }
}

async fn choice_page(
    app: &App,
    visitor: &Visitor,
    who: InSession,
    onward: &Onward,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let Known { email, organisation, .. } = known(app, who).await?;
    let frame = visitor.frame();
    let offers_passkey = passkey::are_possible(app);
    let template = ChoicePage {
        frame,
        told,
        organisation: &organisation,
        required: app.identity.factor_asked(who.tenant, who.user).await?.required,
        email: &email,
        onward: onward.fields(),
        query: onward.query(),
        past: &path_of(onward),
        offers_passkey,
    };
    refused_page(visitor, told, offers_passkey, &template)
}

fn offer_page(
    app: &App,
    visitor: &Visitor,
    who: InSession,
    onward: &Onward,
    offered: &Offered,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let template = OfferPage {
        frame: visitor.frame(),
        told,
        picture: Picture::of(&offered.uri),
        secret: in_groups(&offered.secret),
        uri: &offered.uri,
        ticket: ticket(app, who, offered.factor),
        onward: onward.fields(),
        query: onward.query(),
    };
    refused_page(visitor, told, false, &template)
}

fn codes_page(visitor: &Visitor, onward: &Onward, issued: &Issued) -> Result<Response, Problem> {
    let template = CodesPage { frame: visitor.frame(), codes: &issued.codes, past: &path_of(onward) };
    page(visitor, StatusCode::OK, false, &template)
}

fn done_page(visitor: &Visitor, onward: &Onward) -> Result<Response, Problem> {
    let template = DonePage { frame: visitor.frame(), onward: onward.fields(), past: &path_of(onward) };
    page(visitor, StatusCode::OK, false, &template)
}

fn in_groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(GROUP).map(|it| it.iter().collect()).collect();
    groups.join(" ")
}

/// What shows that a seed was offered in this session. Nobody else can make it, and nothing need be kept.
fn ticket(app: &App, who: InSession, factor: FactorId) -> String {
    let value = [factor.uuid().into_bytes(), who.session.uuid().into_bytes()].concat();
    format!("{factor}.{}", app.master.index(who.tenant, IndexOf::OfferedSeed, &value))
}

/// The authenticator of a ticket, if it is of this session.
fn ticketed(app: &App, who: InSession, shown: &str) -> Option<FactorId> {
    let factor = shown.split_once('.')?.0.parse().ok()?;
    let is_right = bool::from(ticket(app, who, factor).as_bytes().ct_eq(shown.as_bytes()));
    (is_right || !sabotage::stands(Guard::OfferedSeed)).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_typed_in_groups() {
        assert_eq!(in_groups("GEZDGNBVGY3TQOJQ"), "GEZD GNBV GY3T QOJQ");
        assert_eq!(in_groups("GEZDG"), "GEZD G");
    }
}
