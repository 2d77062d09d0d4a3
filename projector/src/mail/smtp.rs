//! Handing letters to a server (RFC 5321, submission by RFC 6409). One connection a letter: a send that is cut leaves
//! nothing behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Category, Severity};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;
use service_kit::config::{ConfigError, MailConfig, Protection, PublicUrl, SmtpServer};
use uuid::Uuid;

use super::Page;

/// How long a server may take to let us in.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one letter may take, from the connection to the server's word that it has it.
pub(crate) const SEND_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest file of authorities, in bytes.
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// What the mailer needs to send anything.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// Where letters go.
    pub transport: Transport,
    /// What links begin with.
    pub public_url: PublicUrl,
}

impl MailOptions {
    /// From the settings; nothing, if no server is named.
    ///
    /// # Errors
    /// If a server is named and something is missing, or cannot be used.
    pub fn of(config: &MailConfig) -> Result<Option<Self>, ConfigError> {
        let Some(server) = config.server()? else { return Ok(None) };
        let transport = Transport::new(&server, config.from()?, config.smtp_ca_file.as_deref())?;
        Ok(Some(Self { transport, public_url: config.public_url()?.clone() }))
    }
}

/// A server that takes letters, and in whose name they go out.
#[derive(Debug, Clone)]
pub struct Transport {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why a letter was not taken, in words that quote nothing of it or of the server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It may be taken another time.
    Passing(String),
    /// It never will: the server knows the address and says no.
    Final(String),
}

impl Transport {
    /// Prepares the connection, without making it.
    ///
    /// # Errors
    /// If the sender or the authorities cannot be used.
    pub fn new(server: &SmtpServer, from: &str, authorities: Option<&Path>) -> Result<Self, ConfigError> {
        let from: Mailbox = from.parse().map_err(|_| ConfigError {
            variable: "QUIPU_MAIL_FROM",
            problem: "it is not a mailbox".to_owned(),
            mend: "write it like `Example <no-reply@example.org>`".to_owned(),
        })?;
        let tls = || parameters(&server.host, authorities);
        let tls = match server.protection {
            Protection::Tls => Tls::Wrapper(tls()?),
            Protection::StartTls => Tls::Required(tls()?),
            Protection::Off => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(CONNECT_TIME_MAX))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some((user, password)) = &server.login {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self { smtp: builder.build(), from })
    }

    /// Sends a letter. When it returns well, the server has taken it over.
    ///
    /// # Errors
    /// See [`Refusal`]. After one that is passing the server may have the letter all the same, if only its word was lost:
    /// it comes again with the same `Message-ID`.
    pub async fn send(
        &self,
        mail: Uuid,
        written_at: DateTime<Utc>,
        to: &str,
        page: Page,
    ) -> Result<(), Refusal> {
        let message = self.message(mail, written_at, to, page)?;
        match tokio::time::timeout(SEND_TIME_MAX, self.smtp.send(message)).await {
            Ok(Ok(_taken)) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Refusal::Passing("the server took too long".to_owned())),
        }
    }

    fn message(
        &self,
        mail: Uuid,
        written_at: DateTime<Utc>,
        to: &str,
        page: Page,
    ) -> Result<Message, Refusal> {
        let to: Address =
            to.parse().map_err(|_| Refusal::Final("the address cannot be written to".to_owned()))?;
        // RFC 3834 section 5: programs that answer letters shall not answer this one.
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(page.subject)
            .date(written_at.into())
            .message_id(Some(format!("<{mail}@{}>", self.from.email.domain())))
            .raw_header(automatic)
            .multipart(MultiPart::alternative_plain_html(page.text, page.html))
            .map_err(|_| Refusal::Final("the letter cannot be put together".to_owned()))
    }
}

fn parameters(host: &str, authorities: Option<&Path>) -> Result<TlsParameters, ConfigError> {
    let bad = |problem: String| ConfigError {
        variable: "QUIPU_SMTP_CA_FILE",
        problem,
        mend: "name a file of certificates in PEM form, or unset it to trust those that browsers trust"
            .to_owned(),
    };
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = authorities {
        let size = fs::metadata(path).map_or(0, |it| it.len());
        let pem = if size <= AUTHORITIES_BYTES_MAX { fs::read(path) } else { Ok(Vec::new()) };
        let pem = pem.map_err(|error| bad(format!("cannot read {}: {error}", path.display())))?;
        let holds_some = pem.windows(27).any(|it| it == b"-----BEGIN CERTIFICATE-----");
        let certificates = Certificate::from_pem(&pem).ok().filter(|_| holds_some);
        let certificates =
            certificates.ok_or_else(|| bad(format!("{} holds no certificates", path.display())))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build().map_err(|_| bad("its certificates cannot be used, or the server's name".to_owned()))
}

/// What a failure means. The text of a server's answer is left out: it may quote the address.
fn refusal(error: &lettre::transport::smtp::Error) -> Refusal {
    if let Some(code) = error.status() {
        let text = format!("the server answered {code}");
        // RFC 5321 section 4.2: 55x is about this letter; other failures are about how we send, which can be mended.
        return match (code.severity, code.category) {
            (Severity::PermanentNegativeCompletion, Category::MailSystem) => Refusal::Final(text),
            _ => Refusal::Passing(text),
        };
    }
    let text = if error.is_tls() {
        "no protected connection: the server's certificate is not believed"
    } else if error.is_client() {
        "the server does not offer what is needed: STARTTLS, a login, or addresses beyond ASCII"
    } else if error.is_response() {
        "the server answered something that is not SMTP"
    } else {
        "the server cannot be reached"
    };
    Refusal::Passing(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(from: &str) -> Result<Transport, ConfigError> {
        Transport::new(&"smtp://127.0.0.1:1?tls=off".parse().unwrap(), from, None)
    }

    fn page(subject: &str) -> Page {
        Page { subject: subject.to_owned(), text: "text".to_owned(), html: "<p>html".to_owned() }
    }

    #[test]
    fn a_message_has_the_headers_that_we_mean_and_no_others() {
        let transport = transport("Quipu <no-reply@example.org>").unwrap();
        let (id, at) = (Uuid::from_u128(7), DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let hostile = "Einladung\r\nBcc: eve@evil.example\r\n\r\nbody ü";
        let message = transport.message(id, at, "ada@example.org", page(hostile)).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        // A line that begins with a space goes on with the header above it.
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|it| !it.starts_with([' ', '\t']))
            .map(|it| it.split(':').next().unwrap())
            .collect();
        let expected =
            ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
        assert_eq!(names, expected, "{head}");
        assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.org>"), "{head}");
        assert!(head.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000"), "{head}");
        assert_eq!(message.envelope().to().len(), 1);
    }

    #[test]
    fn an_address_that_would_be_more_than_one_is_none() {
        let transport = transport("no-reply@example.org").unwrap();
        for bad in [
            "",
            "ada",
            "ada@",
            "ada@example.org, eve@evil.example",
            "ada@example.org\r\nBcc: eve@evil.example",
            "ada@example.org\nRCPT TO:<eve@evil.example>",
            "Ada <ada@example.org>",
            "ada@example.org> <eve@evil.example",
        ] {
            let refused = transport.message(Uuid::nil(), Utc::now(), bad, page("it"));
            assert!(matches!(refused, Err(Refusal::Final(_))), "{bad:?}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(transport("nobody").unwrap_err().variable, "QUIPU_MAIL_FROM");
        let folder = std::env::temp_dir();
        let server: SmtpServer = "smtps://mail.example.org".parse().unwrap();
        for path in [folder.join("there-is-no-such-file.pem"), folder] {
            let error = Transport::new(&server, "no-reply@example.org", Some(&path)).unwrap_err();
            assert_eq!(error.variable, "QUIPU_SMTP_CA_FILE");
        }
        assert!(Transport::new(&server, "no-reply@example.org", None).is_ok());
        assert!(MailOptions::of(&MailConfig::default()).unwrap().is_none());
        let alone = MailConfig { smtp_url: Some("smtps://h".into()), ..MailConfig::default() };
        assert_eq!(MailOptions::of(&alone).unwrap_err().variable, "QUIPU_MAIL_FROM");
        let linkless = MailConfig { mail_from: Some("a@example.org".to_owned()), ..alone };
        assert_eq!(MailOptions::of(&linkless).unwrap_err().variable, "QUIPU_PUBLIC_URL");
    }
}
