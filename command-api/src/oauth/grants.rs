//! The token endpoint: codes, refresh tokens, devices and services that act for themselves, exchanged for access tokens.

use axum::http::HeaderMap;
use chrono::Utc;
use domain::Refusal;
use domain::application::RedeemDevice;
use domain::ids::{ActorId, GrantId, SessionId, TenantId, UserId};
use domain::words::Scope;
use event_store::vault::{Digest, Polled, ShownToken, TakenCode, VaultChange};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use service_kit::bearer::{Bearer, Kind};
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::permissions;
use service_kit::problem::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ask::{challenge_by, not_registered};
use super::authorize::binding;
use super::client::Client;
use super::params::Params;
use super::{OPENID, Oauth, grant, has, registered, scopes, shown, written};
use crate::identity::Origin;
use crate::identity::lent::{Lent, LentTokens, not_signed};
use crate::identity::sessions::InSession;

/// Why a session ends whose code came back.
const CODE_REPLAYED: &str = "code-replayed";
/// How long an ID token is good, in seconds: it is looked at when it comes.
const ID_TOKEN_SECONDS: i64 = 600;

/// What a service goes on with (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    /// Says who acts, and for whom.
    access_token: String,
    /// How it is shown.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which it is good.
    #[schema(example = 3600)]
    expires_in: i64,
    /// Gets the next two tokens, once; if the service is registered for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Says who signed in, for the service alone; if `openid` was allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    /// What the access token is for.
    #[schema(example = "openid profile")]
    scope: String,
}

/// What an ID token says (OpenID Connect Core section 2). What else is known of the person, `userinfo` tells.
#[derive(Serialize)]
struct IdToken<'a> {
    iss: &'a str,
    sub: UserId,
    aud: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    amr: Vec<&'a str>,
    sid: SessionId,
}

/// A code or token that is good for nothing, whatever the reason: nobody learns which by trying.
fn invalid_grant() -> OauthError {
    OauthError::new(OauthCode::InvalidGrant, "the grant is not good, or not any more, or not this client's")
}

/// What of that which a person allowed the service is registered with still.
fn still_good(client: &Client, allowed: &str) -> Result<String, OauthError> {
    let scope = registered(allowed, &client.service);
    if scope.is_empty() { Err(invalid_grant()) } else { Ok(scope) }
}

/// The person or their organisation may not be let in any more.
fn not_let_in(refusal: Refusal) -> OauthError {
    tracing::info!(code = %refusal.code, "a service was not let have a session");
    invalid_grant()
}

fn unavailable(error: sqlx::Error) -> OauthError {
    OauthError::from(Problem::store_unavailable(&error))
}

impl Oauth {
    /// Exchanges what a service shows for tokens.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn token(
        &self,
        headers: &HeaderMap,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenBody, OauthError> {
        let issuer = self.issuer()?;
        let client = self.client(headers, params).await?;
        match params.required("grant_type")? {
            "authorization_code" => {
                client.granted(grant::AUTHORIZATION_CODE)?;
                self.by_code(&issuer, &client, params, origin).await
            }
            "refresh_token" => {
                client.granted(grant::REFRESH_TOKEN)?;
                self.by_refresh(&issuer, &client, params, origin).await
            }
            "client_credentials" => {
                client.granted(grant::CLIENT_CREDENTIALS)?;
                self.by_itself(&client, params).await
            }
            "urn:ietf:params:oauth:grant-type:device_code" => {
                client.granted(grant::DEVICE_CODE)?;
                self.by_device(&issuer, &client, params, origin).await
            }
            _ => Err(OauthError::new(OauthCode::UnsupportedGrantType, "")),
        }
    }

    async fn by_code(
        &self,
        issuer: &str,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenBody, OauthError> {
        let (code, uri) = (params.required("code")?, params.required("redirect_uri")?);
        let verifier = params.required("code_verifier")?;
        let malformed = || OauthError::new(OauthCode::InvalidRequest, "code_verifier is malformed");
        let challenge = challenge_by(verifier).ok_or_else(malformed)?;
        let (parts, tenant) = (self.parts(), client.id.tenant);
        // A code of another organisation names another tenant, and is not even looked for (CVE-2026-9094).
        let code = shown(Kind::AuthorizationCode, code)
            .filter(|it| it.tenant == tenant)
            .ok_or_else(invalid_grant)?;
        let session = SessionId::new(Uuid::now_v7());
        let bound = binding(client.id.service, uri, challenge);
        let granted = match parts.vault.take_code(&code, &bound, session).await.map_err(unavailable)? {
            TakenCode::Taken(granted) => granted,
            TakenCode::Replayed(session, user) => {
                self.end_copied(tenant, session, user, origin).await?;
                return Err(invalid_grant());
            }
            TakenCode::Invalid => return Err(invalid_grant()),
        };
        let lent = Lent {
            client: client.id,
            user: granted.user,
            came_by: granted.came_by,
            scope: still_good(client, &granted.scope)?,
            method: "authorization-code",
            refreshes: client.refreshes(),
        };
        let tokens = parts.identity.lend(lent, session, None, origin).await?.map_err(not_let_in)?;
        if !parts.vault.settle_code(tenant, code.id).await.map_err(unavailable)? {
            self.end_copied(tenant, session, granted.user, origin).await?;
            return Err(invalid_grant());
        }
        self.answer(issuer, client, tokens, granted.nonce.as_deref())
    }

    /// Ends the session of a code of which somebody has a copy (RFC 6749 section 4.1.2). If there is none yet, whoever is about
    /// to start it sees that the code came back.
    async fn end_copied(
        &self,
        tenant: TenantId,
        session: SessionId,
        user: UserId,
        origin: &Origin,
    ) -> Result<(), OauthError> {
        let who = InSession { tenant, session, user };
        self.parts().identity.take_back(who, CODE_REPLAYED, ActorId::SYSTEM, origin).await?;
        tracing::warn!(session = %session, "a code came back: its session was ended");
        Ok(())
    }

    async fn by_refresh(
        &self,
        issuer: &str,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenBody, OauthError> {
        let token = params.required("refresh_token")?;
        let asked = params.get("scope").map(scopes).transpose()?;
        let it = Bearer::parse(Kind::Refresh, token).ok().filter(|it| it.tenant == client.id.tenant);
        let it = it.ok_or_else(invalid_grant)?;
        let service = Some(client.id.service.uuid());
        let shown = ShownToken { tenant: it.tenant, token: it.id, hash: Digest(it.hash()), service };
        let narrowed = |allowed: &str| {
            let allowed = still_good(client, allowed)?;
            match &asked {
                None => Ok(allowed),
                Some(asked) if asked.iter().all(|it| has(&allowed, it.as_str())) => Ok(written(asked)),
                Some(_) => Err(not_registered()),
            }
        };
        let tokens = self.parts().identity.refresh_lent(&shown, narrowed, origin).await?;
        self.answer(issuer, client, tokens, None)
    }

    /// A service for itself: the permissions that it is registered with, or fewer.
    async fn by_itself(&self, client: &Client, params: &Params) -> Result<TokenBody, OauthError> {
        let secret = client.confidential()?;
        let of_programs = |it: &&Scope| !super::OF_OPENID.contains(&it.as_str());
        let scopes = match params.get("scope") {
            Some(text) => scopes(text)?,
            None => client.service.scopes.iter().filter(of_programs).cloned().collect(),
        };
        // There is nobody of whom anything could be said.
        if !scopes.iter().all(|it| of_programs(&it) && client.service.scopes.contains(it)) {
            return Err(not_registered());
        }
        let scope = written(&scopes);
        let issued = self.parts().identity.service_token(client.id, secret, scope.clone()).await?;
        Ok(TokenBody {
            expires_in: (issued.expires_at - Utc::now()).num_seconds().max(0),
            access_token: issued.token,
            token_type: "Bearer",
            refresh_token: None,
            id_token: None,
            scope,
        })
    }

    async fn by_device(
        &self,
        issuer: &str,
        client: &Client,
        params: &Params,
        origin: &Origin,
    ) -> Result<TokenBody, OauthError> {
        let (parts, tenant) = (self.parts(), client.id.tenant);
        let device = shown(Kind::DeviceCode, params.required("device_code")?);
        let device = device.filter(|it| it.tenant == tenant).ok_or_else(invalid_grant)?;
        let wait = |code, told| Err(OauthError::new(code, told));
        let polled = parts.vault.poll_device(&device, client.id.service).await.map_err(unavailable)?;
        let (user, came_by, scope) = match polled {
            Polled::Approved { user, came_by, scope } => (user, came_by, scope),
            Polled::Pending => return wait(OauthCode::AuthorizationPending, ""),
            Polled::TooSoon => return wait(OauthCode::SlowDown, "wait five seconds longer from now on"),
            Polled::Denied => return wait(OauthCode::AccessDenied, ""),
            Polled::Expired => return wait(OauthCode::ExpiredToken, ""),
            Polled::Redeemed(session, user) => {
                self.end_copied(tenant, session, user, origin).await?;
                return Err(invalid_grant());
            }
            Polled::Unknown => return Err(invalid_grant()),
        };
        let scope = still_good(client, &scope)?;
        let grant_id = GrantId::new(device.id);
        let session = SessionId::new(Uuid::now_v7());
        let redeem = RedeemDevice { grant_id, service_id: client.id.service, session_id: session };
        let noted = VaultChange::RedeemDevice { tenant, grant: grant_id, session };
        let method = "device-code";
        let lent = Lent { client: client.id, user, came_by, scope, method, refreshes: client.refreshes() };
        match parts.identity.lend(lent, session, Some((Box::new(redeem), noted)), origin).await? {
            Ok(tokens) => self.answer(issuer, client, tokens, None),
            Err(refusal) if refusal.code == "application.grant-redeemed" => {
                // Two came at once with one code: whoever was first has a copy, or is one.
                let began = refusal.details.get("session_id").and_then(|it| it.parse().ok());
                if let Some(began) = began {
                    self.end_copied(tenant, began, user, origin).await?;
                }
                Err(invalid_grant())
            }
            Err(refusal) => Err(not_let_in(refusal)),
        }
    }

    fn answer(
        &self,
        issuer: &str,
        client: &Client,
        tokens: LentTokens,
        nonce: Option<&str>,
    ) -> Result<TokenBody, OauthError> {
        let id_token =
            has(&tokens.scope, OPENID).then(|| self.id_token(issuer, client, &tokens, nonce)).transpose()?;
        Ok(TokenBody {
            expires_in: (tokens.access.expires_at - Utc::now()).num_seconds().max(0),
            access_token: tokens.access.token,
            token_type: "Bearer",
            refresh_token: tokens.refresh.map(|it| it.expose_secret().to_owned()),
            id_token,
            scope: tokens.scope,
        })
    }

    fn id_token(
        &self,
        issuer: &str,
        client: &Client,
        tokens: &LentTokens,
        nonce: Option<&str>,
    ) -> Result<String, OauthError> {
        let now = Utc::now().timestamp();
        let claims = IdToken {
            iss: issuer,
            sub: tokens.user,
            aud: &client.id.to_string(),
            exp: now.saturating_add(ID_TOKEN_SECONDS),
            iat: now,
            auth_time: tokens.proof.shown_at().map(|it| it.timestamp()),
            nonce,
            amr: tokens.proof.amr.iter().map(domain::words::Word::as_str).collect(),
            sid: tokens.session,
        };
        let signed = self.parts().signer.sign_id_token(&claims);
        signed.map_err(|error| OauthError::from(not_signed(&error)))
    }
}

/// Whether a service may be let have a permission at all: to read, and to keep the books. It never administers anybody.
#[must_use]
pub fn may_be_lent(name: &str) -> bool {
    let Some(doc) = permissions::find(name) else { return false };
    let (context, what) = doc.name.split_once('.').unwrap_or_default();
    let reads = what.starts_with("read-");
    let of_books = ["audit", "events", "ledger", "projections"].contains(&context);
    (of_books || reads) && !doc.only_in_person && !doc.needs_step_up && !doc.is_of_platform
}
