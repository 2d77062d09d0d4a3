//! How sure it is who somebody is, computed from what they showed whenever it is asked, and never stored
//! (GHSA-wc43-73w7-x2f5: a stored level was wrong, and the second factor was skipped).

use crate::words::Word;

/// What a session shows of a person whom a provider vouches for.
pub const VOUCHED: Word = Word::of("fed");

/// What a method shows, by RFC 8176 section 2: something known, something had, something that one is. That a provider vouches
/// (`fed`, which is ours) may rest on no more than a password there.
fn kind(method: &Word) -> Option<u8> {
    match method.as_str() {
        "pwd" | "pin" | "kba" | "fed" => Some(0),
        "otp" | "hwk" | "swk" | "sc" | "sms" | "tel" | "pop" => Some(1),
        "face" | "fpt" | "iris" | "retina" | "vbm" => Some(2),
        _ => None,
    }
}

/// Whether somebody showed factors of two kinds, or one authenticator that asks for two by itself, which is written `mfa`.
#[must_use]
pub fn is_multi_factor(amr: &[Word]) -> bool {
    let mut kinds: Vec<_> = amr.iter().filter_map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() > 1 || amr.iter().any(|it| it.as_str() == "mfa")
}

/// Whether somebody showed something of their own: not only that a provider vouches for them, nor a factor beside that. The
/// organisation sets its providers up itself, so in their name it can be anybody, and set up factors as that person.
#[must_use]
pub fn is_own_proof(amr: &[Word]) -> bool {
    let shows = |method: &str| amr.iter().any(|it| it.as_str() == method);
    shows("pwd") || !(amr.is_empty() || shows(VOUCHED.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(methods: &[&str]) -> Vec<Word> {
        methods.iter().map(|it| Word::parse(it).unwrap()).collect()
    }

    fn shows(methods: &[&str]) -> bool {
        is_multi_factor(&words(methods))
    }

    #[test]
    fn the_word_of_a_provider_is_no_proof_of_ones_own_whatever_is_shown_beside_it_but_a_password() {
        for methods in [&["pwd"] as &[_], &["fed", "pwd"], &["pwd", "otp"], &["pop", "mfa"]] {
            assert!(is_own_proof(&words(methods)), "{methods:?}");
        }
        for methods in [&[] as &[_], &["fed"], &["fed", "otp"], &["fed", "pop", "mfa"]] {
            assert!(!is_own_proof(&words(methods)), "{methods:?}");
        }
    }

    #[test]
    fn ghsa_wc43_the_assurance_of_a_session_is_computed_not_stored() {
        for methods in [
            &["pwd", "otp"] as &[_],
            &["hwk", "pin"],
            &["swk", "fpt"],
            &["mfa"],
            &["x", "otp", "pwd"],
            &["fed", "otp"],
        ] {
            assert!(shows(methods), "{methods:?}");
        }
        for methods in [
            &[] as &[_],
            &["pwd"],
            &["otp"],
            &["pwd", "pin"],
            &["otp", "sms", "hwk"],
            &["fed"],
            &["fed", "pwd"],
            &["user"],
        ] {
            assert!(!shows(methods), "{methods:?}");
        }
    }
}
