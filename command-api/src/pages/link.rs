//! Opening the link of a letter, where its page says something of what stands behind it. The secret of the link is in the
//! fragment of the address, so the first page knows nothing; it sends the secret on, and changes nothing by that.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;
use service_kit::problem::Problem;

use super::view::{Frame, Told, refused_page};
use super::visitor::Visitor;

/// Somebody comes with a link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkFields {
    pub token: String,
}

#[derive(Template)]
#[template(path = "pages/link.html")]
struct LinkPage<'a> {
    frame: Frame<'a>,
    told: Option<&'a Told>,
    title: &'a str,
    /// Where the secret goes.
    path: &'a str,
    token: &'a str,
    /// What can be done in place of a link that is not good: what it is called, and where it leads on this site.
    instead: Option<(&'a str, &'a str)>,
}

/// The page to which a link leads: with this title, it sends the secret to `path`.
pub(super) fn link_page(visitor: &Visitor, title: &str, path: &str) -> Result<Response, Problem> {
    show(visitor, title, path, None, None)
}

/// The same for a link that is not good, with what can be done instead.
pub(super) fn not_opened(
    visitor: &Visitor,
    title: &str,
    path: &str,
    problem: Problem,
    instead: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    show(visitor, title, path, Some(&Told::of(problem, visitor.language)), instead)
}

fn show(
    visitor: &Visitor,
    title: &str,
    path: &str,
    told: Option<&Told>,
    instead: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    // A secret that was typed is not written back: the script would hide the field with it.
    let (frame, token) = (Frame { scripted: true, ..visitor.frame() }, "");
    refused_page(visitor, told, true, &LinkPage { frame, told, title, path, token, instead })
}
