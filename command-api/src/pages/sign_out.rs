//! Signing out: asked for here, by an application (OpenID Connect RP-Initiated Logout 1.0), or by somebody on their way to one who
//! would be somebody else there, and goes on then. It is always asked once more, since any page can send somebody here.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::Deserialize;
use service_kit::problem::Problem;

use super::form::Filled;
use super::sign_in::{Known, Onward, known, sign_in_first};
use super::view::{Frame, leaving, leaving_if_wanted, message, page, see_other};
use super::visitor::{BROWSER, Visitor};
use crate::app::App;
use crate::identity::browser::InBrowser;
use crate::oauth::Leaving;

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
    let Some(signed_in) = visitor.signed_in.as_ref().filter(|it| !means_another(it, leaves.as_ref())) else {
        // Whoever is meant is not there to be asked.
        return gone(&visitor, leaves, asked.as_deref(), false);
    };
    let Known { email, organisation, .. } = known(&app, signed_in.who).await?;
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
    let asked = fields.asked.as_deref();
    if visitor.signed_in.as_ref().is_some_and(|it| means_another(it, leaves.as_ref())) {
        return gone(&visitor, leaves, asked, true);
    }
    if let Some(browser) = &visitor.browser {
        app.identity.leave_browser(browser, &visitor.origin).await?;
    }
    let mut response = gone(&visitor, leaves, asked, true)?;
    response.headers_mut().extend(visitor.without(BROWSER).map(|it| (SET_COOKIE, it)));
    Ok(response)
}

/// Whether an application wants somebody else signed out than who is there. It may be out of date, or it may try to be rid of
/// whoever is there; either way they did not ask for it, and stay.
fn means_another(signed_in: &InBrowser, leaves: Option<&Leaving>) -> bool {
    leaves.and_then(|it| it.user).is_some_and(|it| it != signed_in.who.user)
}

/// On to where the application wants them; to where they were going, as somebody else; or to a page of ours.
/// `has_asked`: they said themselves that they want to sign out.
fn gone(
    visitor: &Visitor,
    leaves: Option<Leaving>,
    asked: Option<&str>,
    has_asked: bool,
) -> Result<Response, Problem> {
    let pairs: Vec<(String, String)> =
        asked.and_then(|it| serde_urlencoded::from_str(it).ok()).unwrap_or_default();
    // Without an ID token anybody may have made the link (section 3): the person says whether they want to go there.
    let is_shown = has_asked || leaves.as_ref().is_some_and(|it| it.user.is_some());
    match (leaves.and_then(|it| it.back), Onward::among(&pairs)) {
        (Some(url), _) if is_shown => leaving(visitor, &url),
        (Some(url), _) => leaving_if_wanted(visitor, &url),
        (None, Some(onward)) => Ok(sign_in_first(visitor, &onward)),
        (None, None) => Ok(see_other(visitor, "/signed-out")),
    }
}

/// `GET /signed-out`
pub(super) async fn signed_out(visitor: Visitor) -> Result<Response, Problem> {
    let words = visitor.words();
    message(&visitor, words.signed_out_title, &[words.signed_out], Some((words.to_sign_in, "/sign-in")))
}
