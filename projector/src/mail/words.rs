//! What letters say, in every language: a subject, paragraphs, and at most one link. A kind of letter does not compile
//! until each language has words for it.

mod de;
mod en;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use event_store::vault::{Language, Mail, Purpose};
use service_kit::config::PublicUrl;

use super::called::Called;

/// What a letter says, without its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) subject: String,
    pub(super) paragraphs: Vec<String>,
    /// The one thing to do, as the label of a link and where it leads.
    pub(super) action: Option<(&'static str, String)>,
    /// What is said after the link.
    pub(super) afterwards: Vec<String>,
}

impl Words {
    fn new<const N: usize>(subject: impl Into<String>, paragraphs: [String; N]) -> Self {
        Self { subject: subject.into(), paragraphs: paragraphs.into(), action: None, afterwards: Vec::new() }
    }

    fn action(mut self, label: &'static str, link: String) -> Self {
        self.action = Some((label, link));
        self
    }

    fn afterwards<const N: usize>(mut self, paragraphs: [String; N]) -> Self {
        self.afterwards = paragraphs.into();
        self
    }
}

/// Where the account is that a letter speaks of. The one place that says so, for all letters.
pub(super) struct Here<'a> {
    url: &'a PublicUrl,
    organisation: Option<Named<'a>>,
}

/// An organisation, as a letter may name it.
struct Named<'a> {
    name: String,
    slug: &'a str,
}

impl<'a> Here<'a> {
    pub(super) fn new(url: &'a PublicUrl, about: Option<&'a Called>) -> Self {
        let organisation = about.map(|it| Named { name: said(&it.name), slug: &it.slug });
        Self { url, organisation }
    }

    /// Us, by the host.
    fn host(&self) -> &str {
        self.url.host()
    }

    /// Where somebody has an account: the organisation, and us in brackets.
    fn place(&self) -> Cow<'_, str> {
        match &self.organisation {
            Some(it) => format!("{} ({})", it.name, self.host()).into(),
            None => self.host().into(),
        }
    }

    /// A page of ours, with the secret of a link.
    fn link(&self, path: &str, secret: &str) -> String {
        self.url.link(path, Some(secret))
    }

    /// A page of ours that asks for the short name of the organisation: filled in.
    fn asking(&self, path: &str) -> String {
        match &self.organisation {
            Some(it) => self.url.link(&format!("{path}?organization={}", it.slug), None),
            None => self.url.link(path, None),
        }
    }
}

/// What a letter says in a language.
pub(super) fn of(mail: &Mail, language: Language, here: &Here<'_>) -> Words {
    match language {
        Language::En => en::words(mail, here),
        Language::De => de::words(mail, here),
    }
}

/// What stands under every letter.
pub(super) fn footer(language: Language, here: &Here<'_>) -> String {
    let written = match language {
        Language::En => en::written_by(here.host()),
        Language::De => de::written_by(here.host()),
    };
    let Some(Named { name, slug }) = &here.organisation else { return written };
    let about = match language {
        Language::En => en::about(name, slug),
        Language::De => de::about(name, slug),
    };
    format!("{written}\n{about}")
}

/// Where the link of a verification leads.
fn verify_path(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Account => "/verify",
        Purpose::Change => "/verify/address",
        Purpose::Organisation => "/verify/organization",
    }
}

/// The longest text of somebody else that a letter repeats, in characters.
const SAID_MAX: usize = 500;

/// What somebody typed, as a letter may repeat it: one line, no control characters (so no second header and no hidden
/// direction), and nothing that looks like an address of a page or of a mailbox, since mail programs make links of those.
pub(super) fn said(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    for it in text.chars().take(SAID_MAX) {
        let it = if it.is_whitespace() || is_invisible(it) { ' ' } else { it };
        if it == ' ' && before == ' ' {
            continue;
        }
        // No name of a domain ends in a digit, so numbers stay as they are.
        if it != ' ' && !it.is_ascii_digit() && separates(before) {
            shown.push(' ');
        }
        shown.push(it);
        before = it;
    }
    shown.trim_end().to_owned()
}

/// What a link cannot do without: after it, a space.
const fn separates(it: char) -> bool {
    // The full stops of IDNA (RFC 3490 section 3.1), and those of addresses.
    matches!(it, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | ':' | '@')
}

/// Controls, and characters that change how their neighbours are read without being seen themselves.
fn is_invisible(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A moment in English, in UTC.
fn moment_en(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A moment in German, in UTC.
fn moment_de(at: DateTime<Utc>) -> String {
    at.format("%d.%m.%Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_was_typed_cannot_become_a_header_or_a_link() {
        for (typed, shown) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("  Ada \t Lovelace \u{3000}", "Ada Lovelace"),
            ("Ada\r\nBcc: eve@evil.example", "Ada Bcc: eve@ evil. example"),
            ("win at https://evil.example/x", "win at https: //evil. example/x"),
            ("evil.example", "evil. example"),
            ("evil\u{3002}example", "evil\u{3002} example"),
            ("evil.\u{200b}example", "evil. example"),
            ("\u{202e}elpmaxe", "elpmaxe"),
            ("mailto:eve@evil.example", "mailto: eve@ evil. example"),
            ("Firefox 128.0 at 12:30", "Firefox 128.0 at 12:30"),
            ("9.9.evil.example", "9.9. evil. example"),
            ("St. John & Co. KG", "St. John & Co. KG"),
            ("J.R.R. Tolkien", "J. R. R. Tolkien"),
            ("<b>bold</b>", "<b>bold</b>"),
            ("Åse Ødegård", "Åse Ødegård"),
            ("", ""),
        ] {
            assert_eq!(said(typed), shown, "{typed:?}");
        }
        assert_eq!(said(&"x".repeat(9_000)).chars().count(), 500);
    }
}
