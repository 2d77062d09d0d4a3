//! From what a request shows to who asks: a signed access token, or an API key, in the one header that is looked at.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use domain::ids::{ActorId, ApiKeyId, TokenId};
use uuid::Uuid;

use super::{Access, Caller, ClientAddress, PrincipalLimiter, Who, user_agent};
use crate::bearer::{Bearer, Kind};
use crate::problem::{Problem, code};
use crate::rate::{KeyLimiter, PaceLimiter};
use crate::telemetry::{self, TraceId};
use crate::token::{LEEWAY_SECONDS, TokenError, Verified, Verifier};

/// What a request shows, and that it is one of ours.
struct Shown {
    who: Who,
    actor: ActorId,
    acts: Option<ActorId>,
    token_id: TokenId,
    session: Option<Uuid>,
    /// In seconds since 1970.
    believed_until: i64,
    kid: Option<Arc<str>>,
    /// Who has an allowance of requests of their own.
    principal: ActorId,
}

impl Shown {
    fn by_token(Verified { claims, kid }: Verified) -> Self {
        Self {
            who: Who::of(&claims),
            actor: claims.sub,
            acts: claims.act.map(|it| it.sub),
            token_id: claims.jti,
            session: claims.sid,
            believed_until: claims.exp.saturating_add(LEEWAY_SECONDS),
            kid: Some(kid),
            principal: claims.sub,
        }
    }

    async fn by_key(text: &str, access: &dyn Access) -> Result<Self, Problem> {
        let invalid = || not_believed(TokenError::Invalid);
        let key = Bearer::parse(Kind::ApiKey, text).map_err(|_| invalid())?;
        let owner = access.owner_of_key(&key).await?.ok_or_else(invalid)?;
        Ok(Self {
            who: Who::with_key(key.tenant, ApiKeyId::new(key.id)),
            actor: owner.actor(),
            acts: None,
            token_id: TokenId::new(key.id),
            session: None,
            believed_until: i64::MAX,
            kid: None,
            // What a program does in a hurry is not taken from its owner.
            principal: ActorId::new(key.id),
        })
    }
}

fn not_believed(error: TokenError) -> Problem {
    let (doc, text) = match error {
        TokenError::Expired => {
            (&code::TOKEN_EXPIRED, "Bearer error=\"invalid_token\", error_description=\"expired\"")
        }
        TokenError::Invalid => (&code::TOKEN_INVALID, "Bearer error=\"invalid_token\""),
    };
    Problem::new(doc, "").header(header::WWW_AUTHENTICATE, HeaderValue::from_static(text))
}

/// Who asks, if they still stand.
pub(super) async fn authenticate(parts: &Parts) -> Result<Caller, Problem> {
    let verifier = parts.extensions.get::<Arc<Verifier>>().ok_or_else(|| Problem::fault(&NotVerified))?;
    let access = parts.extensions.get::<Arc<dyn Access>>().ok_or_else(|| Problem::fault(&NotVerified))?;
    let text = bearer(&parts.headers)?;
    // No signed token begins so: it would not be base64url of a JSON object.
    let is_key = text.starts_with(Kind::ApiKey.prefix());
    let shown = if is_key {
        Shown::by_key(text, access.as_ref()).await?
    } else {
        Shown::by_token(verifier.verify_fresh(text).await.map_err(not_believed)?)
    };
    let tenant = shown.who.tenant();
    telemetry::note_tenant(tenant);
    // Before anybody's standing is looked up: whoever asks too much costs no more than this.
    if let Some(limiter) = parts.extensions.get::<PrincipalLimiter>() {
        telemetry::note_rate(limiter.check(&(tenant, shown.principal))?);
    }
    // Only of a key that is right: whoever knows its name alone takes nothing from it.
    if is_key && let Some(limiter) = parts.extensions.get::<KeyLimiter>() {
        telemetry::note_rate(limiter.check(&shown.token_id.uuid())?);
    }
    let standing = super::standing_of(access.as_ref(), &shown.who, shown.acts).await?;
    if let Some(limiter) = parts.extensions.get::<PaceLimiter>() {
        for pace in &standing.paces {
            limiter.check(pace)?.inspect(|it| telemetry::note_rate(*it));
        }
    }
    let ends_at = standing.until.map_or(shown.believed_until, |it| it.timestamp());
    Ok(Caller {
        tenant,
        actor: shown.actor,
        acts: shown.acts,
        token_id: shown.token_id,
        session: shown.session,
        believed_until: ends_at.min(shown.believed_until),
        kid: shown.kid,
        who: shown.who,
        standing,
        ip: parts.extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0),
        user_agent: user_agent(&parts.headers),
        trace_id: telemetry::current_trace_id().unwrap_or_else(TraceId::random),
    })
}

#[derive(Debug, thiserror::Error)]
#[error("this router verifies nobody: wrap it in access::verified_by")]
struct NotVerified;

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let one = all.next().ok_or_else(|| Problem::new(&code::TOKEN_MISSING, ""))?;
    if all.next().is_some() {
        return Err(Problem::new(&code::TOKEN_INVALID, "more than one Authorization header"));
    }
    let text = one.to_str().map_err(|_| Problem::new(&code::TOKEN_INVALID, ""))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(Problem::new(&code::TOKEN_MISSING, "Authorization is not of the scheme Bearer")),
    }
}
