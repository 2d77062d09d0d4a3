//! What nobody can guess.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const TEXT_BYTES: usize = 32;

/// The machine gives no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random bytes")]
pub struct NoRandomness;

/// Bytes that nobody guesses, made by the machine.
///
/// # Errors
/// [`NoRandomness`].
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// 256 bits that nobody guesses, in base64url: 43 letters. They do as a verifier of PKCE, too (RFC 7636 section 4.1).
///
/// # Errors
/// [`NoRandomness`].
pub fn text() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<TEXT_BYTES>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_anew_each_time_and_is_long_enough_for_a_verifier() {
        let (one, two) = (text().unwrap(), text().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
        assert_ne!(bytes::<16>().unwrap(), bytes().unwrap());
    }
}
