//! How a page becomes an answer: its headers, and what is said when something is refused.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use event_store::vault::Language;
use service_kit::config::PublicUrl;
use service_kit::problem::{Problem, ProblemBody, code};

use super::visitor::Visitor;
use super::words::Words;
use crate::answer::gone_to;

/// Nothing from elsewhere, no script, no frame, and forms to us alone.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; \
     base-uri 'none'",
);
/// The same for the pages that read the fragment of their address, or have the browser use a passkey: a script that is a file
/// of ours. It fetches nothing.
const SCRIPTED_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);
/// Where somebody comes from is told to us alone. `no-referrer` would also take the origin out of our own forms (Fetch
/// Standard, "append a request `Origin` header"), which is looked at.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// What all pages have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// What they say.
    pub words: &'static Words,
    /// As a language tag.
    pub language: &'static str,
    /// What stands before the path of every page.
    pub base: &'a str,
    /// Where the reader is.
    pub host: &'a str,
    /// What their forms are bound to.
    pub form: &'a str,
    /// Whether it reads the fragment of its address.
    pub scripted: bool,
}

/// Why something that somebody sent was not done.
#[derive(Debug)]
pub(super) struct Told {
    pub status: StatusCode,
    pub code: String,
    /// In words for them.
    pub text: &'static str,
    /// Reasons one by one, if there are several.
    pub reasons: Vec<String>,
    /// What whoever makes the application must know that sent them here, in English.
    pub detail: Option<String>,
    /// Names the request in our logs.
    pub trace: Option<String>,
    retry_after: Option<HeaderValue>,
}

impl Told {
    /// A problem, in a language.
    pub(super) fn of(problem: Problem, language: Language) -> Self {
        let body = problem.body().clone();
        // What the answer would have been says how long to wait, and is noted.
        let response = problem.into_response();
        Self::read(&body, response.headers(), language)
    }

    /// A problem that was answered already.
    fn read(body: &ProblemBody, headers: &HeaderMap, language: Language) -> Self {
        let words = Words::of(language);
        let reasons = body.errors.iter().filter_map(|it| words.weakness(&it.code, &it.detail)).collect();
        Self {
            status: StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: body.code.to_string(),
            text: words.refusal(&body.code, body.status),
            reasons,
            detail: (body.code == code::OAUTH_REQUEST_INVALID.code && !body.detail.is_empty())
                .then(|| body.detail.clone()),
            trace: body.trace_id.clone(),
            retry_after: headers.get(RETRY_AFTER).cloned(),
        }
    }
}

#[derive(Template)]
#[template(path = "pages/message.html")]
struct Message<'a> {
    frame: Frame<'a>,
    title: &'a str,
    paragraphs: &'a [&'a str],
    /// What can be done next: what it is called, and where it leads on this site.
    action: Option<(&'a str, &'a str)>,
    /// What is wrong with an application, for whoever makes it.
    detail: Option<&'a str>,
    trace: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "pages/leaving.html")]
struct Leaving<'a> {
    frame: Frame<'a>,
    url: &'a str,
    at_once: bool,
}

/// A page as an answer.
pub(super) fn page(
    visitor: &Visitor,
    status: StatusCode,
    scripted: bool,
    template: &impl Template,
) -> Result<Response, Problem> {
    let html = template.render().map_err(|error| Problem::fault(&error))?;
    Ok(visitor.keeps_visit(answer(status, html, scripted)))
}

/// A page whose form was refused, as an answer: the status and the time to wait are those of the refusal.
pub(super) fn refused_page(
    visitor: &Visitor,
    told: Option<&Told>,
    scripted: bool,
    template: &impl Template,
) -> Result<Response, Problem> {
    let status = told.map_or(StatusCode::OK, |it| it.status);
    let mut response = page(visitor, status, scripted, template)?;
    let wait = told.and_then(|it| it.retry_after.clone());
    response.headers_mut().extend(wait.map(|it| (RETRY_AFTER, it)));
    Ok(response)
}

/// A page that says something, with perhaps one thing to do next.
pub(super) fn message(
    visitor: &Visitor,
    title: &str,
    paragraphs: &[&str],
    action: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    let template = Message { frame: visitor.frame(), title, paragraphs, action, detail: None, trace: None };
    page(visitor, StatusCode::OK, false, &template)
}

/// Sends the browser back to an application. Not by a redirect: after a form, Chromium holds every step of one against
/// `form-action`, and the application is elsewhere.
pub(super) fn leaving(visitor: &Visitor, url: &str) -> Result<Response, Problem> {
    page(visitor, StatusCode::OK, false, &Leaving { frame: visitor.frame(), url, at_once: true })
}

/// The same where nobody here asked for it: the browser goes when somebody says so, who sees where it goes.
pub(super) fn leaving_if_wanted(visitor: &Visitor, url: &str) -> Result<Response, Problem> {
    page(visitor, StatusCode::OK, false, &Leaving { frame: visitor.frame(), url, at_once: false })
}

/// Sends the browser to another page of ours.
pub(super) fn see_other(visitor: &Visitor, path: &str) -> Response {
    gone_to(&format!("{}{path}", visitor.base()))
}

/// A problem that was answered already, as a page.
pub(super) fn problem_page(
    body: &ProblemBody,
    headers: &HeaderMap,
    language: Language,
    site: Option<&PublicUrl>,
) -> Response {
    told_page(&Told::read(body, headers, language), language, site)
}

/// A problem of nobody who is known, as a page.
pub(super) fn lost_page(problem: Problem, language: Language, site: Option<&PublicUrl>) -> Response {
    told_page(&Told::of(problem, language), language, site)
}

fn told_page(told: &Told, language: Language, site: Option<&PublicUrl>) -> Response {
    let words = Words::of(language);
    let frame = Frame {
        words,
        language: language.tag(),
        base: site.map_or("", PublicUrl::base),
        host: site.map_or("", PublicUrl::host),
        form: "",
        scripted: false,
    };
    let sign_in = Some((words.to_sign_in, "/sign-in"));
    let goes_on = [code::FORM_INVALID, code::NOT_FOUND, code::METHOD_NOT_ALLOWED, code::PASSKEY_INVALID];
    let action = sign_in.filter(|_| goes_on.iter().any(|it| told.code == it.code));
    let (paragraphs, trace) = ([told.text], told.trace.as_deref());
    let (title, detail) = (words.refused_title, told.detail.as_deref());
    let template = Message { frame, title, paragraphs: &paragraphs, action, detail, trace };
    let Ok(html) = template.render() else { return told.status.into_response() };
    let mut response = answer(told.status, html, false);
    response.headers_mut().extend(told.retry_after.clone().map(|it| (RETRY_AFTER, it)));
    response
}

fn answer(status: StatusCode, html: String, scripted: bool) -> Response {
    let policy = if scripted { SCRIPTED_POLICY } else { POLICY };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, REFERRER),
    ];
    (status, headers, html).into_response()
}
