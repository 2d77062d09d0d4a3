//! Whose tokens are believed, for whom they are, and with which algorithm they are signed.

use std::path::PathBuf;

use clap::Args;
use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret as _, SecretSlice};

use super::{ConfigError, PublicUrl, read_secret};

/// Bytes that a shared secret has at least. Source: RFC 7518 section 3.2.
pub const SHARED_SECRET_BYTES_MIN: usize = 32;

/// Whose tokens are believed and for whom they are.
#[derive(Debug, Clone, Args)]
pub struct TokenConfig {
    /// `iss` of access tokens, if it is to be another text than the public address, which is that of ID tokens.
    #[arg(long, env = "QUIPU_TOKEN_ISSUER")]
    pub issuer: Option<String>,
    /// `aud` of our tokens.
    #[arg(long, env = "QUIPU_TOKEN_AUDIENCE", default_value = "quipu-api")]
    pub audience: String,
    /// How access tokens are signed. With hs256 nobody else can verify them. ID tokens are signed with keys all the same.
    #[arg(long = "token-mode", env = "QUIPU_TOKEN_MODE", default_value = "eddsa")]
    pub mode: TokenMode,
    /// File of the secret that signs and verifies access tokens with hs256: at least 32 bytes, the same in every process.
    #[arg(long = "token-secret-file", env = "QUIPU_TOKEN_SECRET_FILE")]
    pub secret_file: Option<PathBuf>,
}

/// How access tokens are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenMode {
    /// Ed25519: key pairs, whose public halves everybody may have.
    #[default]
    Eddsa,
    /// HMAC with SHA-256: one secret, for what cannot verify anything else.
    Hs256,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { issuer: None, audience: "quipu-api".into(), mode: TokenMode::default(), secret_file: None }
    }
}

impl TokenConfig {
    /// Lets the public address be the issuer, unless another one was said: whoever finds our keys by that address is told that
    /// tokens say it (RFC 9068, section 4). Every process must know the same one.
    #[must_use]
    pub fn issued_at(mut self, public_url: Option<&PublicUrl>) -> Self {
        self.issuer = self.issuer.or_else(|| public_url.map(ToString::to_string));
        self
    }

    /// `iss` of access tokens. Where there is no address either, it is just a name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or("quipu")
    }

    /// The one table of audiences and algorithms. Who signs looks the algorithm up here, and so does who verifies; nothing
    /// in a token, its `kid` and `alg` included, has a say. Source: OWASP ASVS 5.0, 9.1.2.
    #[must_use]
    pub fn algorithm_of(&self, audience: &str) -> Option<Algorithm> {
        let algorithm = match self.mode {
            TokenMode::Eddsa => Algorithm::EdDSA,
            TokenMode::Hs256 => Algorithm::HS256,
        };
        (audience == self.audience).then_some(algorithm)
    }

    /// The secret of hs256; refuses one that others may read or that is short.
    ///
    /// # Errors
    /// If there is none, or it cannot be used.
    pub fn shared_secret(&self) -> Result<SecretSlice<u8>, ConfigError> {
        const VARIABLE: &str = "QUIPU_TOKEN_SECRET_FILE";
        const MEND: &str = "name a file of mode 600, made with `openssl rand -base64 32`";
        let path = self.secret_file.as_ref();
        let path = path.ok_or_else(|| ConfigError::new(VARIABLE, "hs256 needs a secret", MEND))?;
        let text = read_secret(VARIABLE, path, MEND)?;
        let secret = SecretSlice::from(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec());
        if secret.expose_secret().len() < SHARED_SECRET_BYTES_MIN {
            let problem = format!("the secret has less than {SHARED_SECRET_BYTES_MIN} bytes");
            return Err(ConfigError::new(VARIABLE, problem, MEND));
        }
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_issued_at_the_public_address_unless_another_issuer_is_said() {
        let url: PublicUrl = "https://id.example.org/quipu/".parse().unwrap();
        let said = TokenConfig { issuer: Some("ours".to_owned()), ..TokenConfig::default() };
        assert_eq!(TokenConfig::default().issued_at(Some(&url)).issuer(), "https://id.example.org/quipu");
        assert_eq!(said.issued_at(Some(&url)).issuer(), "ours");
        assert_eq!(TokenConfig::default().issued_at(None).issuer(), "quipu");
    }
}
