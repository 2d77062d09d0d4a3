//! Asking about tokens (RFC 7662), giving them back (RFC 7009), and who somebody is (OpenID Connect Core section 5.3).

use axum::http::{HeaderMap, HeaderValue, header};
use domain::gate::Admission;
use domain::ids::{ActorId, SessionId, TenantId, UserId};
use domain::organisation::TenantStatus;
use event_store::access::look;
use event_store::vault::{Digest, ServiceFamily, ShownToken};
use serde::Serialize;
use service_kit::access::{Permission as _, Who, permissions};
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::oauth_error::OauthError;
use service_kit::problem::{Problem, code};
use service_kit::token::{Claims, TokenError};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::Client;
use super::params::Params;
use super::{EMAIL, OPENID, ORGANISATION, Oauth, PHONE, PROFILE, has, registered};
use crate::identity::Origin;
use crate::identity::claims::Profile;
use crate::identity::sessions::InSession;

/// A service gave its token back.
const GIVEN_BACK: &str = "given-back";

/// What is known of a token (RFC 7662 section 2.2). Of one that is not good, or of another organisation, nothing but that.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct TokenFacts {
    /// Whether it is good now.
    active: bool,
    /// What it is for: names parted by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// To which service it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// How it is shown, or what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// Who acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Uuid>,
    /// The organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<Uuid>,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// For whom it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// Names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// Which staff of the platform act in the place of `sub`, if any do (RFC 8693 section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<ActingStaff>,
}

/// Who acts in the place of another.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActingStaff {
    /// The one who acts.
    sub: Uuid,
}

/// What a service may know of the person who signed in to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserInfo {
    /// The person.
    sub: Uuid,
    /// What they are called; with the scope `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What they are called by friends; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    /// What their family is called; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<String>,
    /// When what is known of them changed last, in seconds since 1970; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    /// The language in which they are written to; with the scope `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// Their address; with the scope `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Whether it is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    /// Their telephone number; with the scope `phone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "+4930123456")]
    phone_number: Option<String>,
    /// Whether it is proven, which none is here; likewise, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number_verified: Option<bool>,
    /// Their organisation; with the scope `organization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<Uuid>,
    /// Its name in addresses; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "acme-books")]
    org_slug: Option<String>,
    /// Its name for people; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    org_name: Option<String>,
    /// The roles that they have in it at this moment; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["manager"]))]
    roles: Option<Vec<String>>,
}

/// Something that a service shows and that was given to it.
enum Own {
    /// A refresh token that is live, or not.
    Refresh(ServiceFamily, bool),
    /// An access token.
    Access(Box<Claims>),
    /// Nothing that is known here.
    Nothing,
}

fn unavailable(error: sqlx::Error) -> OauthError {
    OauthError::from(Problem::store_unavailable(&error))
}

impl Oauth {
    async fn own(&self, client: &Client, token: &str) -> Result<Own, OauthError> {
        let (vault, tenant) = (&self.parts().vault, client.id.tenant);
        if let Ok(it) = Bearer::parse(Kind::Refresh, token) {
            let service = Some(client.id.service.uuid());
            let shown = ShownToken { tenant: it.tenant, token: it.id, hash: Digest(it.hash()), service };
            let family = vault.family_of(&shown).await.map_err(unavailable)?.filter(|_| it.tenant == tenant);
            let Some(family) = family else { return Ok(Own::Nothing) };
            let is_live = vault.refresh_is_live(&shown).await.map_err(unavailable)?;
            return Ok(Own::Refresh(family, is_live));
        }
        let claims = match self.parts().verifier.verify_fresh(token).await {
            Ok(it) => it.claims,
            Err(TokenError::Invalid | TokenError::Expired) => return Ok(Own::Nothing),
        };
        Ok(if claims.tenant_id == tenant { Own::Access(Box::new((*claims).clone())) } else { Own::Nothing })
    }

    /// How whoever shows an access token stands now, if they do; and if staff act in their place, still may.
    async fn admission(&self, claims: &Claims) -> Result<Option<Admission>, Problem> {
        let mut conn =
            self.parts().pool.acquire().await.map_err(|error| Problem::store_unavailable(&error))?;
        if let Some(act) = claims.act {
            let staff = look(&mut conn, &Who::staff(act.sub)).await;
            let staff = staff.map_err(|error| Problem::store_unavailable(&error))?;
            if !staff.as_ref().as_ref().is_ok_and(|it| it.granted.allows(permissions::Impersonate::NAME)) {
                return Ok(None);
            }
        }
        let answer = look(&mut conn, &Who::of(claims)).await;
        let answer = answer.map_err(|error| Problem::store_unavailable(&error))?;
        let stands = |it: &Admission| it.status == TenantStatus::Active && !it.lacks_factor;
        Ok(answer.as_ref().as_ref().ok().map(|it| (**it).clone()).filter(stands))
    }

    /// What an access token is for, as the service is registered that it was given to by now.
    async fn scope_of(&self, claims: &Claims) -> Result<Option<String>, Problem> {
        let client = claims.client_id.as_deref().and_then(ClientId::parse);
        let (Some(scope), Some(client)) = (&claims.scope, client) else { return Ok(claims.scope.clone()) };
        let service = self.parts().identity.service(client).await?;
        Ok(service.map(|it| registered(scope, &it)))
    }

    /// What is known of a token. A service that keeps secrets may ask about every access token of its organisation, and about
    /// refresh tokens of its own.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn introspect(&self, headers: &HeaderMap, params: &Params) -> Result<TokenFacts, OauthError> {
        let client = self.client(headers, params).await?;
        client.confidential()?;
        match self.own(&client, params.required("token")?).await? {
            Own::Refresh(family, true) => {
                let who = session_of(&family);
                if self.parts().identity.stands_with_every_factor(who).await?.is_none() {
                    return Ok(TokenFacts::default());
                }
                Ok(TokenFacts {
                    active: true,
                    scope: Some(registered(&family.scope, &client.service)),
                    client_id: Some(client.id.to_string()),
                    token_type: Some("refresh_token"),
                    sub: Some(who.user.uuid()),
                    tenant_id: Some(who.tenant.uuid()),
                    ..TokenFacts::default()
                })
            }
            Own::Access(claims) if self.admission(&claims).await?.is_some() => Ok(TokenFacts {
                active: true,
                scope: self.scope_of(&claims).await?,
                client_id: claims.client_id,
                token_type: Some("Bearer"),
                sub: Some(claims.sub.uuid()),
                tenant_id: Some(claims.tenant_id.uuid()),
                exp: Some(claims.exp),
                iat: Some(claims.iat),
                aud: Some(claims.aud),
                iss: Some(claims.iss),
                jti: Some(claims.jti.uuid()),
                act: claims.act.map(|it| ActingStaff { sub: it.sub.uuid() }),
            }),
            Own::Refresh(..) | Own::Access(_) | Own::Nothing => Ok(TokenFacts::default()),
        }
    }

    /// Gives a token back: the session ends of which it is, with every token of it; of one that a service got for itself there
    /// is no session, and it ends alone. One that is not known is as good as given back (RFC 7009 section 2.2). One of another
    /// service stays as it is and is answered alike, whatever it is for: so nobody learns by trying whose a token is.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn revoke(
        &self,
        headers: &HeaderMap,
        params: &Params,
        origin: &Origin,
    ) -> Result<(), OauthError> {
        let client = self.client(headers, params).await?;
        let who = match self.own(&client, params.required("token")?).await? {
            Own::Nothing => return Ok(()),
            Own::Refresh(family, _) => session_of(&family),
            Own::Access(claims) => {
                if claims.client_id.as_deref() != Some(client.id.to_string().as_str()) {
                    return Ok(());
                }
                let Some(session) = claims.sid.map(SessionId::new) else {
                    return Ok(self.parts().identity.give_back(client.id, claims.jti, origin).await?);
                };
                InSession { tenant: claims.tenant_id, session, user: UserId::new(claims.sub.uuid()) }
            }
        };
        let by = ActorId::new(client.id.service.uuid());
        Ok(self.parts().identity.take_back(who, GIVEN_BACK, by, origin).await?)
    }

    /// Who the person is for whom a service acts, as far as they allowed it to know. That whoever asks stands, the caller has
    /// looked.
    ///
    /// # Errors
    /// `oauth.scope-missing`: what is shown is no access token of a service with the scope `openid`.
    pub async fn user_info(&self, headers: &HeaderMap) -> Result<UserInfo, Problem> {
        let missing = || {
            let told = HeaderValue::from_static("Bearer error=\"insufficient_scope\", scope=\"openid\"");
            Problem::new(&code::OAUTH_SCOPE_MISSING, "").header(header::WWW_AUTHENTICATE, told)
        };
        let token = bearer(headers).ok_or_else(missing)?;
        let claims = self.parts().verifier.verify_fresh(token).await.map_err(|_| missing())?.claims;
        let scope = self.scope_of(&claims).await?.unwrap_or_default();
        let scope = scope.as_str();
        let (Some(session), Some(_), true) = (claims.sid, &claims.client_id, has(scope, OPENID)) else {
            return Err(missing());
        };
        let invalid = || Problem::new(&code::TOKEN_INVALID, "");
        let (tenant, user): (TenantId, UserId) = (claims.tenant_id, UserId::new(claims.sub.uuid()));
        let identity = &self.parts().identity;
        let who = InSession { tenant, session: SessionId::new(session), user };
        identity.stands_with_every_factor(who).await?.ok_or_else(invalid)?;
        let known = identity.known(tenant, user).await?.ok_or_else(invalid)?;
        let [profile, email, phone] = [PROFILE, EMAIL, PHONE].map(|it| has(scope, it));
        let told =
            if profile || phone { identity.profile_of(tenant, user).await? } else { Profile::default() };
        let number = told.phone.clone().filter(|_| phone);
        let told = if profile { told } else { Profile::default() };
        let (organisation, roles) = if has(scope, ORGANISATION) {
            (identity.organisation_called(tenant).await?, identity.roles_in(who).await?)
        } else {
            (None, None)
        };
        Ok(UserInfo {
            sub: user.uuid(),
            name: told.name(),
            given_name: told.given_name,
            family_name: told.family_name,
            updated_at: told.updated_at.map(|it| it.timestamp()),
            locale: profile.then_some(known.language),
            email: if email { identity.mailbox(tenant, user).await? } else { None },
            email_verified: email.then_some(known.email_verified),
            phone_number_verified: number.as_ref().map(|_| false),
            phone_number: number,
            tenant_id: organisation.as_ref().map(|_| tenant.uuid()),
            org_slug: organisation.as_ref().map(|it| it.slug.clone()),
            org_name: organisation.map(|it| it.name),
            roles,
        })
    }
}

fn session_of(family: &ServiceFamily) -> InSession {
    let it = family.session;
    InSession { tenant: it.tenant, session: SessionId::new(it.session), user: UserId::new(it.user) }
}

/// The token of the one header in which it is looked for.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
