//! What binds the steps of a sign-in to whoever began it: a cookie of their browser on the way back, a challenge at the end.

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_store::vault::Digest;
use service_kit::problem::Problem;
use service_kit::random;

/// Characters of 32 bytes in base64 without padding.
const KEPT_CHARS: usize = 43;

/// SHA-256 of what whoever begins a sign-in alone knows, as PKCE has it (RFC 7636 section 4.2, method S256).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// Reads 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The challenge of a verifier, if it is one: 43 to 128 of the characters that RFC 7636 section 4.1 names.
    #[must_use]
    pub fn of(verifier: &str) -> Option<Self> {
        let known = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
        let is_good = (43..=128).contains(&verifier.len()) && verifier.bytes().all(known);
        let hash = digest(&SHA256, verifier.as_bytes());
        is_good.then(|| hash.as_ref().try_into().ok().map(Self)).flatten()
    }

    /// The hash that it is.
    pub(super) const fn hash(self) -> [u8; 32] {
        self.0
    }
}

/// What a browser keeps, and what we keep of it.
pub(super) struct Browser(String);

impl Browser {
    /// The one that it has, so that two sign-ins at once do not end each other, or a fresh one.
    pub(super) fn of(kept: Option<&str>) -> Result<Self, Problem> {
        if let Some(kept) = kept.and_then(Self::kept) {
            return Ok(kept);
        }
        Ok(Self(random::text()?))
    }

    /// What a browser must keep.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What a browser shows, if it is one of ours.
    pub(super) fn kept(text: &str) -> Option<Self> {
        let is_good = text.len() == KEPT_CHARS && URL_SAFE_NO_PAD.decode(text).is_ok();
        is_good.then(|| Self(text.to_owned()))
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(b"quipu sign-in browser v1\0");
        context.update(self.0.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Digest(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_its_verifier() {
        // The example of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(challenge.is_some());
        assert_eq!(Challenge::of(verifier), challenge);
        for text in
            ["", "E9Melhoa", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", &"!".repeat(43), &"a".repeat(44)]
        {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
        for text in ["", &verifier[1..], &"a".repeat(129), &format!("{verifier} ")] {
            assert_eq!(Challenge::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_browser_keeps_what_it_has_if_that_is_ours() {
        let fresh = Browser::of(None).unwrap().0;
        assert_eq!(Browser::of(Some(&fresh)).unwrap().0, fresh);
        for odd in ["", "x", &fresh[1..], &format!("{fresh};"), &"!".repeat(43)] {
            assert_ne!(Browser::of(Some(odd)).unwrap().0, odd);
        }
    }
}
