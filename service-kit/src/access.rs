//! Who may do what. A handler names its permission in its signature as [`Allowed<P>`]; there is no other way to a
//! [`Caller`], so a handler that forgot its permission has no tenant to act in.
//!
//! **Invariant:** `Caller` is built here only, from a verified token.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::{Extension, Router};
use domain::ids::{ActorId, TenantId, TokenId};
use ipnet::IpNet;
use sabotage::Guard;
use uuid::Uuid;

use crate::audit;
use crate::problem::{Problem, code};
use crate::rate::Limiter;
use crate::telemetry::{self, TraceId};
use crate::token::{LEEWAY_SECONDS, Role, TokenError, Verifier};

/// Characters of a user agent that are kept.
const USER_AGENT_CHARS_MAX: usize = 256;
/// Forwarded addresses that are looked at.
const FORWARDED_MAX: usize = 32;

/// Something a caller may be allowed to do.
pub trait Permission: Send + Sync + 'static {
    /// `<context>.<verb>-<noun>`; verbs `read` change nothing.
    const NAME: &'static str;
    /// Whether it opens personal data or lets much be carried out: every use of it is recorded in the audit trail.
    const SENSITIVE: bool = false;
}

/// A permission that is not sensitive everywhere, used by an operation that is.
#[derive(Debug, Clone, Copy)]
pub struct Audited<P>(PhantomData<fn() -> P>);

impl<P: Permission> Permission for Audited<P> {
    const NAME: &'static str = P::NAME;
    const SENSITIVE: bool = true;
}

/// The permissions of the product, one unit struct each.
pub mod permissions {
    use super::Permission;

    macro_rules! permissions {
        (@sensitive) => { false };
        (@sensitive audited) => { true };
        ($($name:ident $text:literal $($audited:ident)?;)*) => {
            $(
                #[doc = concat!("`", $text, "`")]
                #[derive(Debug, Clone, Copy)]
                pub struct $name;
                impl Permission for $name {
                    const NAME: &'static str = $text;
                    const SENSITIVE: bool = permissions!(@sensitive $($audited)?);
                }
            )*
            /// All of them, for the reference page and for the access matrix.
            pub const ALL: &[&str] = &[$($text),*];
        };
    }

    permissions! {
        OpenAccount "ledger.open-account";
        FreezeAccount "ledger.freeze-account";
        UnfreezeAccount "ledger.unfreeze-account";
        CloseAccount "ledger.close-account";
        PostTransfer "ledger.post-transfer";
        PostHold "ledger.post-hold";
        VoidHold "ledger.void-hold";
        ReverseTransfer "ledger.reverse-transfer";
        ClosePeriod "ledger.close-period";
        ReadAccounts "ledger.read-accounts";
        ReadTransfers "ledger.read-transfers";
        ReadJournal "ledger.read-journal";
        ReadEvents "events.read-events" audited;
        ReadProjections "projections.read-projections";
        ReadTrail "audit.read-trail" audited;
        ExportTrail "audit.export-trail" audited;
    }
}

/// Whether a role grants a permission. Members read everything but what was done by whom, from where.
#[must_use]
pub fn grants(role: Role, permission: &str) -> bool {
    match role {
        Role::Owner => true,
        Role::Member => permission
            .split_once('.')
            .is_some_and(|(context, what)| what.starts_with("read-") && context != "audit"),
        Role::Unknown => false,
    }
}

/// An authenticated caller, for whom the work is done and by whom it will have been done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caller {
    /// The organisation acted in.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: ActorId,
    /// The roles held.
    pub roles: Vec<Role>,
    /// The token shown.
    pub token_id: TokenId,
    /// The session, if a person's.
    pub session: Option<Uuid>,
    /// When the token shown stops being believed, in seconds since 1970: what goes on for long ends then.
    pub believed_until: i64,
    /// From where.
    pub ip: IpAddr,
    /// With what, cut and without control characters.
    pub user_agent: Option<String>,
    /// Names the request.
    pub trace_id: TraceId,
}

/// A caller that holds the permission `P`.
#[derive(Debug, Clone)]
pub struct Allowed<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> Allowed<P> {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The caller, owned.
    #[must_use]
    pub fn into_caller(self) -> Caller {
        self.caller
    }

    /// The name of the permission, for API descriptions.
    #[must_use]
    pub const fn permission() -> &'static str {
        P::NAME
    }
}

impl<S: Send + Sync, P: Permission> FromRequestParts<S> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = authenticate(parts)?;
        if let Some(asked) = parts.extensions.get::<Asked>() {
            asked.note(&caller, P::NAME);
        }
        let guarded = sabotage::stands(Guard::Permission) || P::NAME != permissions::ClosePeriod::NAME;
        let granted = !guarded || caller.roles.iter().any(|role| grants(*role, P::NAME));
        if P::SENSITIVE {
            audit::sensitive(parts, &caller, P::NAME, granted).await?;
        }
        if !granted {
            return Err(Problem::new(&code::PERMISSION_MISSING, "").with("permission", P::NAME));
        }
        Ok(Self { caller, permission: PhantomData })
    }
}

/// Who asked for what, as far as that became known. A layer puts an empty one into a request and looks at it again when
/// the answer is there.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<OnceLock<(Caller, &'static str)>>);

impl Asked {
    fn note(&self, caller: &Caller, permission: &'static str) {
        // A handler names one permission; if it named several, the first is the operation's own.
        let _known = self.0.set((caller.clone(), permission));
    }

    /// The verified caller, and the permission that the operation asks for.
    #[must_use]
    pub fn known(&self) -> Option<(&Caller, &'static str)> {
        self.0.get().map(|(caller, permission)| (caller, *permission))
    }
}

/// A caller of any role: for routes that every member may use, such as reading one's own account.
#[derive(Debug, Clone)]
pub struct Authenticated(Caller);

impl Authenticated {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        authenticate(parts).map(Self)
    }
}

/// Lets a router's handlers take [`Allowed`]. Before [`crate::layers::harden`].
pub fn verified_by<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    verifier: Arc<Verifier>,
) -> Router<S> {
    router.layer(Extension(verifier))
}

/// Limits per principal; [`crate::layers::harden`] puts it into every request.
pub(crate) type PrincipalLimiter = Arc<Limiter<(TenantId, ActorId)>>;

fn authenticate(parts: &Parts) -> Result<Caller, Problem> {
    let verifier = parts.extensions.get::<Arc<Verifier>>().ok_or_else(|| Problem::fault(&NoVerifier))?;
    let token = bearer(&parts.headers)?;
    let claims = verifier.verify(token).map_err(|error| {
        let (doc, text) = match error {
            TokenError::Expired => {
                (&code::TOKEN_EXPIRED, "Bearer error=\"invalid_token\", error_description=\"expired\"")
            }
            TokenError::Invalid => (&code::TOKEN_INVALID, "Bearer error=\"invalid_token\""),
        };
        Problem::new(doc, "").header(header::WWW_AUTHENTICATE, HeaderValue::from_static(text))
    })?;
    telemetry::note_tenant(claims.tenant_id);
    if let Some(limiter) = parts.extensions.get::<PrincipalLimiter>() {
        telemetry::note_rate(limiter.check(&(claims.tenant_id, claims.sub))?);
    }
    Ok(Caller {
        tenant: claims.tenant_id,
        actor: claims.sub,
        roles: claims.roles.clone(),
        token_id: claims.jti,
        session: claims.sid,
        believed_until: claims.exp.saturating_add(LEEWAY_SECONDS),
        ip: parts.extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0),
        user_agent: user_agent(&parts.headers),
        trace_id: telemetry::current_trace_id().unwrap_or_else(TraceId::random),
    })
}

#[derive(Debug, thiserror::Error)]
#[error("this router has no verifier: wrap it in access::verified_by")]
struct NoVerifier;

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

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().filter(|it| !it.is_control()).take(USER_AGENT_CHARS_MAX).collect())
}

/// The other end of the connection; the accept loop puts it into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Whom a request is from: the peer, or what trusted proxies say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Walks X-Forwarded-For from its right end, as long as each hop is a trusted proxy; what stands further left was
    /// written by strangers.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |it: &IpAddr| trusted.iter().any(|net| net.contains(it));
        let mut client = peer.to_canonical();
        if trusted.is_empty() || !is_trusted(&client) {
            return Self(client);
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|it| it.to_str().ok());
        let hops: Vec<&str> = lines.flat_map(|it| it.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev().take(FORWARDED_MAX) {
            let Some(address) = forwarded(hop) else { break };
            client = address;
            if !is_trusted(&client) {
                break;
            }
        }
        Self(client)
    }
}

fn forwarded(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse::<IpAddr>().ok();
    bare.or_else(|| hop.parse::<SocketAddr>().ok().map(|it| it.ip())).map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::{claims, keys};
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::{get, post};
    use tower::ServiceExt;

    #[test]
    fn permissions_are_well_formed_and_members_only_read() {
        for name in permissions::ALL {
            let (context, what) = name.split_once('.').unwrap();
            assert!(!context.is_empty() && what.contains('-'));
            assert!(grants(Role::Owner, name));
            assert!(!grants(Role::Unknown, name));
            let for_members = what.starts_with("read-") && context != "audit";
            assert_eq!(grants(Role::Member, name), for_members, "{name}");
        }
        assert_eq!(Allowed::<permissions::PostTransfer>::permission(), "ledger.post-transfer");
    }

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for it in forwarded {
            headers.append("x-forwarded-for", it.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|it| it.parse().unwrap()).collect();
        ClientAddress::of(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("10.0.0.1", &["6.6.6.6"], &[]), "10.0.0.1");
        assert_eq!(client("6.6.6.6", &["1.2.3.4"], &["10.0.0.0/8"]), "6.6.6.6");
        assert_eq!(client("10.0.0.1", &["9.9.9.9, 1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["9.9.9.9", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["1.2.3.4, nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4:80"], &["10.0.0.0/8"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    async fn answer(method: &str, authorization: &[&str]) -> (StatusCode, String) {
        let keys = keys();
        let tokens = [
            ("$member", keys.signer.mint(&claims(Role::Member)).unwrap()),
            ("$owner", keys.signer.mint(&claims(Role::Owner)).unwrap()),
        ];
        let read = |it: Allowed<permissions::ReadAccounts>| async move { it.caller().tenant.to_string() };
        let write = |it: Allowed<permissions::OpenAccount>| async move { it.caller().actor.to_string() };
        let router =
            verified_by(Router::new().route("/", get(read).merge(post(write))), Arc::new(keys.verifier));
        let mut request = Request::builder().uri("/").method(method);
        for it in authorization {
            let text = tokens.iter().fold((*it).to_owned(), |text, (name, token)| text.replace(name, token));
            request = request.header("authorization", text);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        (status, json["code"].as_str().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_permission_is_demanded() {
        assert_eq!(answer("GET", &["Bearer $member"]).await.0, StatusCode::OK);
        assert_eq!(answer("POST", &["bearer $owner"]).await.0, StatusCode::OK);
        for (method, headers, code) in [
            ("POST", &["Bearer $member"] as &[&str], "auth.permission-missing"),
            ("GET", &[], "auth.token-missing"),
            ("GET", &["Basic abc"], "auth.token-missing"),
            ("GET", &["Bearer "], "auth.token-missing"),
            ("GET", &["Bearer abc"], "auth.token-invalid"),
            ("GET", &["Bearer $member", "Bearer $owner"], "auth.token-invalid"),
        ] {
            assert_eq!(answer(method, headers).await.1, code, "{method} {headers:?}");
        }
    }
}
