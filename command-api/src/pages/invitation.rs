//! Accepting an invitation, or declining it: as whoever is signed in, or as somebody new with a password of their choice.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use domain::gate::Gated;
use domain::metadata::Label;
use domain::words;
use event_store::vault::Language;
use serde::Deserialize;
use service_kit::problem::{Problem, code};

use super::form::Filled;
use super::link::{LinkFields, link_page, not_opened};
use super::recovery::done;
use super::sign_in::known;
use super::view::{Frame, Told, message, refused_page};
use super::visitor::Visitor;
use crate::app::App;
use crate::identity::invitations::NewMember;
use crate::identity::opening::{LinkFor, Opened};
use crate::passwords::Password;

/// Where the page of a link sends its secret.
const OPEN: &str = "/invitation/open";

/// What somebody answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    token: String,
    answer: Answer,
    given_name: Option<String>,
    family_name: Option<String>,
    password: Option<Password>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Accept,
    Decline,
}

#[derive(Template)]
#[template(path = "pages/invitation.html")]
struct InvitationPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    token: &'a str,
    inviter: Option<&'a str>,
    organisation: &'a str,
    /// What a password must be.
    hint: String,
    /// As whom it is accepted, if somebody is signed in.
    email: Option<String>,
    given_name: &'a str,
    family_name: &'a str,
}

/// What was written so far.
#[derive(Default)]
struct Written<'a> {
    token: &'a str,
    given_name: &'a str,
    family_name: &'a str,
}

/// `GET /invitation`
pub(super) async fn show(visitor: Visitor) -> Result<Response, Problem> {
    link_page(&visitor, visitor.words().invitation_title, OPEN)
}

/// `POST /invitation/open`
pub(super) async fn opened(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<LinkFields>,
) -> Result<Response, Problem> {
    match app.identity.open_link(&fields.token, LinkFor::Invitation, &visitor.origin).await {
        Ok(opened) => {
            let written = Written { token: &fields.token, ..Written::default() };
            form(&app, &visitor, &opened, &written, None).await
        }
        Err(problem) => not_opened(&visitor, visitor.words().invitation_title, OPEN, problem, None),
    }
}

/// `POST /invitation`
pub(super) async fn answer(
    State(app): State<App>,
    Filled { fields, visitor }: Filled<Fields>,
) -> Result<Response, Problem> {
    let words = visitor.words();
    let said = match fields.answer {
        Answer::Accept => {
            accept(&app, &visitor, &fields).await.map(|()| (words.accepted_title, words.accepted))
        }
        Answer::Decline => {
            let declined = app.identity.decline_invitation(&fields.token, &visitor.origin);
            declined.await.map(|_| (words.declined_title, words.declined))
        }
    };
    match said {
        Ok((title, text)) if fields.answer == Answer::Accept => {
            let of = app.identity.organisation_of_link(&fields.token).await?;
            done(&visitor, title, text, of.as_ref())
        }
        Ok((title, text)) => message(&visitor, title, &[text], None),
        Err(problem) => {
            let written = Written {
                token: &fields.token,
                given_name: fields.given_name.as_deref().unwrap_or_default(),
                family_name: fields.family_name.as_deref().unwrap_or_default(),
            };
            match app.identity.behind_link(&fields.token, LinkFor::Invitation).await {
                Ok(opened) => {
                    let told = Told::of(problem, visitor.language);
                    form(&app, &visitor, &opened, &written, Some(&told)).await
                }
                Err(problem) => not_opened(&visitor, words.invitation_title, OPEN, problem, None),
            }
        }
    }
}

async fn accept(app: &App, visitor: &Visitor, fields: &Fields) -> Result<(), Problem> {
    let token = &fields.token;
    if let Some(who) = visitor.who() {
        let gated = |command| -> Box<dyn domain::Decision> { Box::new(Gated::new(who.gate(), command)) };
        app.identity.accept_in_session(token, who, gated, &visitor.origin).await?;
        return Ok(());
    }
    let name = |it: &Option<String>| {
        let odd = |_| Problem::new(&code::INVALID_FIELD, "a name is not one");
        it.as_deref().map(Label::parse).transpose().map_err(odd)
    };
    let missing = || Problem::new(&code::MISSING_FIELD, "password");
    let new = NewMember {
        password: fields.password.clone().ok_or_else(missing)?,
        given_name: name(&fields.given_name)?,
        family_name: name(&fields.family_name)?,
        language: Some(match visitor.language {
            Language::En => words::Language::of("en"),
            Language::De => words::Language::of("de"),
        }),
    };
    app.identity.accept_with_password(token, new, &visitor.origin).await?;
    Ok(())
}

async fn form(
    app: &App,
    visitor: &Visitor,
    opened: &Opened,
    written: &Written<'_>,
    told: Option<&Told>,
) -> Result<Response, Problem> {
    let email = match visitor.who() {
        Some(who) => Some(known(app, who).await?.email),
        None => None,
    };
    let Written { token, given_name, family_name } = *written;
    let template = InvitationPage {
        frame: visitor.frame(),
        told,
        token,
        inviter: opened.inviter.as_deref(),
        organisation: opened.organisation.as_ref().map_or("", |it| &*it.name),
        hint: visitor.words().password_hint(opened.length_min),
        email,
        given_name,
        family_name,
    };
    refused_page(visitor, told, false, &template)
}
