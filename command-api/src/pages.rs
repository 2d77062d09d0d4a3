//! The pages that people see when they sign in, follow the link of a letter, allow an application something or connect a
//! device. Written out here, for browsers with or without scripts; nothing is loaded from elsewhere. They are no interface
//! for programs, so they are not in its description; what they do, the same functions of [`crate::identity`] and
//! [`crate::oauth`] do that the interfaces call.
//!
//! | pages | in |
//! |---|---|
//! | signing in, with a second factor, with a passkey, with a provider | `sign_in.rs`, `passkey.rs`, `provider.rs` |
//! | setting a second factor up, and its picture; a passkey | `set_up.rs`, `picture.rs`, `new_passkey.rs` |
//! | signing out | `sign_out.rs` |
//! | going back to an application that asks wrongly | `sent_back.rs` |
//! | links of letters, and asking for one | `recovery.rs`, `invitation.rs`, `link.rs` |
//! | allowing an application something and taking it back, connecting a device | `consent.rs`, `consents.rs`, `device.rs` |
//! | who looks, and their cookies; the one way to what they send | `visitor.rs`, `form.rs` |
//! | headers, problems, words | `view.rs`, `words.rs` |
//!
//! What else stands in the address of a page is passed over: people come by links to which others have added something.
//!
//! **Invariant:** looking at a page changes nothing that anybody could miss; and a form is taken only from a page that we gave
//! to the same browser, in the same session.
//!
//! Without a public address there are no pages: links could not lead to them, and whether a form is ours could not be told.

use std::fmt;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use service_kit::config::PublicUrl;
use service_kit::problem::{CodeDoc, Problem, ProblemBody, code};

use crate::answer::gone_to;
use crate::app::App;
use crate::identity::federated::BACK_PATH;

mod consent;
mod consents;
mod device;
mod form;
mod invitation;
mod link;
mod new_passkey;
mod passkey;
mod picture;
mod provider;
mod recovery;
mod sent_back;
mod set_up;
mod sign_in;
mod sign_out;
mod view;
mod visitor;
mod words;

pub(crate) use sent_back::send_back;
pub use visitor::Visitor;

/// Bytes of a form. None of ours needs more, and nobody is known yet who sends it.
const BODY_BYTES_MAX: usize = 8 * 1024;
const STYLE: &str = include_str!("../templates/pages/style.css");
const LINK: &str = include_str!("../templates/pages/link.js");
const PASSKEY: &str = include_str!("../templates/pages/passkey.js");
/// How long browsers keep the files that all pages share.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Every page that can be looked at without anything in its address.
pub const PAGES: &[&str] = &[
    "/sign-in",
    "/sign-out",
    "/signed-out",
    "/second-factor/set-up",
    "/forgot",
    "/reset",
    "/verify",
    "/verify/address",
    "/verify/organization",
    "/invitation",
    "/consents",
    "/device",
];

/// What people's browsers are sent to, of what is described as an interface.
const BROWSED: [&str; 4] =
    ["/v1/auth/{provider}", "/v1/auth/{provider}/callback", "/oauth2/authorize", "/oauth2/logout"];

/// Every path that takes a form.
pub const FORMS: &[&str] = &[
    "/sign-in",
    "/sign-in/second-factor",
    "/sign-in/passkey",
    "/sign-in/passkey/answer",
    "/second-factor/set-up",
    "/second-factor/set-up/code",
    "/second-factor/recovery-codes",
    "/passkey/set-up",
    "/passkey/set-up/answer",
    "/sign-out",
    "/forgot",
    "/reset",
    "/reset/open",
    "/verify",
    "/verify/address",
    "/verify/organization",
    "/invitation",
    "/invitation/open",
    "/consent",
    "/consents",
    "/device",
    "/device/answer",
];

/// Where the pages are.
#[derive(Clone)]
pub struct Pages {
    site: Option<PublicUrl>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

impl Pages {
    /// Under this address; without one there are none.
    #[must_use]
    pub const fn new(site: Option<PublicUrl>) -> Self {
        Self { site }
    }

    /// What somebody is told who came to where nothing is.
    fn lost(&self, headers: &HeaderMap, problem: Problem) -> Response {
        match &self.site {
            Some(site) if takes_pages(headers) => {
                view::lost_page(problem, visitor::language_of(headers), Some(site))
            }
            _ => problem.into_response(),
        }
    }

    /// The path of a page, as browsers ask for it: with what stands before it where a proxy takes that away.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.site.as_ref().map_or("", PublicUrl::base))
    }

    /// The whole address of a page.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<String> {
        self.site.as_ref().map(|it| it.link(path, None))
    }
}

/// Every page. Merge it into a router before it is hardened.
pub(crate) fn router(app: App) -> Router {
    if app.pages.site.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/", get(|State(app): State<App>| async move { gone_to(&app.pages.path("/sign-in")) }))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-in/second-factor", post(sign_in::second_factor))
        .route("/sign-in/passkey", post(passkey::begin))
        .route("/sign-in/passkey/answer", post(passkey::answer))
        .route("/second-factor/set-up", get(set_up::show).post(set_up::begin))
        .route("/second-factor/set-up/code", post(set_up::confirm))
        .route("/second-factor/recovery-codes", post(set_up::renew))
        .route("/passkey/set-up", post(new_passkey::begin))
        .route("/passkey/set-up/answer", post(new_passkey::answer))
        .route("/sign-in/with", get(provider::begin))
        .route(BACK_PATH, get(provider::back))
        .route("/sign-out", get(sign_out::show).post(sign_out::sign_out))
        .route("/signed-out", get(sign_out::signed_out))
        .route("/forgot", get(recovery::forgot).post(recovery::ask))
        .route("/reset", get(recovery::reset).post(recovery::save))
        .route("/reset/open", post(recovery::reset_opened))
        .route("/verify", get(recovery::verify).post(recovery::verified))
        .route("/verify/address", get(recovery::address).post(recovery::address_confirmed))
        .route("/verify/organization", get(recovery::organization).post(recovery::organization_confirmed))
        .route("/invitation", get(invitation::show).post(invitation::answer))
        .route("/invitation/open", post(invitation::opened))
        .route("/consent", get(consent::show).post(consent::answer))
        .route("/consents", get(consents::show).post(consents::take_back))
        .route("/device", get(device::show).post(device::look))
        .route("/device/answer", post(device::answer))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route_layer(from_fn_with_state(app.clone(), told_as_pages))
        .route("/pages/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/pages/link.js", get(|| async { asset("text/javascript; charset=utf-8", LINK) }))
        .route("/pages/passkey.js", get(|| async { asset("text/javascript; charset=utf-8", PASSKEY) }))
        .with_state(app)
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    let media_type = HeaderValue::from_static(media_type);
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, KEPT_FOR)], text).into_response()
}

/// A problem that a page answers with is told as a page.
async fn told_as_pages(State(app): State<App>, request: Request, next: Next) -> Response {
    let language = visitor::language_of(request.headers());
    let response = next.run(request).await;
    let Some(body) = response.extensions().get::<ProblemBody>() else { return response };
    view::problem_page(body, response.headers(), language, app.pages.site.as_ref())
}

/// Where an interface is called by people's browsers, problems are told as pages too, to whoever takes them.
pub(crate) async fn told_to_people(state: State<App>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let comes_by_browser = path.is_some_and(|it| BROWSED.contains(&it)) && takes_pages(request.headers());
    if comes_by_browser { told_as_pages(state, request, next).await } else { next.run(request).await }
}

/// Answers what matches no route: people are told on a page, and where they can go on; programs by a problem. It comes last
/// before a router is guarded.
pub(crate) fn answering_the_rest(router: Router, pages: &Pages) -> Router {
    let answering = |code: &'static CodeDoc| {
        let pages = pages.clone();
        move |headers: HeaderMap| std::future::ready(pages.lost(&headers, Problem::new(code, "")))
    };
    router
        .fallback(answering(&code::NOT_FOUND))
        .method_not_allowed_fallback(answering(&code::METHOD_NOT_ALLOWED))
}

/// Whether somebody says that they take pages; a program that takes anything says no such thing.
fn takes_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    accepted.flat_map(|it| it.split(',')).any(|it| it.trim().starts_with("text/html"))
}
