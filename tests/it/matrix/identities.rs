//! Everybody who may come, and what each is to be told.

use anyhow::Context as _;
use domain::application::RegisterService;
use domain::identity::{DeactivateUser, EndSession};
use domain::ids::{ActorId, ServiceId, SessionId, TenantId, UserId};
use domain::organisation::{Granter, RemoveMember, RoleRef, TenantStatus};
use domain::sign_in::StartSession;
use domain::words::{Scope, Word};
use serde_json::{Value, json};
use service_kit::bearer::ClientId;
use service_kit::permissions::{self, role_table};
use service_kit::token::{Claims, Role};
use tests::books::Books;
use tests::database::tenant;
use tests::members::Members;
use tests::programs::service;
use tests::stack::Stack;
use uuid::Uuid;

use super::{Needs, Row};

/// What somebody is told of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Whatever it is, not that they may not.
    Admitted,
    /// That they may not: status and code.
    Refused(u16, &'static str),
}

/// Somebody who comes.
pub(super) struct Identity {
    pub(super) name: &'static str,
    pub(super) token: String,
    may: May,
}

#[derive(Clone, Copy)]
enum May {
    /// Nothing but what is open to all: told the same everywhere.
    Nothing(u16, &'static str),
    /// What the test says of each permission, and what is about themselves.
    What(fn(&str) -> bool),
    /// The same but in somebody's place: what is for that one in person alone is not for them.
    ForAnother(fn(&str) -> bool),
    /// What works while the organisation waits.
    Wait,
}

/// What somebody may do in an organisation whose approval is waited for, beside what is about themselves.
const WHILE_PENDING: [&str; 4] = [
    "organisation.read-organisation",
    "organisation.update-organisation",
    "organisation.read-policy",
    "organisation.close-organisation",
];

/// What whoever acts for another is told where it must be that one.
const IN_PERSON: Expected = Expected::Refused(403, "auth.acts-for-another");

/// What is of the platform, and nobody's elsewhere.
fn is_of_platform(permission: &str) -> bool {
    permission.starts_with("platform.")
}

impl Identity {
    pub(super) fn expected(&self, row: &Row) -> Expected {
        match (self.may, row.needs) {
            (_, Needs::Open)
            | (May::What(_) | May::Wait, Needs::Own | Needs::About(_) | Needs::InPerson)
            | (May::ForAnother(_), Needs::Own) => Expected::Admitted,
            (May::ForAnother(_), Needs::InPerson) => IN_PERSON,
            (May::ForAnother(holds), Needs::Permission(name) | Needs::About(name)) if holds(name) => {
                let in_person = permissions::find(name).is_some_and(|it| it.only_in_person);
                if in_person { IN_PERSON } else { Expected::Admitted }
            }
            (May::ForAnother(_), Needs::Permission(_) | Needs::About(_)) => {
                Expected::Refused(403, "auth.permission-missing")
            }
            (May::What(holds), Needs::Permission(name)) if holds(name) => Expected::Admitted,
            (May::What(_), Needs::Permission(_)) => Expected::Refused(403, "auth.permission-missing"),
            (May::Wait, Needs::Permission(name)) if WHILE_PENDING.contains(&name) => Expected::Admitted,
            (May::Wait, Needs::Permission(_)) => Expected::Refused(403, "organisation.not-active"),
            (May::Nothing(status, code), _) => Expected::Refused(status, code),
        }
    }
}

/// Everybody, with the tenant of the books.
pub(super) async fn identities(stack: &Stack, books: &Books<'_>) -> anyhow::Result<Vec<Identity>> {
    let mut all = strangers(stack, books).await?;
    all.extend(operators(stack)?);
    all.extend(members(stack).await?);
    all.extend(in_anothers_place(stack).await?);
    all.extend(former(stack).await?);
    all.extend(of_organisations(stack).await?);
    Ok(all)
}

fn changed(stack: &Stack, change: impl FnOnce(&mut Claims)) -> anyhow::Result<String> {
    let mut claims = stack.claims(tenant(1), Role::Owner);
    change(&mut claims);
    Ok(stack.signer.mint(&claims)?)
}

/// Who is nobody to us, whatever they show.
async fn strangers(stack: &Stack, books: &Books<'_>) -> anyhow::Result<Vec<Identity>> {
    let elsewhere = Stack::commands_only().await?;
    let (head, signature) = books.token.rsplit_once('.').expect("a token");
    let stranger = stack.owner(tenant(2))?;
    let (foreign, _) = stranger.rsplit_once('.').expect("a token");
    let expired = changed(stack, |it| {
        it.exp = it.iat - 60;
        it.iat -= 3600;
    })?;
    let invalid = [
        ("one too early", changed(stack, |it| it.nbf = Some(it.iat + 600))?),
        ("a foreign issuer's", changed(stack, |it| it.iss = "somebody-else".to_owned())?),
        ("one for others", changed(stack, |it| it.aud = "somebody-else".to_owned())?),
        ("signed by others", elsewhere.signer.mint(&stack.claims(tenant(1), Role::Owner))?),
        ("with a swapped payload", format!("{foreign}.{signature}")),
        ("unsigned", format!("{head}.")),
        ("with a longer signature", format!("{}x", books.token)),
    ];
    let nobody = |name, token, code| Identity { name, token, may: May::Nothing(401, code) };
    let mut all = vec![
        nobody("nobody", String::new(), "auth.token-missing"),
        nobody("one whose token expired", expired, "auth.token-expired"),
    ];
    all.extend(invalid.map(|(name, token)| nobody(name, token, "auth.token-invalid")));
    Ok(all)
}

/// Bearers of tokens that `quipu token` issues.
fn operators(stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let reads = |it: &str| {
        let read = |(context, what): (&str, &str)| what.starts_with("read-") && context != "audit";
        it.split_once('.').is_some_and(read) && !is_of_platform(it)
    };
    let of = |name, roles: &[&str], may| -> anyhow::Result<Identity> {
        let roles = roles.iter().map(|it| (*it).to_owned()).collect();
        Ok(Identity { name, token: changed(stack, |it| it.roles = roles)?, may: May::What(may) })
    };
    Ok(vec![
        of("an operator's owner", &["owner"], |it| !is_of_platform(it))?,
        of("an operator's member", &["member"], reads)?,
        of("an operator's token of a newer role", &["auditor"], |_| false)?,
        of("an operator's token of no role", &[], |_| false)?,
    ])
}

/// Somebody with a role, and what they hold by it.
type Holder = (&'static str, RoleRef, fn(&str) -> bool);

/// Members by their sessions, with what each role is to allow, said here once more.
async fn members(stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let members = Members::of(stack, tenant(1))?;
    let cashier = members.define("Cashier", &["ledger.post-transfer", "ledger.read-accounts"]).await?;
    let roles: [Holder; 5] = [
        ("an owner", RoleRef::OWNER, |it| !is_of_platform(it)),
        ("an admin", RoleRef::ADMIN, |it| {
            let of_owners = ["close-organisation", "transfer-ownership", "manage-providers"];
            let what = it.split_once('.').map_or("", |(_, what)| what);
            !of_owners.contains(&what) && !is_of_platform(it)
        }),
        ("a manager", RoleRef::MANAGER, |it| match it.split_once('.') {
            _ if is_of_platform(it) => false,
            Some((context, what)) if what.starts_with("read-") => context != "audit",
            Some(("ledger", what)) => what != "close-period",
            _ => it == "organisation.invite-member",
        }),
        ("a user", RoleRef::USER, is_of_users),
        ("one with a role of the organisation's own", cashier, |it| {
            ["ledger.post-transfer", "ledger.read-accounts"].contains(&it)
        }),
    ];
    let staff = Members::of(stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
    let mut all =
        vec![Identity { name: "an owner of the platform", token: staff.token, may: May::What(|_| true) }];
    for (name, role, may) in roles {
        let token = members.join(&[role]).await?.token;
        all.push(Identity { name, token, may: May::What(may) });
    }
    Ok(all)
}

/// What a user holds.
fn is_of_users(permission: &str) -> bool {
    let own = ["organisation.read-organisation", "federation.read-provider-token"];
    own.contains(&permission)
}

/// Services that somebody lets act for them, with a session of their own and what their tokens name.
async fn lent(members: &Members<'_>, stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let everything: Vec<&str> = permissions::ALL.iter().map(|it| it.name).collect();
    let service_id = ServiceId::new(Uuid::now_v7());
    // No registration names so much; here it is not to be what closes a door.
    let scopes = everything.iter().filter(|it| !is_of_platform(it)).map(|it| Scope::parse(it));
    let scopes = scopes.chain([Scope::parse("openid")]).collect::<Result<_, _>>()?;
    members.done(RegisterService { scopes, ..service(service_id)? }).await?;
    let session_id = SessionId::new(Uuid::now_v7());
    let start = StartSession {
        service_id: Some(service_id),
        method: Word::of("authorization-code"),
        ..members.start(owner.user, session_id)
    };
    members.done(start).await?;
    let token = |scopes: &[&str]| {
        changed(stack, |it| {
            it.sub = owner.user.actor();
            it.sid = Some(session_id.uuid());
            it.client_id = Some(ClientId { tenant: tenant(1), service: service_id }.to_string());
            it.scope = Some(scopes.join(" "));
        })
    };
    Ok(vec![
        Identity {
            name: "a service that an owner lets do everything",
            token: token(&everything)?,
            may: May::ForAnother(|it| !is_of_platform(it)),
        },
        Identity {
            name: "a service that an owner lets read accounts",
            token: token(&["openid", "ledger.read-accounts"])?,
            may: May::ForAnother(|it| it == "ledger.read-accounts"),
        },
    ])
}

/// Programs with keys, and staff of the platform in the session of somebody.
async fn in_anothers_place(stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let members = Members::of(stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let of_tenant = permissions::ALL.iter().filter(|it| it.exists_in(tenant(1)));
    let everything: Vec<&str> = of_tenant.map(|it| it.name).collect();
    let (_, all) = members.key(owner.user, &everything).await?;
    let (_, one) = members.key(owner.user, &["ledger.read-accounts"]).await?;
    let (revoked, dead) = members.key(owner.user, &everything).await?;
    stack.post(&owner.token, &format!("/v1/api-keys/{revoked}/revoke"), &Value::Null).await?;
    let staff = Members::of(stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
    let user = members.join(&[RoleRef::USER]).await?;
    let act = async |person: UserId| -> anyhow::Result<String> {
        let path = format!("/v1/platform/users/{}/{person}/impersonate", tenant(1));
        let body = json!({ "reason": "a test", "ticket": "1", "minutes": 60 });
        let acts = stack.post(&staff.token, &path, &body).await?;
        Ok(acts.json["access_token"].as_str().with_context(|| acts.text.clone())?.to_owned())
    };
    let (acting, acting_for_user) = (act(owner.user).await?, act(user.user).await?);
    let may = May::ForAnother(|it| !is_of_platform(it));
    let mut identities = vec![
        Identity { name: "an owner's key for everything", token: all, may },
        Identity {
            name: "an owner's key to read accounts",
            token: one,
            may: May::ForAnother(|it| it == "ledger.read-accounts"),
        },
        Identity {
            name: "a key that was revoked",
            token: dead,
            may: May::Nothing(401, "auth.token-invalid"),
        },
        Identity { name: "staff in an owner's place", token: acting, may },
        Identity {
            name: "staff in a user's place",
            token: acting_for_user,
            may: May::ForAnother(is_of_users),
        },
    ];
    identities.extend(lent(&members, stack).await?);
    Ok(identities)
}

/// Sessions of owners that stand no more, or never did.
async fn former(stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let members = Members::of(stack, tenant(1))?;
    let because = Word::of("a-test");
    let (by, table) = (Granter::Platform, role_table(tenant(1)).clone());
    let owner = [RoleRef::OWNER];
    let ended = members.join(&owner).await?;
    members
        .done(EndSession {
            session_id: ended.session,
            of: None,
            because: because.clone(),
            by: ActorId::SYSTEM,
        })
        .await?;
    let inactive = members.join(&owner).await?;
    members.done(DeactivateUser { user_id: inactive.user, because: because.clone() }).await?;
    let removed = members.join(&owner).await?;
    members.done(RemoveMember { user_id: removed.user, because, by, table }).await?;
    let (one, other) = (members.join(&owner).await?, members.join(&owner).await?);
    let elsewhere = Members::of(stack, tenant(2))?.join(&owner).await?;
    let tokens = [
        ("one whose session ended", ended.token),
        ("one who is not active", inactive.token),
        ("one who is no member any more", removed.token),
        ("one with another's session", members.token(other.user, one.session)?),
        ("one with a session of another tenant", members.token(elsewhere.user, elsewhere.session)?),
    ];
    let may = May::Nothing(401, "auth.session-ended");
    Ok(tokens.into_iter().map(|(name, token)| Identity { name, token, may }).collect())
}

/// Owners of organisations that may not work, by session and by an operator's token.
async fn of_organisations(stack: &Stack) -> anyhow::Result<Vec<Identity>> {
    let inactive = May::Nothing(403, "organisation.not-active");
    let mut all = Vec::new();
    for (n, status, may, names) in [
        (3, TenantStatus::Suspended, inactive, ["of a suspended organisation", "its operator"]),
        (4, TenantStatus::Pending, May::Wait, ["of an organisation that waits", "its operator"]),
        (5, TenantStatus::Closed, inactive, ["of a closed organisation", "its operator"]),
    ] {
        let members = Members::of(stack, tenant(n))?;
        let owner = members.join(&[RoleRef::OWNER]).await?;
        members.stand(status).await?;
        let tokens = [owner.token, stack.owner(tenant(n))?];
        all.extend(names.into_iter().zip(tokens).map(|(name, token)| Identity { name, token, may }));
    }
    Ok(all)
}
