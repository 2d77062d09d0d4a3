//! Setting up a passkey, from the page, as whoever is signed in. What it takes is what the interface asks: that they showed who
//! they are a moment ago, by all that they have.
//!
//! What an authenticator says of a new passkey is not signed, so making one shows no factor. Where the organisation asks for two,
//! the passkey is used once, at once: that shows them, and that it works ([ADR 22](../../../docs/adr/0022-passkeys-on-pages.md)).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::problem::Problem;

use super::form::Filled;
use super::passkey::{self, Asking};
use super::sign_in::{Onward, known, path_of, prove_again, sign_in_first};
use super::view::message;
use super::visitor::Visitor;
use crate::app::App;
use crate::identity::passkeys::{NewlyMade, party};
use crate::identity::sessions::InSession;
use crate::routes::passkeys::{CreationOptions, bytes};

/// Somebody wants to set one up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginFields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
}

/// What their browser made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeFields {
    request: Option<String>,
    organization: Option<String>,
    device: Option<String>,
    client_data: String,
    attestation: String,
}

/// What the page fills in, of [`MadeFields`].
const MADE: [&str; 2] = ["client_data", "attestation"];

/// `POST /passkey/set-up`
pub(super) async fn begin(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<BeginFields>,
) -> Result<Response, Problem> {
    let BeginFields { request, organization, device } = fields;
    let onward = Onward::new(request, organization, device);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    let party = party(&app.providers)?;
    let making = match app.identity.begin_passkey(who, &visitor.origin).await {
        Ok(making) => making,
        Err(problem) => return refused(&app, &visitor, onward, who, problem).await,
    };
    let words = visitor.words();
    let asking = Asking {
        frame: visitor.frame(),
        title: words.passkey_new_title,
        text: words.passkey_text,
        asks: "create",
        options: passkey::options(&CreationOptions::of(making, &party))?,
        path: "/passkey/set-up/answer",
        kept: onward.fields(),
        answers: &MADE,
        otherwise: (words.passkey_not_now, &path_of(&onward)),
    };
    asking.page(&visitor)
}

/// `POST /passkey/set-up/answer`
pub(super) async fn answer(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<MadeFields>,
) -> Result<Response, Problem> {
    let MadeFields { request, organization, device, client_data, attestation } = fields;
    let onward = Onward::new(request, organization, device);
    let Some(who) = visitor.who() else { return Ok(sign_in_first(&visitor, &onward)) };
    let made = NewlyMade {
        client_data: bytes("client_data", &client_data)?,
        attestation: bytes("attestation", &attestation)?,
        label: None,
    };
    let added = app.identity.add_passkey(who, made, &party(&app.providers)?, &visitor.origin).await;
    if let Err(problem) = added {
        return refused(&app, &visitor, onward, who, problem).await;
    }
    let words = visitor.words();
    if app.identity.lacks(who).await?.is_none() {
        let next = Some((words.go_on, &*path_of(&onward)));
        return message(&visitor, words.passkey_done_title, &[words.passkey_done], next);
    }
    let slug = known(&app, who).await?.slug;
    let texts = (words.passkey_done_title, words.passkey_use_once);
    passkey::to_sign(&app, &visitor, &onward.at(&slug), &slug, None, texts).await
}

/// Whoever showed who they are too long ago, or without the factor that they have, does it once more, and comes back; everything
/// else is told.
async fn refused(
    app: &App,
    visitor: &Visitor,
    onward: Onward,
    who: InSession,
    problem: Problem,
) -> Result<Response, Problem> {
    if ["auth.step-up-required", "auth.second-factor-missing"].contains(&problem.code()) {
        return prove_again(app, visitor, onward, who, problem).await;
    }
    Err(problem)
}
