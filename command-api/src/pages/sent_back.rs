//! Going back to an application whose request is wrong, with what is wrong.
//!
//! Whoever may register services chooses where that leads. So nobody goes there by a mere link to us (RFC 9700 section 4.11.2):
//! somebody is signed in in the organisation of the service and so knows it, or they see first where they go.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use service_kit::outgoing::Url;
use service_kit::problem::Problem;

use super::view::{Frame, page};
use super::visitor::Visitor;
use crate::answer::gone_to;
use crate::oauth::SentBack;

#[derive(Template)]
#[template(path = "pages/sent-back.html")]
struct SentBackPage<'a> {
    frame: Frame<'a>,
    client: &'a str,
    told: &'a str,
    place: &'a str,
    url: &'a str,
}

/// Sends the browser back, or shows what leads there.
pub(crate) fn send_back(mut visitor: Visitor, back: &SentBack) -> Result<Response, Problem> {
    if back.is_silent || visitor.who().is_some_and(|it| it.tenant == back.tenant) {
        return Ok(gone_to(&back.url));
    }
    visitor.prefers(back.ui_locales.as_deref());
    let SentBack { client, told, url, .. } = back;
    let place = place(url);
    let template = SentBackPage { frame: visitor.frame(), client, told, place: &place, url };
    page(&visitor, StatusCode::BAD_REQUEST, false, &template)
}

/// Where an address leads, as people can tell: to a host, or to the program that has such addresses.
fn place(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return String::new() };
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => format!("{}:", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_the_host_or_the_program() {
        for (url, told) in [
            ("https://shop.example/back?error=invalid_scope", "shop.example"),
            ("http://127.0.0.1:3939/cb?x=y", "127.0.0.1:3939"),
            ("com.example.app:/back", "com.example.app:"),
            // As it is resolved, not as it may be taken for another.
            ("https://аpple.example/", "xn--pple-43d.example"),
        ] {
            assert_eq!(place(url), told, "{url}");
        }
    }
}
