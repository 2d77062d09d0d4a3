//! Connecting a device (RFC 8628): the person types its code, sees who asks, and decides. A link may fill the code in; it is
//! looked up only when the person sends it, so nobody can have them decide about a device that they never saw.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Refusal;
use domain::gate::GateError;
use serde::Deserialize;
use service_kit::body::Query;
use service_kit::problem::Problem;

use super::consent::Answer;
use super::form::Filled;
use super::sign_in::{Onward, known, moment, prove_again, sign_in_first, to_set_up};
use super::view::{Frame, Told, message, page, refused_page};
use super::visitor::Visitor;
use crate::app::App;
use crate::identity::second_factor::Lacks;
use crate::identity::sessions::InSession;
use crate::oauth::Device;

/// The code of a device, if a link gives it along.
#[derive(Deserialize)]
pub(super) struct Params {
    user_code: Option<String>,
}

/// The code that somebody types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeFields {
    user_code: String,
}

/// What somebody decides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerFields {
    ticket: String,
    answer: Answer,
}

#[derive(Template)]
#[template(path = "pages/device.html")]
struct CodePage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    user_code: &'a str,
    email: &'a str,
    /// By which somebody comes back here as somebody else.
    onward: String,
}

#[derive(Template)]
#[template(path = "pages/device-ask.html")]
struct AskPage<'a> {
    frame: Frame<'a>,
    device: &'a Device,
    asked_at: String,
    scopes: Vec<String>,
    email: &'a str,
    onward: String,
}

/// `GET /device`
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Query(Params { user_code }): Query<Params>,
) -> Result<Response, Problem> {
    let user_code = user_code.unwrap_or_default();
    match visitor.who() {
        Some(who) => match first(&app, &visitor, who, &user_code).await? {
            Some(page) => Ok(page),
            None => code_page(&app, &visitor, who, &user_code, None).await,
        },
        None => Ok(sign_in_first(&visitor, &Onward::device(&user_code))),
    }
}

/// `POST /device`
pub(super) async fn look(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<CodeFields>,
) -> Result<Response, Problem> {
    let CodeFields { user_code } = fields;
    let Some(who) = visitor.who() else {
        return Ok(sign_in_first(&visitor, &Onward::device(&user_code)));
    };
    if let Some(page) = first(&app, &visitor, who, &user_code).await? {
        return Ok(page);
    }
    let device = match app.oauth.device(who, &user_code).await {
        Ok(device) => device,
        Err(problem) => {
            let told = Told::of(problem, visitor.language);
            return code_page(&app, &visitor, who, &user_code, Some(&told)).await;
        }
    };
    let words = visitor.words();
    let template = AskPage {
        frame: visitor.frame(),
        asked_at: moment(device.asked_at, visitor.language),
        scopes: device.scopes.iter().map(|it| words.scope(it)).collect(),
        email: &known(&app, who).await?.email,
        onward: Onward::device(&device.user_code).query(),
        device: &device,
    };
    page(&visitor, StatusCode::OK, false, &template)
}

/// `POST /device/answer`
pub(super) async fn answer(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<AnswerFields>,
) -> Result<Response, Problem> {
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &Onward::device(""))) };
    if let Some(page) = first(&app, &visitor, who, "").await? {
        return Ok(page);
    }
    let words = visitor.words();
    let (title, text) = match fields.answer {
        Answer::Allow => {
            app.oauth.approve_device(who, &fields.ticket, &visitor.origin).await?;
            (words.device_allowed_title, words.device_allowed)
        }
        Answer::Deny => {
            app.oauth.deny_device(who, &fields.ticket, &visitor.origin).await?;
            (words.device_denied_title, words.device_denied)
        }
    };
    message(&visitor, title, &[text], None)
}

/// What somebody does before they decide: what their organisation asks of whoever signs in.
async fn first(
    app: &App,
    visitor: &Visitor,
    who: InSession,
    user_code: &str,
) -> Result<Option<Response>, Problem> {
    let onward = Onward::device(user_code);
    Ok(match app.identity.lacks(who).await? {
        None => None,
        Some(Lacks::Factor) => Some(to_set_up(visitor, &onward)),
        Some(Lacks::Proof) => {
            let missing = Refusal::from(GateError::SecondFactorMissing).into();
            Some(prove_again(app, visitor, onward, who, missing).await?)
        }
    })
}

async fn code_page(
    app: &App,
    visitor: &Visitor,
    who: InSession,
    user_code: &str,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let email = known(app, who).await?.email;
    let onward = Onward::device(user_code).query();
    let template = CodePage { frame: visitor.frame(), told, user_code, email: &email, onward };
    refused_page(visitor, told, false, &template)
}
