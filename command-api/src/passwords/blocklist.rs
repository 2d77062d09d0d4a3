//! Passwords that so many have chosen that they are tried first. The list that is compiled in holds no password, only the
//! first bytes of the SHA-1 of each, sorted; `examples/blocklist.rs` makes it, and `data/blocklist.md` says of what.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use unicode_normalization::UnicodeNormalization;

/// Bytes of the SHA-1 that are kept. Of a billion uncommon passwords less than one is taken for a common one.
pub const PREFIX_BYTES: usize = 6;

/// The start of a hash.
pub type Prefix = [u8; PREFIX_BYTES];

static COMMON: &[u8] = include_bytes!("../../data/blocklist.bin");

/// The start of the SHA-1 of a password, without regard to large and small letters.
#[must_use]
pub fn prefix(password: &str) -> Prefix {
    let folded: String = password.nfkc().flat_map(char::to_lowercase).collect();
    let mut prefix = [0; PREFIX_BYTES];
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, folded.as_bytes());
    for (to, from) in prefix.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    prefix
}

/// The compiled list, and what the operator added.
#[derive(Debug, Default)]
pub struct Blocklist {
    added: HashSet<Prefix>,
}

impl Blocklist {
    /// Adds a file of passwords, one a line.
    ///
    /// # Errors
    /// If the file cannot be read as text.
    pub fn with_file(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)?;
        Ok(Self { added: text.lines().filter(|it| !it.is_empty()).map(prefix).collect() })
    }

    /// Whether a password is on the list.
    #[must_use]
    pub fn holds(&self, password: &str) -> bool {
        let wanted = prefix(password);
        let (common, _rest) = COMMON.as_chunks::<PREFIX_BYTES>();
        common.binary_search(&wanted).is_ok() || self.added.contains(&wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_compiled_list_is_sorted_and_whole() {
        let (prefixes, rest) = COMMON.as_chunks::<PREFIX_BYTES>();
        assert!(rest.is_empty());
        assert!(prefixes.len() >= 100_000, "{}", prefixes.len());
        assert!(prefixes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(COMMON.len() < 700_000);
    }

    #[test]
    fn common_passwords_are_known_in_any_case() {
        let list = Blocklist::default();
        for password in
            ["password", "PassWord", "12345678", "qwertyuiop", "password123", "ｐassword", "1q2w3e4r5t6y7u8i"]
        {
            assert!(list.holds(password), "{password}");
        }
        for password in ["", "jEtl9-wiegt-Quadrant", "password 123 and a lake"] {
            assert!(!list.holds(password), "{password}");
        }
    }

    #[test]
    fn an_operator_adds_words() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "Quipu-Acme-2026\n\nother one").unwrap();
        let list = Blocklist::with_file(Some(file.path())).unwrap();
        assert!(list.holds("quipu-acme-2026") && list.holds("Other One") && list.holds("password"));
        assert!(!list.holds(""));
        assert!(Blocklist::with_file(Some(Path::new("/nowhere"))).is_err());
    }
}
