//! What pages say, in every language: one set of words for each, so a page does not compile until all have words for it.

mod de;
mod en;

use domain::words::Scope;
use event_store::vault::Language;

/// The words of a language.
#[derive(Debug)]
pub(super) struct Words {
    pub error: &'static str,
    pub go_on: &'static str,
    pub to_sign_in: &'static str,
    pub email: &'static str,
    pub password: &'static str,
    pub organisation: &'static str,
    pub organisation_hint: &'static str,
    pub reference: &'static str,
    pub for_makers: &'static str,

    pub sign_in_title: &'static str,
    pub sign_in: &'static str,
    pub sign_in_with: &'static str,
    pub or: &'static str,
    pub to_reach: &'static str,
    pub at: &'static str,
    pub another_organisation: &'static str,
    pub forgotten: &'static str,

    pub second_title: &'static str,
    pub second_text: &'static str,
    pub second_code: &'static str,
    pub second_hint: &'static str,

    pub sign_in_with_passkey: &'static str,
    pub passkey_title: &'static str,
    pub passkey_text: &'static str,
    pub passkey_failed: &'static str,
    pub passkey_otherwise: &'static str,
    pub set_up_passkey: &'static str,
    pub passkey_new_title: &'static str,
    pub passkey_not_now: &'static str,
    pub passkey_done_title: &'static str,
    pub passkey_done: &'static str,
    pub passkey_use_once: &'static str,

    pub set_up_title: &'static str,
    pub set_up_required: &'static str,
    pub set_up_text: &'static str,
    pub set_up_app: &'static str,
    pub set_up_not_now: &'static str,
    pub set_up_app_title: &'static str,
    pub set_up_scan: &'static str,
    pub set_up_picture: &'static str,
    pub set_up_type: &'static str,
    pub set_up_here: &'static str,
    pub set_up_code: &'static str,
    pub set_up_code_hint: &'static str,
    pub set_up_save: &'static str,
    pub set_up_back: &'static str,
    pub set_up_done_title: &'static str,
    pub set_up_done: &'static str,
    pub codes_title: &'static str,
    pub codes_text: &'static str,
    pub codes_once: &'static str,
    pub codes_kept: &'static str,
    pub codes_lost: &'static str,
    pub codes_renew: &'static str,

    pub here_title: &'static str,
    pub signed_in_as: &'static str,
    pub connect_device: &'static str,
    pub sign_out: &'static str,
    pub another_account: &'static str,
    pub sign_out_title: &'static str,
    pub sign_out_asked: &'static str,
    pub signed_out_title: &'static str,
    pub signed_out: &'static str,

    pub consent_title: &'static str,
    pub consent_asks: &'static str,
    pub consent_would: &'static str,
    pub allow: &'static str,
    pub deny: &'static str,

    pub consents_title: &'static str,
    pub consents_text: &'static str,
    pub consents_none: &'static str,
    pub consents_questioned: &'static str,
    pub consents_take_back: &'static str,
    pub back: &'static str,

    pub device_title: &'static str,
    pub device_text: &'static str,
    pub device_code: &'static str,
    pub device_hint: &'static str,
    pub device_ask_title: &'static str,
    pub device_asks: &'static str,
    pub device_shown: &'static str,
    pub device_from: &'static str,
    pub device_when: &'static str,
    pub device_warning: &'static str,
    pub device_allow: &'static str,
    pub device_deny: &'static str,
    pub device_allowed_title: &'static str,
    pub device_allowed: &'static str,
    pub device_denied_title: &'static str,
    pub device_denied: &'static str,

    pub forgot_title: &'static str,
    pub forgot_text: &'static str,
    pub forgot_send: &'static str,
    pub sent_title: &'static str,
    pub sent: &'static str,

    pub link_code: &'static str,
    pub link_hint: &'static str,
    pub reset_title: &'static str,
    pub reset_text: &'static str,
    pub new_password: &'static str,
    /// What stands round the number of characters that a password has at least.
    new_password_hint: [&'static str; 2],
    pub reset_save: &'static str,
    pub reset_done_title: &'static str,
    pub reset_done: &'static str,
    pub verify_title: &'static str,
    pub verify_text: &'static str,
    pub verify_done_title: &'static str,
    pub verify_done: &'static str,
    pub address_title: &'static str,
    pub address_text: &'static str,
    pub address_done: &'static str,
    pub founding_title: &'static str,
    pub founding_text: &'static str,
    pub founding_slug: &'static str,
    pub founding_done_title: &'static str,
    pub founding_done: &'static str,
    pub confirm: &'static str,

    pub invitation_title: &'static str,
    pub invitation_by: &'static str,
    pub invitation_to: &'static str,
    pub invitation_as: &'static str,
    pub invitation_new: &'static str,
    pub invitation_known: &'static str,
    pub given_name: &'static str,
    pub family_name: &'static str,
    pub optional: &'static str,
    pub accept: &'static str,
    pub decline: &'static str,
    pub accepted_title: &'static str,
    pub accepted: &'static str,
    pub declined_title: &'static str,
    pub declined: &'static str,

    pub leaving_title: &'static str,
    pub leaving_text: &'static str,
    pub leaving_where: &'static str,
    pub asks_wrongly: &'static str,
    pub refused_title: &'static str,

    /// What a scope of OpenID Connect lets an application do, as the rest of "it would".
    scopes: fn(&str) -> Option<&'static str>,
    /// What a permission lets it do, likewise. All that may be lent have words.
    permissions: fn(&str) -> Option<&'static str>,
    /// What stands round a name that means something to another program alone.
    of_others: [&'static str; 2],
    /// What a code of refusal means for whoever fills a form in.
    refusals: fn(&str) -> Option<&'static str>,
    /// What is wrong with a password, by its code, if the detail is not in this language already.
    weaknesses: fn(&str) -> Option<&'static str>,
    not_possible: &'static str,
    not_now: &'static str,
    too_often: &'static str,
    our_fault: &'static str,
}

impl Words {
    /// Those of a language.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &en::WORDS,
            Language::De => &de::WORDS,
        }
    }

    /// What is said of a refusal with this code and status.
    pub(super) fn refusal(&self, code: &str, status: u16) -> &'static str {
        (self.refusals)(code).unwrap_or(match status {
            429 => self.too_often,
            503 => self.not_now,
            500.. => self.our_fault,
            _ => self.not_possible,
        })
    }

    /// What a new password must be where it has at least so many characters.
    pub(super) fn password_hint(&self, length_min: u16) -> String {
        let [before, behind] = self.new_password_hint;
        format!("{before}{length_min}{behind}")
    }

    /// What is wrong with a password; nothing if the code is not of a password.
    pub(super) fn weakness(&self, code: &str, detail: &str) -> Option<String> {
        let is_of_password = code.starts_with("password.");
        is_of_password.then(|| (self.weaknesses)(code).map_or_else(|| detail.to_owned(), str::to_owned))
    }

    /// What an application would do with a scope, which may be a permission.
    pub(super) fn scope(&self, scope: &Scope) -> String {
        let name = scope.as_str();
        let [before, behind] = self.of_others;
        (self.scopes)(name)
            .or_else(|| (self.permissions)(name))
            .map_or_else(|| format!("{before}{name}{behind}"), ToOwned::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use service_kit::permissions;

    use super::*;
    use crate::oauth::OF_OPENID;
    use crate::oauth::grants::may_be_lent;

    #[test]
    fn every_language_has_words_for_every_refusal_of_a_form() {
        for code in [
            "identity.invalid-credentials",
            "identity.locked",
            "identity.email-unverified",
            "identity.email-malformed",
            "identity.link-invalid",
            "identity.password-weak",
            "identity.code-invalid",
            "identity.passkey-invalid",
            "identity.factors-off",
            "identity.factor-exists",
            "identity.too-many-factors",
            "auth.step-up-required",
            "auth.second-factor-missing",
            "identity.factor-not-found",
            "organisation.not-active",
            "organisation.slug-taken",
            "organisation.invitation-invalid",
            "organisation.invitation-for-another",
            "organisation.already-member",
            "organisation.seats-used-up",
            "federation.denied",
            "federation.not-fresh",
            "federation.address-not-vouched",
            "request.method-not-allowed",
            "oauth.request-invalid",
            "oauth.request-unknown",
            "oauth.user-code-unknown",
            "application.grant-decided",
            "page.form-invalid",
        ] {
            for language in Language::ALL {
                assert!((Words::of(language).refusals)(code).is_some(), "{code} {language:?}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_told_by_its_status() {
        let words = Words::of(Language::En);
        let told: std::collections::HashSet<_> =
            [400, 429, 500, 503].map(|status| words.refusal("some.code", status)).into();
        assert_eq!(told.len(), 4);
        assert_eq!(words.refusal("some.code", 403), words.not_possible);
    }

    #[test]
    fn a_new_password_has_as_many_characters_as_the_organisation_says() {
        let said = |language| Words::of(language).password_hint(23);
        assert!(said(Language::En).starts_with("At least 23 characters; "));
        assert!(said(Language::De).starts_with("Mindestens 23 Zeichen; "));
    }

    #[test]
    fn a_scope_says_what_it_allows() {
        let said = |name| Words::of(Language::En).scope(&Scope::parse(name).unwrap());
        assert_eq!(said("openid"), "know who you are");
        assert_eq!(said("reports:read"), "use the permission “reports:read” of another program");
    }

    #[test]
    fn every_language_has_words_for_all_that_a_service_may_ask_for() {
        let lent = permissions::ALL.iter().map(|it| it.name).filter(|it| may_be_lent(it));
        let all: Vec<_> = OF_OPENID.into_iter().chain(lent).collect();
        assert!(all.len() > OF_OPENID.len());
        for name in all {
            let scope = Scope::parse(name).unwrap();
            let said = Language::ALL.map(|it| Words::of(it).scope(&scope));
            let unknown = Language::ALL.map(|it| Words::of(it).of_others.join(name));
            assert!(said.iter().zip(&unknown).all(|(it, unknown)| it != unknown), "{said:?}");
            assert_ne!(said[0], said[1], "{name} is said in one language alone");
        }
    }
}
