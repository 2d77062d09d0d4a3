//! Where mail goes, in whose name, and what the links in it begin with.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, either, secret};
use crate::nats::unescaped;

/// Where mail goes. Without a server letters wait in the outbox, where `quipu mail` shows them.
#[derive(Debug, Clone, Default, Args)]
pub struct MailConfig {
    /// URL of the server that takes letters: smtps://user:password@host (TLS from the first byte, port 465 if none is named) or
    /// smtp://user:password@host (STARTTLS is demanded, port 587 if none is named). On this machine alone, `?tls=off` is
    /// taken too. Without it no letter is sent: they wait, at most for 24 hours, and `quipu mail` shows them.
    #[arg(long, env = "QUIPU_SMTP_URL", value_parser = secret, hide_env_values = true)]
    pub smtp_url: Option<SecretString>,
    /// File that holds the URL of the server, in place of the URL itself.
    #[arg(long, env = "QUIPU_SMTP_URL_FILE")]
    pub smtp_url_file: Option<PathBuf>,
    /// File of the certificates (PEM) of the authorities against which the server's own is checked. Without it, those that
    /// browsers trust.
    #[arg(long, env = "QUIPU_SMTP_CA_FILE")]
    pub smtp_ca_file: Option<PathBuf>,
    /// Who letters are from: a mailbox that may send through the server, such as `Example <no-reply@example.org>`. There must
    /// be one where there is a server.
    #[arg(long, env = "QUIPU_MAIL_FROM")]
    pub mail_from: Option<String>,
    /// What links to us begin with, such as https://id.example.org: scheme, host and port. Nothing that a request says is ever
    /// used for it. Without it nobody signs in with other providers, with passkeys or to services.
    #[arg(long, env = "QUIPU_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
}

impl MailConfig {
    /// The server, if there is one.
    ///
    /// # Errors
    /// If its URL cannot be used.
    pub fn server(&self) -> Result<Option<SmtpServer>, ConfigError> {
        if self.smtp_url.is_none() && self.smtp_url_file.is_none() {
            return Ok(None);
        }
        let url = either(
            "QUIPU_SMTP_URL",
            self.smtp_url.as_ref(),
            self.smtp_url_file.as_deref(),
            SmtpServer::FORM,
        )?;
        url.expose_secret().parse().map(Some)
    }

    /// Who letters are from.
    ///
    /// # Errors
    /// If nobody is named.
    pub fn from(&self) -> Result<&str, ConfigError> {
        let mend =
            "name a mailbox that may send through the server, such as `Example <no-reply@example.org>`";
        self.mail_from.as_deref().ok_or_else(|| ConfigError::new("QUIPU_MAIL_FROM", "it is not set", mend))
    }

    /// What links to us begin with.
    ///
    /// # Errors
    /// If it is not set.
    pub fn public_url(&self) -> Result<&PublicUrl, ConfigError> {
        self.public_url
            .as_ref()
            .ok_or_else(|| ConfigError::new("QUIPU_PUBLIC_URL", "it is not set", PublicUrl::FORM))
    }
}

/// A server that takes mail.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    /// Its name, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
    /// User and password, if it wants to know who sends.
    pub login: Option<(String, SecretString)>,
}

/// How a connection to a server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte (RFC 8314 section 3.3).
    Tls,
    /// STARTTLS (RFC 3207); without it nothing is sent.
    StartTls,
    /// None: the server is on this machine.
    Off,
}

impl SmtpServer {
    const FORM: &str = "write smtps://user:password@host:465 or smtp://user:password@host:587, with %-escapes in \
                        the password";
}

impl FromStr for SmtpServer {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        // Nothing of the text is quoted: it holds a password.
        let bad = |problem: &str| ConfigError::new("QUIPU_SMTP_URL", problem, Self::FORM);
        let text = text.trim();
        let uri = Uri::from_str(text).map_err(|_| bad("it is not a URL"))?;
        let (scheme, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) if !text.contains('#') && uri.path().len() <= 1 => {
                (scheme, authority)
            }
            _ => return Err(bad("it is not a URL of a mail server")),
        };
        let (login, place) = match authority.as_str().rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority.as_str()),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse::<u16>().map_err(|_| bad("its port is not a number"))?))
            }
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let (protection, usual_port) = match (scheme, uri.query()) {
            ("smtps", None) => (Protection::Tls, 465),
            ("smtp", None) => (Protection::StartTls, 587),
            ("smtp", Some("tls=off")) if is_here(&host) => (Protection::Off, 25),
            ("smtp", Some("tls=off")) => return Err(bad("TLS may be off on this machine alone")),
            _ => return Err(bad("it is neither smtp:// nor smtps://, or has an option that is not known")),
        };
        let login = match login {
            None => None,
            Some(login) => {
                let unreadable = || bad("its user or password cannot be read");
                let (user, password) =
                    login.split_once(':').ok_or_else(|| bad("its user has no password"))?;
                let user = unescaped(user).ok_or_else(unreadable)?;
                Some((user, SecretString::from(unescaped(password).ok_or_else(unreadable)?)))
            }
        };
        Ok(Self { host, port: port.unwrap_or(usual_port), protection, login })
    }
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// What links to us begin with: https, or http on this machine; a host, perhaps a port and a path; no final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
    origin: String,
    base: String,
}

impl PublicUrl {
    const FORM: &str = "write the address that people reach us under, such as https://id.example.org; http is taken \
                        on this machine alone";

    /// The host, as people read it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is a name and no address: passkeys are bound to one (Web Authentication Level 2, section 4, "RP ID").
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let is_address = self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        (!is_address).then_some(&self.host)
    }

    /// What browsers name as the origin of our own pages: scheme, host and port (RFC 6454 section 6.2).
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What stands before the path of every page, without a final slash; mostly nothing.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether what browsers send is protected on its way. It is not on this machine alone.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// A link to `path`, which begins with a slash. A secret goes into the fragment, which browsers send to nobody.
    #[must_use]
    pub fn link(&self, path: &str, secret: Option<&str>) -> String {
        match secret {
            Some(secret) => format!("{}{path}#{secret}", self.text),
            None => format!("{}{path}", self.text),
        }
    }
}

impl FromStr for PublicUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = |problem: &str| ConfigError::new("QUIPU_PUBLIC_URL", problem, Self::FORM);
        let uri = Uri::from_str(text).map_err(|_| bad("it is not a URL"))?;
        // Browsers write it small, and compare it with what passkeys are bound to.
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_here(&host) => {}
            _ => return Err(bad("it does not begin with https://")),
        }
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) || text.contains(['?', '#']) {
            return Err(bad("it has more than a host, a port and a path"));
        }
        let scheme = uri.scheme_str().unwrap_or_default();
        let usual_port = if scheme == "https" { 443 } else { 80 };
        let port = uri.port_u16().filter(|it| *it != usual_port).map(|it| format!(":{it}"));
        let origin = format!("{scheme}://{host}{}", port.unwrap_or_default());
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { text: text.trim_end_matches('/').to_owned(), host, origin, base })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_with_its_protection_and_login() {
        let read = |text: &str| text.parse::<SmtpServer>().unwrap();
        let tls = read("smtps://us%40er:p%3Aw%25@mail.example.org");
        assert_eq!((tls.host.as_str(), tls.port, tls.protection), ("mail.example.org", 465, Protection::Tls));
        let (user, password) = tls.login.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("us@er", "p:w%"));
        let upgraded = read("smtp://mail.example.org:2525/");
        assert_eq!((upgraded.port, upgraded.protection), (2525, Protection::StartTls));
        assert!(upgraded.login.is_none());
        assert_eq!(read("smtp://127.0.0.1:1025?tls=off").protection, Protection::Off);
        let six = read("smtp://[::1]:1025?tls=off");
        assert_eq!((six.host.as_str(), six.port), ("::1", 1025));
        assert_eq!(read("smtps://[2001:db8::1]").host, "2001:db8::1");
    }

    #[test]
    fn what_would_send_in_the_clear_is_refused_and_nothing_is_quoted() {
        for bad in [
            "smtp://mail.example.org?tls=off",
            "smtp://mail.example.org?tls=opportunistic",
            "smtp://u:hunter2@mail.example.org/path",
            "smtp://u:hun#ter2@mail.example.org",
            "smtp://hunter2@mail.example.org",
            "smtp://u:hunter2%zz@mail.example.org",
            "smtp://u:hunter2@mail.example.org:port",
            "http://u:hunter2@mail.example.org",
            "smtps://u:hunter2@",
            "hunter2",
            "",
        ] {
            let error = bad.parse::<SmtpServer>().unwrap_err().to_string();
            assert!(error.contains("QUIPU_SMTP_URL") && !error.contains("hunter2"), "{bad}: {error}");
        }
        let server: SmtpServer = "smtps://u:hunter2@h".parse().unwrap();
        assert!(!format!("{server:?}").contains("hunter2"));
    }

    #[test]
    fn links_begin_with_a_public_url_that_is_safe() {
        let url: PublicUrl = "https://id.example.org/quipu/".parse().unwrap();
        assert_eq!(url.host(), "id.example.org");
        assert_eq!(url.link("/reset", Some("qm_x")), "https://id.example.org/quipu/reset#qm_x");
        assert_eq!(url.link("/sign-in", None), "https://id.example.org/quipu/sign-in");
        assert_eq!((url.origin(), url.base()), ("https://id.example.org", "/quipu"));
        let plain: PublicUrl = "HTTPS://ID.example.org:443".parse().unwrap();
        assert_eq!((plain.origin(), plain.base(), plain.is_https()), ("https://id.example.org", "", true));
        assert_eq!(plain.host(), "id.example.org");
        let here: PublicUrl = "http://127.0.0.1:8080/".parse().unwrap();
        assert_eq!((here.origin(), here.base()), ("http://127.0.0.1:8080", ""));
        assert!(url.is_https() && !here.is_https());
        assert!("http://127.0.0.1:8080".parse::<PublicUrl>().is_ok());
        assert!("http://localhost:8080".parse::<PublicUrl>().is_ok());
        for (url, name) in [
            ("https://ID.example.org/quipu", Some("id.example.org")),
            ("http://localhost:8080", Some("localhost")),
            ("http://127.0.0.1:8080", None),
            ("http://[::1]:8080", None),
            ("https://192.0.2.7", None),
        ] {
            assert_eq!(url.parse::<PublicUrl>().unwrap().name(), name, "{url}");
        }
        for bad in [
            "http://id.example.org",
            "http://localhost.example.org",
            "https://",
            "https://user@id.example.org",
            "https://id.example.org?x",
            "https://id.example.org#x",
            "https:///reset",
            "javascript:alert(1)",
            "id.example.org",
            "",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
