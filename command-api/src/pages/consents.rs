//! The applications that somebody lets in, and taking that back.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::ids::ServiceId;
use serde::Deserialize;
use service_kit::problem::Problem;

use super::form::Filled;
use super::sign_in::{Known, Onward, known, sign_in_first};
use super::view::{Frame, page, see_other};
use super::visitor::Visitor;
use crate::app::App;

/// Of whom somebody takes back what they allowed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    service: ServiceId,
}

/// An application, as it is shown.
struct Shown {
    service: String,
    name: String,
    scopes: Vec<String>,
    questioned: bool,
}

#[derive(Template)]
#[template(path = "pages/consents.html")]
struct ConsentsPage<'a> {
    frame: Frame<'a>,
    email: &'a str,
    organisation: &'a str,
    all: Vec<Shown>,
}

/// `GET /consents`
pub(super) async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &Onward::default())) };
    let Known { email, organisation, .. } = known(&app, who).await?;
    let words = visitor.words();
    let all = app.identity.allowed_by(who).await?.into_iter().map(|it| Shown {
        service: it.service.to_string(),
        name: it.name,
        scopes: it.scopes.iter().map(|it| words.scope(it)).collect(),
        questioned: it.questioned,
    });
    let (frame, all) = (visitor.frame(), all.collect());
    let template = ConsentsPage { frame, email: &email, organisation: &organisation, all };
    page(&visitor, StatusCode::OK, false, &template)
}

/// `POST /consents`
pub(super) async fn take_back(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<Fields>,
) -> Result<Response, Problem> {
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &Onward::default())) };
    app.identity.take_consent_back(who, fields.service, &visitor.origin).await?;
    Ok(see_other(&visitor, "/consents"))
}
