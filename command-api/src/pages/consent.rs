//! Allowing an application what it asks for, or not.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use service_kit::body::Query;
use service_kit::problem::{Problem, code};

use super::form::Filled;
use super::sign_in::{Known, Onward, known, sign_in_first, to_set_up};
use super::view::{Frame, leaving, page};
use super::visitor::Visitor;
use crate::app::App;
use crate::oauth::Next;

/// Which request.
#[derive(Deserialize)]
pub(super) struct Params {
    request: String,
}

/// What somebody answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    request: String,
    answer: Answer,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    Allow,
    Deny,
}

#[derive(Template)]
#[template(path = "pages/consent.html")]
struct ConsentPage<'a> {
    frame: Frame<'a>,
    client: &'a str,
    organisation: &'a str,
    email: &'a str,
    scopes: Vec<String>,
    request: &'a str,
}

/// `GET /consent`
pub(super) async fn show(
    State(app): State<App>,
    mut visitor: Visitor,
    Query(Params { request }): Query<Params>,
) -> Result<Response, Problem> {
    let asked = app.oauth.asked(&request).await?;
    visitor.prefers(asked.ui_locales.as_deref());
    let onward = Onward::request(&request);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    match app.oauth.next(&asked, Some(who)).await? {
        Next::SignIn => return Ok(sign_in_first(&visitor, &onward)),
        Next::Enrol => return Ok(to_set_up(&visitor, &onward)),
        Next::Back(url) => return leaving(&visitor, &url),
        Next::Consent => {}
    }
    let Known { email, organisation, .. } = known(&app, who).await?;
    let words = visitor.words();
    let template = ConsentPage {
        frame: visitor.frame(),
        client: &asked.client,
        organisation: &organisation,
        email: &email,
        scopes: asked.scopes.iter().map(|it| words.scope(it)).collect(),
        request: &request,
    };
    page(&visitor, StatusCode::OK, false, &template)
}

/// `POST /consent`
pub(super) async fn answer(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<Fields>,
) -> Result<Response, Problem> {
    let asked = app.oauth.asked(&fields.request).await?;
    // The form is bound to the session, but that may have ended since, or be one of another organisation.
    let Some(who) = visitor.who().filter(|it| it.tenant == asked.tenant) else {
        return Err(Problem::new(&code::FORM_INVALID, ""));
    };
    let url = match fields.answer {
        Answer::Allow => app.oauth.allow(&asked, who, &visitor.origin).await,
        Answer::Deny => app.oauth.deny(&asked).await,
    };
    match url {
        Ok(url) => leaving(&visitor, &url),
        // The organisation began to ask for it meanwhile: what comes first now is looked at anew.
        Err(problem) if problem.code() == "auth.second-factor-missing" => {
            Ok(sign_in_first(&visitor, &Onward::request(&fields.request)))
        }
        Err(problem) => Err(problem),
    }
}
