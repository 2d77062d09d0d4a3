use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use domain::application::KeyOwner;
use domain::gate::Bearer;
use domain::identity::LiveSession;
use domain::ids::{ImpersonationId, UserId};
use domain::organisation::Granted;
use domain::words::Word;
use futures_util::future::BoxFuture;
use tower::ServiceExt;

use super::*;
use crate::token::tests::{claims, keys};
use crate::token::{Claims, Role};

/// Lets everybody stand, but for what a test says otherwise.
pub(crate) struct Believing(pub(crate) fn(&mut Admission));

impl Access for Believing {
    fn standing<'a>(&'a self, who: &'a Who) -> BoxFuture<'a, Result<Arc<Admission>, Problem>> {
        let mut standing = standing(who);
        (self.0)(&mut standing);
        Box::pin(std::future::ready(Ok(Arc::new(standing))))
    }

    fn owner_of_key<'a>(
        &'a self,
        _shown: &'a crate::bearer::Bearer,
    ) -> BoxFuture<'a, Result<Option<KeyOwner>, Problem>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn moved(&self, _seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(std::future::pending())
    }
}

/// That of somebody of whom the log says nothing.
fn standing(who: &Who) -> Admission {
    let granted = match who.bearer() {
        Bearer::Operator { granted, .. } => granted,
        Bearer::Session { .. }
        | Bearer::Delegated { .. }
        | Bearer::ApiKey { .. }
        | Bearer::Service { .. }
        | Bearer::Staff { .. } => Granted::nothing(),
    };
    Admission {
        granted,
        status: TenantStatus::Active,
        session: None,
        until: None,
        lacks_factor: false,
        paces: vec![],
    }
}

/// A session whose person showed so long ago who they are.
fn session(shown: TimeDelta) -> LiveSession {
    let now = Utc::now();
    LiveSession {
        user_id: UserId::new(Uuid::from_u128(2)),
        service_id: None,
        method: Word::of("password"),
        amr: vec![],
        began_at: now - shown,
        auth_time: now - shown,
        expires_at: now + TimeDelta::hours(1),
        generation: 0,
        consent: 0,
        impersonation_id: None,
        came_by: None,
    }
}

/// The claims of an operator's token.
pub(crate) fn operator(role: Role) -> Claims {
    Claims { sid: None, ..claims(role) }
}

/// A caller with an owner's token.
pub(crate) fn caller(tenant: TenantId, actor: ActorId) -> Caller {
    let claims = Claims { tenant_id: tenant, sub: actor, ..operator(Role::Owner) };
    let who = Who::of(&claims);
    Caller {
        tenant,
        actor,
        token_id: claims.jti,
        session: None,
        believed_until: i64::MAX,
        acts: None,
        standing: Arc::new(standing(&who)),
        who,
        kid: Some("a-key".into()),
        ip: IpAddr::from([192, 0, 2, 7]),
        user_agent: None,
        trace_id: TraceId::random(),
    }
}

async fn answer(method: &str, authorization: &[&str], change: fn(&mut Admission)) -> (StatusCode, String) {
    let keys = keys();
    let tokens = [
        ("$member", keys.signer.mint(&operator(Role::Member)).unwrap()),
        ("$owner", keys.signer.mint(&operator(Role::Owner)).unwrap()),
    ];
    let read = |it: Allowed<permissions::ReadAccounts>| async move { it.caller().tenant.to_string() };
    let write = |it: Allowed<permissions::OpenAccount>| async move { it.caller().actor.to_string() };
    let set = |it: Allowed<permissions::SetPolicy>| async move { it.caller().actor.to_string() };
    let rename = |it: Allowed<permissions::UpdateOrganisation>| async move { it.caller().actor.to_string() };
    let own = |it: Authenticated| async move { it.caller().actor.to_string() };
    let methods = get(read).merge(post(write)).put(set).patch(rename).delete(own);
    let router = Router::new().route("/", methods);
    let router = verified_by(router, Arc::new(keys.verifier), Arc::new(Believing(change)));
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
    let as_it_is = |_: &mut Admission| {};
    assert_eq!(answer("GET", &["Bearer $member"], as_it_is).await.0, StatusCode::OK);
    assert_eq!(answer("POST", &["bearer $owner"], as_it_is).await.0, StatusCode::OK);
    for (method, headers, code) in [
        ("POST", &["Bearer $member"] as &[&str], "auth.permission-missing"),
        ("GET", &[], "auth.token-missing"),
        ("GET", &["Basic abc"], "auth.token-missing"),
        ("GET", &["Bearer "], "auth.token-missing"),
        ("GET", &["Bearer abc"], "auth.token-invalid"),
        ("GET", &["Bearer $member", "Bearer $owner"], "auth.token-invalid"),
    ] {
        assert_eq!(answer(method, headers, as_it_is).await.1, code, "{method} {headers:?}");
    }
    assert_eq!(Allowed::<permissions::PostTransfer>::permission(), "ledger.post-transfer");
}

#[tokio::test]
async fn what_a_token_says_of_roles_is_nothing_to_a_session() {
    let lost = |it: &mut Admission| {
        it.granted = Granted::only(["ledger.read-accounts"]);
    };
    assert_eq!(answer("POST", &["Bearer $owner"], lost).await.1, "auth.permission-missing");
    assert_eq!(answer("GET", &["Bearer $owner"], lost).await.0, StatusCode::OK);
    let gained = |it: &mut Admission| {
        it.granted = Granted::only(["ledger.open-account"]);
    };
    assert_eq!(answer("POST", &["Bearer $member"], gained).await.0, StatusCode::OK);
}

#[tokio::test]
async fn while_an_organisation_waits_little_works_and_that_is_told_first() {
    let waits = |it: &mut Admission| it.status = TenantStatus::Pending;
    for method in ["GET", "POST", "PUT"] {
        let (status, code) = answer(method, &["Bearer $member"], waits).await;
        assert_eq!((status, code.as_str()), (StatusCode::FORBIDDEN, "organisation.not-active"), "{method}");
    }
    assert_eq!(answer("PATCH", &["Bearer $owner"], waits).await.0, StatusCode::OK);
    assert_eq!(answer("PATCH", &["Bearer $member"], waits).await.1, "auth.permission-missing");
    assert_eq!(answer("DELETE", &["Bearer $member"], waits).await.0, StatusCode::OK, "the own account");
}

#[tokio::test]
async fn what_is_suspended_lets_nobody_in() {
    let suspended = |it: &mut Admission| it.status = TenantStatus::Suspended;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(
            answer(method, &["Bearer $owner"], suspended).await.1,
            "organisation.not-active",
            "{method}"
        );
    }
}

#[test]
fn who_must_step_up_has_done_so_lately() {
    let tenant = TenantId::new(Uuid::from_u128(1));
    let refused = |permission: &'static PermissionDoc, session: Option<LiveSession>| {
        let until = session.as_ref().map(|it| it.expires_at);
        let standing = Admission {
            granted: Granted::All,
            status: TenantStatus::Active,
            session,
            until,
            lacks_factor: false,
            paces: vec![],
        };
        let with = if until.is_some() { claims(Role::Owner) } else { operator(Role::Owner) };
        let who = Who::of(&Claims { tenant_id: tenant, ..with });
        admits(&standing, &who, Some(permission), Utc::now()).err().map(|it| it.code)
    };
    let (set, read) = (&permissions::SetPolicy::DOC, &permissions::ReadPolicy::DOC);
    assert_eq!(refused(set, None), None, "an operator's token");
    assert_eq!(refused(set, Some(session(TimeDelta::minutes(9)))), None);
    let long_ago = session(TimeDelta::minutes(11));
    assert_eq!(refused(set, Some(long_ago.clone())).as_deref(), Some("auth.step-up-required"));
    assert_eq!(refused(read, Some(long_ago.clone())), None);
    let over = LiveSession { expires_at: Utc::now(), ..long_ago.clone() };
    assert_eq!(refused(read, Some(over)).as_deref(), Some("auth.session-ended"));
    let staff = LiveSession { impersonation_id: Some(ImpersonationId::new(Uuid::from_u128(5))), ..long_ago };
    assert_eq!(
        refused(set, Some(staff.clone())).as_deref(),
        Some("auth.acts-for-another"),
        "before the time"
    );
    assert_eq!(refused(read, Some(staff)), None);
}

#[test]
fn who_lacks_a_factor_uses_no_permission_and_has_their_own_account() {
    let who = Who::of(&operator(Role::Owner));
    let standing = Admission { lacks_factor: true, ..standing(&who) };
    let refused = |permission| admits(&standing, &who, permission, Utc::now()).err().map(|it| it.code);
    let held = Some(&permissions::ReadPolicy::DOC);
    assert_eq!(refused(held).as_deref(), Some("auth.second-factor-missing"));
    assert_eq!(refused(None), None);
}

#[test]
fn permissions_of_the_platform_are_nobodys_elsewhere() {
    let check = |tenant: TenantId| {
        let caller = caller(tenant, ActorId::new(Uuid::from_u128(2)));
        caller.check(Some(&permissions::SetTier::DOC)).err().map(|it| it.code().to_owned())
    };
    assert_eq!(check(TenantId::new(Uuid::from_u128(1))).as_deref(), Some("auth.permission-missing"));
    assert_eq!(check(TenantId::PLATFORM), None);
}

/// What whoever shows these claims is told of what is about themselves, if the same of everybody asks for `ReadMembers`.
async fn told_of_oneself(claims: &Claims, change: fn(&mut Admission)) -> (u16, String) {
    let keys = keys();
    let token = keys.signer.mint(claims).unwrap();
    let own = |it: Own<permissions::ReadMembers>| async move { it.caller().actor.to_string() };
    let router = Router::new().route("/", get(own));
    let router = verified_by(router, Arc::new(keys.verifier), Arc::new(Believing(change)));
    let request = Request::builder().uri("/").header("authorization", format!("Bearer {token}"));
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (status, json["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_is_about_oneself_is_ones_own_in_person_and_by_permission_else() {
    let (person, nothing) = (claims(Role::Member), |_: &mut Admission| {});
    let lent = Claims { client_id: Some("till".to_owned()), ..claims(Role::Owner) };
    let staff = |it: &mut Admission| {
        let acting = Some(ImpersonationId::new(Uuid::from_u128(5)));
        it.session = Some(LiveSession { impersonation_id: acting, ..session(TimeDelta::minutes(1)) });
    };
    let staff_who_may = |it: &mut Admission| {
        let acting = Some(ImpersonationId::new(Uuid::from_u128(5)));
        it.session = Some(LiveSession { impersonation_id: acting, ..session(TimeDelta::minutes(1)) });
        it.granted = Granted::only(["organisation.read-members"]);
    };
    let may = |it: &mut Admission| it.granted = Granted::only(["organisation.read-members"]);
    let missing = (403, "auth.permission-missing".to_owned());
    let shown = (200, String::new());
    assert_eq!(told_of_oneself(&person, nothing).await, shown, "a person, whatever they hold");
    assert_eq!(told_of_oneself(&operator(Role::Member), nothing).await, shown, "an operator");
    assert_eq!(told_of_oneself(&person, staff).await, missing, "staff in their place");
    assert_eq!(told_of_oneself(&person, staff_who_may).await, shown);
    assert_eq!(told_of_oneself(&lent, nothing).await, missing, "a service for them");
    assert_eq!(told_of_oneself(&lent, may).await, shown);
    let waits = |it: &mut Admission| it.status = TenantStatus::Pending;
    assert_eq!(told_of_oneself(&person, waits).await, shown, "the own account");
}
