//! A letter as text and as HTML. Both hold the same words; the HTML loads nothing from anywhere.

use askama::Template;
use event_store::vault::Letter;
use service_kit::config::PublicUrl;

use super::called::Called;
use super::words::{self, Here, Words};

/// A letter as its reader sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// One line.
    pub subject: String,
    /// For whoever reads text.
    pub text: String,
    /// For whoever reads HTML.
    pub html: String,
}

impl std::fmt::Debug for Page {
    /// Says nothing: there may be a link in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Page")
    }
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a> {
    words: &'a Words,
    footer: &'a str,
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    language: &'a str,
    words: &'a Words,
    footer: &'a str,
}

/// Writes a letter out. Its links begin with `public_url` and with nothing else. `about` is the organisation in whose outbox
/// it lies, if that has a name.
///
/// # Errors
/// None that is known: it is the library's, for values that cannot be formatted.
pub fn render(
    letter: &Letter,
    public_url: &PublicUrl,
    about: Option<&Called>,
) -> Result<Page, askama::Error> {
    let here = Here::new(public_url, about);
    let words = words::of(&letter.mail, letter.language, &here);
    let footer = &words::footer(letter.language, &here);
    let text = Text { words: &words, footer }.render()?;
    let html = Html { language: letter.language.tag(), words: &words, footer }.render()?;
    Ok(Page { subject: words.subject, text, html })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use event_store::vault::{AddressStage, FactorChange, Language, Mail, Purpose, Ruling};
    use uuid::Uuid;

    use super::*;

    const HOSTILE: &str =
        "Ada\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example";

    /// Every kind of letter, with every text that people may have typed.
    fn all(typed: &str) -> Vec<Mail> {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (token, typed) = (|| "qm_abc".to_owned(), || typed.to_owned());
        let mut all = vec![
            Mail::RegisteredAlready,
            Mail::Reset { token: token(), until: at },
            Mail::PasswordChanged { at },
            Mail::AccountMade { organisation: typed(), token: token(), until: at },
            Mail::Invitation { organisation: typed(), inviter: Some(typed()), token: token(), until: at },
            Mail::Invitation { organisation: typed(), inviter: None, token: token(), until: at },
            Mail::NewSignIn { at, device: Some(typed()), address: Some([192, 0, 2, 7].into()) },
            Mail::NewSignIn { at, device: None, address: None },
            Mail::Locked { at, until: at },
            Mail::RefreshReused { at },
            Mail::Impersonated { at, until: at, reason: typed(), ticket: typed() },
            Mail::FactorsChanged { change: FactorChange::Added, at },
            Mail::FactorsChanged { change: FactorChange::Removed, at },
            Mail::FactorsChanged { change: FactorChange::PasskeyAdded, at },
            Mail::FactorsChanged { change: FactorChange::PasskeyRemoved, at },
            Mail::FactorsChanged { change: FactorChange::RemovedByAdministrator, at },
            Mail::FactorsChanged { change: FactorChange::CodesRenewed, at },
            Mail::FactorsChanged { change: FactorChange::CodeUsed, at },
            Mail::FactorsChanged { change: FactorChange::Linked, at },
            Mail::FactorsChanged { change: FactorChange::Unlinked, at },
            Mail::FactorsChanged { change: FactorChange::ProviderLinked, at },
            Mail::FactorsChanged { change: FactorChange::ProviderUnlinked, at },
            Mail::FactorsChanged { change: FactorChange::KeyIssued, at },
            Mail::Erased { at, receipt: Uuid::from_u128(7) },
        ];
        for purpose in [Purpose::Account, Purpose::Change, Purpose::Organisation] {
            all.push(Mail::VerifyAddress { purpose, token: token(), until: at });
        }
        for stage in [AddressStage::Asked, AddressStage::Done] {
            all.push(Mail::AddressChanged { stage, at });
        }
        for decision in
            [Ruling::Approved, Ruling::Rejected, Ruling::Suspended, Ruling::Reactivated, Ruling::Closed]
        {
            all.push(Mail::OrganisationDecided { organisation: typed(), decision, reason: Some(typed()) });
            all.push(Mail::OrganisationDecided { organisation: typed(), decision, reason: None });
        }
        all
    }

    fn shop(name: &str) -> Called {
        Called { name: name.to_owned(), slug: "demo-shop".to_owned() }
    }

    fn pages(typed: &str) -> Vec<(Letter, Page)> {
        let url = "https://id.example.org".parse().unwrap();
        let mut pages = Vec::new();
        for language in Language::ALL {
            for mail in all(typed) {
                let letter = Letter { to: "ada@example.org".to_owned(), language, mail };
                let page = render(&letter, &url, Some(&shop(typed))).unwrap();
                pages.push((letter, page));
            }
        }
        pages
    }

    #[test]
    fn every_letter_has_the_same_link_in_text_and_html_and_none_but_ours() {
        for (letter, page) in pages("Ada") {
            let links = |text: &str| -> Vec<String> {
                let ends = |it: char| it.is_whitespace() || it == '"' || it == '<';
                let parts = text.split("https://").skip(1);
                parts.map(|it| it.split(ends).next().unwrap_or_default().to_owned()).collect()
            };
            let (in_text, in_html) = (links(&page.text), links(&page.html));
            assert_eq!(in_text, in_html, "{letter:?}");
            assert!(in_text.len() <= 1, "{letter:?}: one thing to do");
            assert!(in_text.iter().all(|it| it.starts_with("id.example.org/")), "{in_text:?}");
            let bears_a_secret = letter.mail.link_ends().is_some();
            assert_eq!(page.text.contains("#qm_abc"), bears_a_secret, "{letter:?}");
            assert!(!page.subject.contains("qm_abc"));
        }
    }

    #[test]
    fn what_people_typed_stays_one_line_of_text() {
        for (letter, page) in pages(HOSTILE) {
            assert!(!page.subject.contains(['\r', '\n']), "{letter:?}");
            assert!(!page.text.contains('\r') && !page.html.contains('\r'), "{letter:?}");
            assert!(!page.text.lines().any(|it| it.starts_with("Bcc")), "{letter:?}");
            assert!(!page.html.contains("<script"), "{letter:?}");
            for shown in [&page.subject, &page.text, &page.html] {
                assert!(!shown.contains("evil.example") && !shown.contains("https://evil"), "{letter:?}");
            }
        }
    }

    #[test]
    fn letters_tell_apart_what_they_are_about_in_every_language() {
        let mut subjects: Vec<String> = pages("Ada")
            .into_iter()
            .map(|(letter, page)| format!("{:?} {}", letter.language, page.subject))
            .collect();
        subjects.sort();
        subjects.dedup();
        // Two kinds of invitation, of sign-in and of each ruling share their subject: with and without a detail.
        assert_eq!(subjects.len(), (all("Ada").len() - 2 - 5) * Language::ALL.len(), "{subjects:#?}");
    }

    #[test]
    fn a_letter_reads_like_this() {
        let until = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mail = Mail::Reset { token: "qm_abc".to_owned(), until };
        let letter = Letter { to: "ada@example.org".to_owned(), language: Language::En, mail };
        let page =
            render(&letter, &"https://id.example.org".parse().unwrap(), Some(&shop("Demo shop"))).unwrap();
        assert_eq!(page.subject, "Choose a new password");
        assert_eq!(
            page.text,
            "A new password was asked for, for your account at Demo shop (id.example.org).\n\n\
             Choose it until 15 January 2027, 08:00 UTC. You will be signed out everywhere.\n\n\
             Choose a new password:\nhttps://id.example.org/reset#qm_abc\n\n\
             The link works once, and only for you: do not pass it on.\n\n\
             If you did not expect this letter, do nothing: without the link nothing happens.\n\n\
             -- \nThis letter was written by id.example.org itself. Nobody reads an answer to it.\n\
             It is about Demo shop, whose short name for signing in is demo-shop."
        );
        assert!(page.html.contains("<html lang=\"en\">"));
    }

    #[test]
    fn a_letter_of_no_organisation_names_none() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let url = "https://id.example.org".parse().unwrap();
        for language in Language::ALL {
            let letter =
                Letter { to: "ada@example.org".to_owned(), language, mail: Mail::PasswordChanged { at } };
            let page = render(&letter, &url, None).unwrap();
            assert!(!page.text.contains('('), "{}", page.text);
            assert!(page.text.contains("https://id.example.org/forgot\n"), "{}", page.text);
        }
    }

    #[test]
    fn every_letter_of_an_organisation_says_of_which_and_by_what_name_one_signs_in() {
        for (letter, page) in pages("Demo shop") {
            for shown in [&page.text, &page.html] {
                assert!(shown.contains("Demo shop") && shown.contains("demo-shop"), "{letter:?}: {shown}");
            }
            // Whoever is sent to a page that asks for the short name finds it there.
            let asks = ["/sign-in", "/forgot"].into_iter().find(|it| page.text.contains(&format!("org{it}")));
            if let Some(path) = asks {
                assert!(page.text.contains(&format!("{path}?organization=demo-shop\n")), "{letter:?}");
            }
        }
    }
}
