//! An authenticator of time-based codes (RFC 6238), written anew: what a person carries beside their password.

use anyhow::Context as _;
use aws_lc_rs::hmac;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::person::{Organisation, SignedIn};
use crate::stack::{Answer, answer};

/// The letters of base32 (RFC 4648 section 6).
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// An authenticator with a seed in it.
#[derive(Debug, Clone)]
pub struct Authenticator {
    seed: Vec<u8>,
}

/// Somebody's second factor.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// What makes codes.
    pub authenticator: Authenticator,
    /// The seed as it was shown.
    pub secret: String,
    /// The code with which it was enrolled.
    pub used: String,
    /// What was written down.
    pub recovery_codes: Vec<String>,
}

impl Authenticator {
    /// Of a seed in letters.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(secret: &str) -> anyhow::Result<Self> {
        let (mut seed, mut held, mut bits) = (Vec::new(), 0_u32, 0);
        for letter in secret.bytes() {
            let value = LETTERS.iter().position(|it| *it == letter).context("a letter of base32")?;
            held = (held << 5) | u32::try_from(value)?;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                seed.push(u8::try_from((held >> bits) & 255)?);
            }
        }
        Ok(Self { seed })
    }

    /// The code that it shows now.
    ///
    /// # Errors
    /// If the clock is before 1970.
    pub fn code(&self) -> anyhow::Result<String> {
        self.code_of(0)
    }

    /// The code that it shows next.
    ///
    /// # Errors
    /// If the clock is before 1970.
    pub fn next_code(&self) -> anyhow::Result<String> {
        self.code_of(1)
    }

    /// Six digits that it shows neither now nor soon, nor did a while ago.
    ///
    /// # Errors
    /// If the clock is before 1970.
    pub fn wrong_code(&self) -> anyhow::Result<String> {
        let shown = (-3..=3).map(|away| self.code_of(away)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut others = (0..).map(|it: u32| format!("{it:06}")).filter(|it| !shown.contains(it));
        others.next().context("a code")
    }

    fn code_of(&self, away: i64) -> anyhow::Result<String> {
        let step = chrono::Utc::now().timestamp() / 30 + away;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.seed);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into()?) & 0x7FFF_FFFF;
        Ok(format!("{:06}", word % 1_000_000))
    }
}

impl Organisation<'_> {
    /// Has somebody enrol an authenticator who has just signed in. Its code of now is used up.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn enrol(&self, access: &str) -> anyhow::Result<Enrolled> {
        let offered = self.post(access, "/v1/auth/totp", &Value::Null).await?;
        anyhow::ensure!(offered.status == StatusCode::OK, "{} {}", offered.status, offered.text);
        let secret = offered.json["secret"].as_str().context("a seed")?.to_owned();
        let authenticator = Authenticator::of(&secret)?;
        let used = authenticator.code()?;
        let body = json!({ "code": used, "label": "My phone" });
        let enrolled = self.post(access, "/v1/auth/totp/confirm", &body).await?;
        anyhow::ensure!(enrolled.status == StatusCode::OK, "{} {}", enrolled.status, enrolled.text);
        let recovery_codes = serde_json::from_value(enrolled.json["recovery_codes"].clone())?;
        Ok(Enrolled { authenticator, secret, used, recovery_codes })
    }

    /// Tries the second half of a sign-in: `field` is `code` or `recovery_code`.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn second(&self, ticket: &str, field: &str, shown: &str) -> anyhow::Result<Answer> {
        self.second_at(&self.stack.command_url, ticket, field, shown).await
    }

    /// The same at one process.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn second_at(
        &self,
        base: &str,
        ticket: &str,
        field: &str,
        shown: &str,
    ) -> anyhow::Result<Answer> {
        let url = format!("{base}/v1/auth/second-factor");
        let body = json!({ "ticket": ticket, field: shown });
        answer(self.stack.request(Method::POST, "", &url).json(&body)).await
    }

    /// Signs in with a password and a code of now, as if that had not been shown before.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn sign_in_with(&self, email: &str, enrolled: &Enrolled) -> anyhow::Result<SignedIn> {
        let ticket = ticket(&self.log_in(email, crate::person::PASSWORD).await?)?;
        self.as_if_later().await?;
        SignedIn::of(&self.second(&ticket, "code", &enrolled.authenticator.code()?).await?)
    }

    /// Lets codes be good again that were shown: a test does not wait for the next ones.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn as_if_later(&self) -> anyhow::Result<()> {
        let mut conn = self.stack.database.superuser().await?;
        sqlx::query("update vault.totp set last_step = 0 where tenant_id = $1")
            .bind(self.tenant.uuid())
            .execute(&mut conn)
            .await?;
        Ok(())
    }
}

/// The ticket of a sign-in that asks for a second factor.
///
/// # Errors
/// If it asks for none.
pub fn ticket(answer: &Answer) -> anyhow::Result<String> {
    let asked = (answer.status, answer.code()) == (StatusCode::FORBIDDEN, "identity.second-factor-required");
    anyhow::ensure!(asked, "{} {}", answer.status, answer.text);
    Ok(answer.json["details"]["ticket"].as_str().context("a ticket")?.to_owned())
}
