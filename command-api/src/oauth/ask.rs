//! What a service asks of a person, read from the address to which it sent them (RFC 6749 section 4.1.1 with RFC 7636, OpenID
//! Connect Core section 3.1.2.1). Pure: who asks and who is there is judged in [`super::authorize`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::application::LiveService;
use domain::application::service::OFFLINE_ACCESS;
use domain::identity::LiveSession;
use domain::ids::{ServiceId, TenantId, UserId};
use domain::words::Scope;
use event_store::vault::Digest;
use serde::{Deserialize, Serialize};
use service_kit::bearer::ClientId;
use service_kit::oauth_error::{OauthCode, OauthError};
use uuid::Uuid;

use super::params::Params;
use super::{scopes, sha256};

/// Bytes of a state at most.
pub(super) const STATE_BYTES_MAX: usize = 1_000;
/// Bytes of a nonce at most.
const NONCE_BYTES_MAX: usize = 255;
/// Bytes of all scopes at most.
const SCOPE_BYTES_MAX: usize = 1_000;
/// Bytes of a hint of who will sign in, and of languages, at most.
const HINT_BYTES_MAX: usize = 254;

/// What a service asks, as it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) service: ServiceId,
    pub(super) redirect_uri: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    /// SHA-256, in base64url.
    pub(super) challenge: String,
    pub(super) prompt: Prompt,
    /// Seconds since which the person must have shown who they are.
    pub(super) max_age: Option<u32>,
    pub(super) login_hint: Option<String>,
    pub(super) ui_locales: Option<String>,
    /// Who must be signed in, if the service showed an ID token of somebody.
    #[serde(default)]
    pub(super) meant: Option<UserId>,
    pub(super) asked_at: DateTime<Utc>,
}

/// What the person is to be asked (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prompt {
    /// Nothing at all.
    pub(super) none: bool,
    /// To sign in again.
    pub(super) login: bool,
    /// Likewise, since who else could be chosen shows who they are; but an old proof will do.
    #[serde(default)]
    pub(super) select: bool,
    /// To allow it again.
    pub(super) consent: bool,
}

/// Reads what is asked, once service and address are known to belong together.
pub(super) fn ask_of(params: &Params, service: &LiveService) -> Result<Ask, OauthError> {
    let invalid = |told: &'static str| OauthError::new(OauthCode::InvalidRequest, told);
    params.whole()?;
    if ["request", "request_uri", "registration"].iter().any(|it| params.get(it).is_some()) {
        return Err(OauthError::new(OauthCode::RequestNotSupported, "request objects are not taken"));
    }
    if params.required("response_type")? != "code" {
        return Err(OauthError::new(OauthCode::UnsupportedResponseType, "only code is"));
    }
    if params.get("response_mode").is_some_and(|it| it != "query") {
        return Err(invalid("response_mode can only be query"));
    }
    // RFC 7636 section 4.3: without a method it would be `plain`, which shows the verifier to whoever sees this address.
    if params.required("code_challenge_method")? != "S256" {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let challenge = params.required("code_challenge")?;
    if challenge_of(challenge).is_none() {
        return Err(invalid("code_challenge is no SHA-256 in base64url"));
    }
    let short = |name: &'static str, most: usize| match params.get(name) {
        Some(it) if it.len() > most => Err(invalid("a parameter is too long")),
        it => Ok(it.map(ToOwned::to_owned)),
    };
    let scope = short("scope", SCOPE_BYTES_MAX)?;
    let scope = scope.ok_or_else(|| OauthError::new(OauthCode::InvalidScope, "scope is missing"))?;
    let scopes = wanted(scopes(&scope)?, service)?;
    let max_age = params.get("max_age").map(str::parse).transpose();
    Ok(Ask {
        service: ServiceId::new(Uuid::nil()),
        redirect_uri: params.required("redirect_uri")?.to_owned(),
        scopes,
        state: short("state", STATE_BYTES_MAX)?,
        nonce: short("nonce", NONCE_BYTES_MAX)?,
        challenge: challenge.to_owned(),
        prompt: prompt_of(params.get("prompt").unwrap_or_default())?,
        max_age: max_age.map_err(|_| invalid("max_age is no number of seconds"))?,
        login_hint: short("login_hint", HINT_BYTES_MAX)?,
        ui_locales: short("ui_locales", HINT_BYTES_MAX)?,
        meant: None,
        asked_at: Utc::now(),
    })
}

/// What a service asks for, if it may. To go on while the person is away means nothing where no service can, and is passed over
/// there (OpenID Connect Core section 11); nothing else is, so that nobody believes they were given what they were not.
pub(super) fn wanted(mut scopes: Vec<Scope>, service: &LiveService) -> Result<Vec<Scope>, OauthError> {
    if !service.refreshes() {
        scopes.retain(|it| it.as_str() != OFFLINE_ACCESS);
    }
    if scopes.is_empty() {
        return Err(OauthError::new(OauthCode::InvalidScope, "the client asks for nothing"));
    }
    service.has_scopes(&scopes).map_err(|_| not_registered())?;
    Ok(scopes)
}

pub(super) fn not_registered() -> OauthError {
    OauthError::new(OauthCode::InvalidScope, "a scope is not registered with the client")
}

fn prompt_of(text: &str) -> Result<Prompt, OauthError> {
    let mut prompt = Prompt::default();
    for word in text.split(' ').filter(|it| !it.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "select_account" => prompt.select = true,
            "consent" => prompt.consent = true,
            _ => return Err(OauthError::new(OauthCode::InvalidRequest, "prompt is not known")),
        }
    }
    if prompt.none && (prompt.login || prompt.select || prompt.consent) {
        return Err(OauthError::new(OauthCode::InvalidRequest, "prompt says none and more"));
    }
    Ok(prompt)
}

/// 32 bytes in base64url, in the one way of writing them.
pub(super) fn challenge_of(text: &str) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Digest)
}

/// The challenge of a verifier, if it is one: 43 to 128 of the characters that RFC 7636 section 4.1 names.
pub(super) fn challenge_by(verifier: &str) -> Option<Digest> {
    let known = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
    let is_good = (43..=128).contains(&verifier.len()) && verifier.bytes().all(known);
    is_good.then(|| sha256(verifier.as_bytes()))
}

impl Ask {
    pub(super) fn client(&self, tenant: TenantId) -> ClientId {
        ClientId { tenant, service: self.service }
    }

    /// Whether the service means somebody else (OpenID Connect Core section 3.1.2.1, `id_token_hint`).
    pub(super) fn means_another(&self, user: UserId) -> bool {
        self.meant.is_some_and(|it| it != user)
    }

    /// Whether somebody must show who they are before they decide.
    pub(super) fn wants_sign_in(&self, proof: &LiveSession, now: DateTime<Utc>) -> bool {
        if proof.auth_time >= self.asked_at {
            return false;
        }
        let age = now - proof.auth_time;
        self.prompt.login
            || self.prompt.select && !self.has_signed_in(proof)
            || self.max_age.is_some_and(|it| age > TimeDelta::seconds(it.into()))
    }

    /// Whether somebody has signed in since this was asked; with a provider, they may have shown it long before who they are.
    pub(super) fn has_signed_in(&self, proof: &LiveSession) -> bool {
        proof.auth_time >= self.asked_at || proof.began_at >= self.asked_at
    }

    /// Whether the service demands that somebody shows now, or not long ago, who they are.
    pub(super) const fn demands_fresh_proof(&self) -> bool {
        self.prompt.login || self.max_age.is_some()
    }
}

#[cfg(test)]
mod tests;
