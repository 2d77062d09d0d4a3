//! Somebody who looks at our pages, without a browser: keeps cookies as one does, and sends forms with what they hold.

use std::collections::BTreeMap;

use anyhow::Context as _;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Client, RequestBuilder};

use crate::oidc::browser;
use crate::stack::{Answer, PUBLIC_URL, answer};

/// What browsers take when somebody goes somewhere.
pub const PAGES: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const FORM: &str = "application/x-www-form-urlencoded";

/// One window, of somebody whom we may or may not know.
#[derive(Debug, Clone)]
pub struct Tab {
    client: Client,
    base: String,
    /// What is kept here, by name.
    pub cookies: BTreeMap<String, String>,
    /// What the newest page binds its forms to.
    pub form: String,
    /// The language that is read, as a header says it.
    pub language: &'static str,
    /// What is taken, as a header says it: pages first, as browsers do.
    pub takes: &'static str,
}

impl Tab {
    /// A new window at a command API.
    ///
    /// # Errors
    /// If there is none.
    pub fn at(base: &str) -> anyhow::Result<Self> {
        Ok(Self {
            client: browser()?,
            base: base.to_owned(),
            cookies: BTreeMap::new(),
            form: String::new(),
            language: "en",
            takes: PAGES,
        })
    }

    /// Looks at a page.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let answer = answer(self.dressed(self.client.get(format!("{}{path}", self.base)))).await?;
        self.keep(&answer)?;
        Ok(answer)
    }

    /// Goes where a page of ours sends the browser.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn follow(&mut self, page: &Answer) -> anyhow::Result<Answer> {
        let path = page.header("location");
        self.get(path.strip_prefix(PUBLIC_URL).unwrap_or(path)).await
    }

    /// Sends the form of the newest page.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let form = self.form.clone();
        self.forge(path, &[fields, &[("form", &form)]].concat(), Some(PUBLIC_URL)).await
    }

    /// Sends fields as any page could have them sent, from this origin.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn forge(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        origin: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let request = self.dressed(self.client.post(format!("{}{path}", self.base)));
        let request = request.header(CONTENT_TYPE, FORM).body(written(fields));
        let answer = answer(match origin {
            Some(origin) => request.header(ORIGIN, origin),
            None => request,
        })
        .await?;
        self.keep(&answer)?;
        Ok(answer)
    }

    /// What is kept under a name.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    fn dressed(&self, request: RequestBuilder) -> RequestBuilder {
        let kept: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header(ACCEPT_LANGUAGE, self.language).header(ACCEPT, self.takes);
        if kept.is_empty() { request } else { request.header(COOKIE, kept.join("; ")) }
    }

    fn keep(&mut self, answer: &Answer) -> anyhow::Result<()> {
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str()?;
            for attribute in ["__Host-quipu", "; Path=/", "; Secure", "; HttpOnly", "; SameSite="] {
                anyhow::ensure!(cookie.contains(attribute) && !cookie.contains("Domain"), "{cookie}");
            }
            let (name, value) = cookie.split_once('=').context("a cookie")?;
            let value = value.split(';').next().unwrap_or_default();
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(form) = hidden(&answer.text, "form") {
            self.form = form;
        }
        Ok(())
    }
}

/// What a page holds in a field that is not shown.
#[must_use]
pub fn hidden(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split('"').next().map(ToOwned::to_owned)
}

/// Pairs as a form has them (URL Standard, section 5.2), every byte that is not a letter or a digit escaped.
fn written(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| {
        let each = |byte: u8| match byte {
            it if it.is_ascii_alphanumeric() => char::from(it).to_string(),
            it => format!("%{it:02X}"),
        };
        text.bytes().map(each).collect::<String>()
    };
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}
