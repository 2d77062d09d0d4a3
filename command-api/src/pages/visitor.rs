//! Who looks at a page: their language, who is signed in in their browser, and what their forms are bound to.
//!
//! | cookie | holds | lasts |
//! |---|---|---|
//! | `__Host-quipu` | what stands for a session | until the browser is closed, 12 hours at most |
//! | `__Host-quipu-visit` | a random text that forms are bound to | until the browser is closed |
//! | `__Host-quipu-device` | that somebody signed in here before; it opens nothing | 180 days |
//! | `__Host-quipu-back` | what binds a sign-in with a provider to this browser | 10 minutes |
//!
//! Without TLS the names go without `__Host-`.

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use domain::ids::TenantId;
use event_store::keyring::IndexOf;
use event_store::vault::Language;
use service_kit::config::PublicUrl;
use service_kit::problem::Problem;
use service_kit::random;

use super::view::Frame;
use super::words::Words;
use crate::app::App;
use crate::cookie::Cookies;
use crate::identity::Origin;
use crate::identity::browser::InBrowser;
use crate::identity::sessions::InSession;

/// What stands for a session.
pub(super) const BROWSER: &str = "quipu";
/// What forms are bound to.
const VISIT: &str = "quipu-visit";
/// What a device keeps of an earlier sign-in; the same as with the API.
pub(super) const DEVICE: &str = "quipu-device";
/// What binds a sign-in with a provider.
pub(super) const BACK: &str = "quipu-back";
/// Languages of a header that are looked at.
const LANGUAGES_MAX: usize = 20;
/// Characters of a text that nobody guesses.
const RANDOM_CHARS: usize = 43;

/// Somebody who looks at a page.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What they read.
    pub language: Language,
    /// Who is signed in in their browser, by a session that stands.
    pub signed_in: Option<InBrowser>,
    /// From where they come.
    pub origin: Origin,
    site: Option<PublicUrl>,
    /// What their browser keeps for a session, whether it stands or not.
    pub(super) browser: Option<String>,
    /// What their device keeps.
    pub(super) device: Option<String>,
    /// What binds them to a sign-in with a provider.
    pub(super) back: Option<String>,
    visit: String,
    is_new: bool,
    form: String,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(origin) = Origin::from_request_parts(parts, app).await;
        let site = app.pages.site.clone();
        let kept = |name: &str| app.cookies().kept(&parts.headers, name);
        let browser = kept(BROWSER);
        let signed_in = match &browser {
            Some(text) => app.identity.in_browser(text).await?,
            None => None,
        };
        let (visit, is_new) = match kept(VISIT).filter(|it| it.len() == RANDOM_CHARS) {
            Some(visit) => (visit, false),
            None => (random::text()?, true),
        };
        let bound_to = format!("{visit}\0{}", browser.as_deref().unwrap_or_default());
        let form = app.master.index(TenantId::PLATFORM, IndexOf::Form, bound_to.as_bytes()).to_string();
        let (device, back) = (kept(DEVICE), kept(BACK));
        let language = language_of(&parts.headers);
        Ok(Self { language, signed_in, origin, site, browser, device, back, visit, is_new, form })
    }
}

impl Visitor {
    /// The session that stands in their browser.
    #[must_use]
    pub fn who(&self) -> Option<InSession> {
        self.signed_in.as_ref().map(|it| it.who)
    }

    /// Has them read the first of these languages that pages are written in, if there is one: an application knows better than
    /// the browser (OpenID Connect Core 1.0 section 3.1.2.1, `ui_locales`).
    pub(super) fn prefers(&mut self, locales: Option<&str>) {
        let wanted = locales.unwrap_or_default().split_ascii_whitespace().take(LANGUAGES_MAX);
        self.language = wanted.filter_map(known_language).next().unwrap_or(self.language);
    }

    /// Whether their browser had kept something of ours when it asked: one that takes no cookies never has.
    pub(super) const fn is_known(&self) -> bool {
        !self.is_new
    }

    /// What the forms of their pages are bound to: whoever sends one shows that we gave it to this browser, in this session.
    pub(super) fn form(&self) -> &str {
        &self.form
    }

    /// Whether a request from this origin can come from a page of ours.
    pub(super) fn is_ours(&self, origin: Option<&HeaderValue>) -> bool {
        let ours = self.site.as_ref().map(PublicUrl::origin);
        ours.is_some() && ours == origin.and_then(|it| it.to_str().ok())
    }

    /// What all pages have in common.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            words: self.words(),
            language: self.language.tag(),
            base: self.base(),
            host: self.site.as_ref().map_or("", PublicUrl::host),
            form: &self.form,
            scripted: false,
        }
    }

    pub(super) const fn words(&self) -> &'static Words {
        Words::of(self.language)
    }

    /// What stands before the path of every page.
    pub(super) fn base(&self) -> &str {
        self.site.as_ref().map_or("", PublicUrl::base)
    }

    /// A cookie that is sent to us alone, and that no script can read.
    pub(super) fn cookie(&self, name: &str, value: &str, seconds: Option<i64>) -> Option<HeaderValue> {
        Cookies::of(self.site.as_ref()).given(name, value, seconds)
    }

    /// Has the browser give a cookie up.
    pub(super) fn without(&self, name: &str) -> Option<HeaderValue> {
        self.cookie(name, "", Some(0))
    }

    /// Has the browser keep what the forms of a page are bound to.
    pub(super) fn keeps_visit(&self, mut response: Response) -> Response {
        if self.is_new {
            let kept = self.cookie(VISIT, &self.visit, None);
            response.headers_mut().extend(kept.map(|it| (SET_COOKIE, it)));
        }
        response
    }
}

/// The language of a tag, if pages are written in it: German is German, in Austria too.
fn known_language(tag: &str) -> Option<Language> {
    let primary = tag.split('-').next()?;
    Language::ALL.into_iter().find(|it| it.tag().eq_ignore_ascii_case(primary))
}

/// The language that somebody reads best, of those that pages are written in (RFC 9110 section 12.5.4).
pub(super) fn language_of(headers: &HeaderMap) -> Language {
    let Some(wanted) = headers.get(ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok()) else {
        return Language::default();
    };
    let weighed = wanted.split(',').take(LANGUAGES_MAX).filter_map(|it| {
        let mut parts = it.split(';').map(str::trim);
        let tag = parts.next()?;
        let weight =
            parts.find_map(|it| it.strip_prefix("q=")).map_or(Some(1.0), |it| it.parse::<f32>().ok());
        Some((known_language(tag)?, weight.filter(|it| (0.0..=1.0).contains(it) && *it > 0.0)?))
    });
    // The first of those that are wanted most.
    let best = weighed.fold(None, |best: Option<(Language, f32)>, it| match best {
        Some(before) if before.1 >= it.1 => Some(before),
        _ => Some(it),
    });
    best.map_or_else(Language::default, |it| it.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_that_is_read_best() {
        for (wanted, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Language::De),
            ("en-GB,de;q=0.9", Language::En),
            ("fr,de;q=0.5,en;q=0.4", Language::De),
            ("en;q=0.1, de;q=0.2", Language::De),
            ("de;q=0, en;q=0.1", Language::En),
            ("fr", Language::En),
            ("*", Language::En),
            ("de;q=NaN", Language::En),
            ("", Language::En),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(wanted))]);
            assert_eq!(language_of(&headers), language, "{wanted}");
        }
        assert_eq!(language_of(&HeaderMap::new()), Language::En);
    }
}
