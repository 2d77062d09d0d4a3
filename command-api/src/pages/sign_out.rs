//! Signing out: asked for here, or by an application (OpenID Connect RP-Initiated Logout 1.0). It is always asked once more,
//! since any page can send somebody here.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::Deserialize;
use service_kit::problem::Problem;

use super::form::Filled;
use super::sign_in::{Known, known};
use super::view::{Frame, leaving, message, page, see_other};
use super::visitor::{BROWSER, Visitor};
use crate::app::App;

/// Somebody signs out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    /// What an application asked, letter by letter: it is looked at again.
    asked: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/sign-out.html")]
struct SignOutPage<'a> {
    frame: Frame<'a>,
    client: Option<&'a str>,
    email: &'a str,
    organisation: &'a str,
    asked: Option<&'a str>,
}

/// `GET /sign-out`
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(asked): RawQuery,
) -> Result<Response, Problem> {
    let asked = asked.filter(|it| !it.is_empty());
    let leaves = match &asked {
        Some(asked) => Some(app.oauth.leaving(asked).await?),
        None => None,
    };
    let Some(signed_in) = &visitor.signed_in else {
        // Nobody is there to be asked.
        return match leaves.and_then(|it| it.back) {
            Some(url) => leaving(&visitor, &url),
            None => Ok(see_other(&visitor, "/signed-out")),
        };
    };
    let Known { email, organisation } = known(&app, signed_in.who).await?;
    let template = SignOutPage {
        frame: visitor.frame(),
        client: leaves.as_ref().and_then(|it| it.client.as_deref()),
        email: &email,
        organisation: &organisation,
        asked: asked.as_deref(),
    };
    page(&visitor, StatusCode::OK, false, &template)
}

/// `POST /sign-out`
pub(super) async fn sign_out(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<Fields>,
) -> Result<Response, Problem> {
    let leaves = match &fields.asked {
        Some(asked) => Some(app.oauth.leaving(asked).await?),
        None => None,
    };
    if let Some(browser) = &visitor.browser {
        app.identity.leave_browser(browser, &visitor.origin).await?;
    }
    let mut response = match leaves.and_then(|it| it.back) {
        Some(url) => leaving(&visitor, &url)?,
        None => see_other(&visitor, "/signed-out"),
    };
    response.headers_mut().extend(visitor.without(BROWSER).map(|it| (SET_COOKIE, it)));
    Ok(response)
}

/// `GET /signed-out`
pub(super) async fn signed_out(visitor: Visitor) -> Result<Response, Problem> {
    let words = visitor.words();
    message(&visitor, words.signed_out_title, &[words.signed_out], Some((words.to_sign_in, "/sign-in")))
}
