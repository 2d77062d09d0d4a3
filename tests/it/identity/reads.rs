//! What is read of members, programs and invitations, and who may do what: now, and at any moment of the past.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::application::{AddSecret, KeyOwner, RevokeApiKey, SuspendService};
use domain::identity::{DeactivateUser, ReactivateUser};
use domain::ids::{ApiKeyId, InvitationId, SecretId, ServiceId, TenantId, UserId};
use domain::organisation::{AddMember, AssignRoles, Granter, RemoveMember, RoleRef, TenantStatus};
use domain::platform::{RecordPermissions, RoleGrants};
use domain::words::{Permission, Word};
use event_store::Unit;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::permissions::{self, role_table};
use tests::database::{cause, tenant};
use tests::ledger::accepted;
use tests::members::{Member, Members};
use tests::programs::{address_of, api_key, failed_sign_ins, invitation, service};
use tests::stack::{Answer, Stack};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads as a member, no earlier than everything that was done.
async fn read(stack: &Stack, members: &Members<'_>, by: &Member, path: &str) -> anyhow::Result<Answer> {
    let answer = stack.get_at(&by.token, path, &members.position().await?).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
    Ok(answer)
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.json["items"].as_array().cloned().unwrap_or_default()
}

fn shown(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An event of the log, as somebody with a pencil reads it.
struct Line {
    tenant: TenantId,
    event_type: String,
    at: DateTime<Utc>,
    payload: Value,
}

async fn lines(stack: &Stack) -> anyhow::Result<Vec<Line>> {
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<(Uuid, String, DateTime<Utc>, String)> = sqlx::query_as(
        "select tenant_id, type, recorded_at, payload::text from store.events order by position",
    )
    .fetch_all(&mut conn)
    .await?;
    let line = |(tenant, event_type, at, payload): (Uuid, String, DateTime<Utc>, String)| {
        Ok(Line { tenant: TenantId::new(tenant), event_type, at, payload: serde_json::from_str(&payload)? })
    };
    rows.into_iter().map(line).collect()
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Who could do what in an organisation at a moment.
#[derive(Debug, Default)]
struct ByHand {
    roles_of: BTreeMap<String, BTreeSet<String>>,
    meaning: BTreeMap<String, BTreeSet<String>>,
    status: BTreeMap<String, &'static str>,
    organisation: String,
}

impl ByHand {
    fn replay(lines: &[Line], of: TenantId, until: DateTime<Utc>) -> Self {
        let mut hand = Self { organisation: "absent".to_owned(), ..Self::default() };
        for (role, held) in role_table(of).rows() {
            hand.meaning.insert(role.to_owned(), held.iter().map(ToString::to_string).collect());
        }
        for line in lines.iter().filter(|it| it.at <= until) {
            let (it, id) =
                (&line.payload, |name: &str| line.payload[name].as_str().unwrap_or_default().to_owned());
            if line.tenant == TenantId::PLATFORM && line.event_type == "platform.permissions-recorded" {
                let exists = |name: &String| permissions::find(name).is_some_and(|it| it.exists_in(of));
                for role in it["roles"].as_array().into_iter().flatten() {
                    let held = names(&role["permissions"]).into_iter().filter(exists).collect();
                    hand.meaning.insert(role["role"].as_str().unwrap_or_default().to_owned(), held);
                }
            }
            if line.tenant != of {
                continue;
            }
            if hand.organisation == "absent" {
                hand.organisation = "active".to_owned();
            }
            match line.event_type.as_str() {
                "organisation.member-added" | "organisation.roles-assigned" => {
                    hand.roles_of.insert(id("user_id"), names(&it["roles"]));
                }
                "organisation.member-removed" => _ = hand.roles_of.remove(&id("user_id")),
                "organisation.role-defined" | "organisation.role-redefined" => {
                    hand.meaning.insert(id("role_id"), names(&it["permissions"]));
                }
                "organisation.standing-changed" => hand.organisation = id("status"),
                "identity.user-registered" | "identity.user-reactivated" => {
                    hand.status.insert(id("user_id"), "active");
                }
                "identity.user-deactivated" => _ = hand.status.insert(id("user_id"), "inactive"),
                _ => {}
            }
        }
        hand
    }

    fn roles(&self, user: UserId) -> BTreeSet<String> {
        self.roles_of.get(&user.to_string()).cloned().unwrap_or_default()
    }

    fn permissions(&self, user: UserId, of: TenantId) -> BTreeSet<String> {
        let roles = self.roles(user);
        if roles.contains("owner") {
            let exist = permissions::ALL.iter().filter(|it| it.exists_in(of));
            return exist.map(|it| it.name.to_owned()).collect();
        }
        roles.iter().filter_map(|it| self.meaning.get(it)).flatten().cloned().collect()
    }
}

/// What an old build might have meant by its roles.
fn once() -> RecordPermissions {
    let roles = [
        ("admin", "ledger.read-journal"),
        ("manager", "ledger.read-accounts"),
        ("user", "ledger.read-accounts"),
    ];
    RecordPermissions {
        roles: roles
            .map(|(role, name)| RoleGrants { role: Word::of(role), permissions: vec![Permission::of(name)] })
            .into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_equals_a_replay_by_hand() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let (of, by, table) = (tenant(1), Granter::Platform, || role_table(tenant(1)).clone());
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let own = members.define("Clerk", &["ledger.read-accounts"]).await?;
    let clerk = members.join(&[RoleRef::USER, own.clone()]).await?;
    let user_id = clerk.user;
    members.redefine(&own, "Clerk", &["ledger.post-transfer", "ledger.read-journal"]).await?;
    let executor = stack.executor()?;
    accepted(&executor.submit(Unit::new(TenantId::PLATFORM, cause(), once())).await?)?;
    members.done(AssignRoles { user_id, roles: vec![RoleRef::ADMIN], by, table: table() }).await?;
    members.done(DeactivateUser { user_id, because: Word::of("asked") }).await?;
    members.stand(TenantStatus::Suspended).await?;
    members.stand(TenantStatus::Active).await?;
    members.done(ReactivateUser { user_id }).await?;
    members.done(RemoveMember { user_id, because: Word::of("removed"), by, table: table() }).await?;
    members.done(AddMember { user_id, roles: vec![own], by, table: table() }).await?;
    // Who was in when the organisation was suspended signs in anew.
    let (owner, clerk) = (members.session(owner.user).await?, members.session(user_id).await?);
    // Something later is recorded, so that no answer can change any more.
    members.join(&[RoleRef::MANAGER]).await?;
    let operator = stack.owner(of)?;

    let lines = lines(&stack).await?;
    let told = ["organisation.", "identity.user-", "platform.permissions-recorded"];
    let is_told = |it: &&Line| told.iter().any(|prefix| it.event_type.starts_with(prefix));
    let moments: BTreeSet<DateTime<Utc>> =
        lines.iter().filter(is_told).flat_map(|it| [it.at - TimeDelta::microseconds(1), it.at]).collect();
    assert!(moments.len() > 20, "{}", moments.len());
    let mut differing = BTreeSet::new();
    for moment in moments {
        let hand = ByHand::replay(&lines, of, moment);
        let as_of = shown(moment);
        for user in [owner.user, user_id] {
            let path = format!("/v1/users/{user}/permissions?as_of={as_of}");
            let answer = read(&stack, &members, &owner, &path).await?.json;
            let expected = hand.permissions(user, of);
            assert_eq!(names(&answer["permissions"]), expected, "{user} at {as_of}");
            assert_eq!(names(&answer["roles"]), hand.roles(user), "{user} at {as_of}");
            let status = hand.status.get(&user.to_string()).copied().unwrap_or("absent");
            let stands = (answer["status"].as_str(), answer["organization_status"].as_str());
            assert_eq!(stands, (Some(status), Some(hand.organisation.as_str())), "{user} at {as_of}");
            differing.insert((user, expected));
        }
        // An operator is no person of the organisation, and is told of it all the same.
        let path = format!("/v1/auth/permissions?as_of={as_of}");
        let answer = stack.get_at(&operator, &path, &members.position().await?).await?;
        assert_eq!(
            answer.json["organization_status"],
            hand.organisation.as_str(),
            "{as_of}: {}",
            answer.text
        );
        let path = format!("/v1/permissions/ledger.post-transfer/holders?as_of={as_of}");
        let holders = items(&read(&stack, &members, &owner, &path).await?);
        let holders: BTreeSet<&str> = holders.iter().filter_map(|it| it["user_id"].as_str()).collect();
        let users = [owner.user, user_id].map(|it| (it.to_string(), hand.permissions(it, of)));
        let may = |(user, held): &(String, BTreeSet<String>)| {
            assert_eq!(
                holders.contains(user.as_str()),
                held.contains("ledger.post-transfer"),
                "{user} at {as_of}"
            );
        };
        users.iter().for_each(may);
    }
    assert!(differing.len() > 6, "it was not the same at every moment: {}", differing.len());

    // Now is what the build's own roles mean; and everybody may ask about themselves.
    let own = read(&stack, &members, &clerk, "/v1/auth/permissions").await?.json;
    assert_eq!(
        names(&own["permissions"]),
        ["ledger.post-transfer", "ledger.read-journal"].map(String::from).into()
    );
    assert_eq!((&own["as_of"], &own["everything"]), (&Value::Null, &json!(false)));
    let future = shown(Utc::now() + TimeDelta::hours(1));
    let refused = stack.get(&clerk.token, &format!("/v1/auth/permissions?as_of={future}")).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "read.time-in-future"));
    Ok(())
}

/// CVE-2026-2366, keycloak#47062: who belongs to another organisation, and how many they are, was told to strangers.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_2366_members_of_others_cannot_be_counted() -> Test {
    let stack = Stack::whole().await?;
    let (one, two) = (Members::of(&stack, tenant(1))?, Members::of(&stack, tenant(2))?);
    let role = one.define("Clerk", &["ledger.post-transfer"]).await?;
    let victim = one.join(std::slice::from_ref(&role)).await?.user;
    let boss = one.join(&[RoleRef::OWNER]).await?;
    one.done(invitation(tenant(1), InvitationId::new(Uuid::now_v7()))).await?;
    let key = ApiKeyId::new(Uuid::now_v7());
    one.done(api_key(key, KeyOwner::User(victim))?).await?;
    one.done(failed_sign_ins(tenant(1), Some(victim), 3, Utc::now())).await?;
    let stranger = two.join(&[RoleRef::OWNER]).await?;

    let (nobody, role) = (Uuid::from_u128(0xdead).to_string(), role.to_string());
    for (template, id) in [
        ("/v1/members?removed=true&role={id}", &role),
        ("/v1/members/{id}", &victim.to_string()),
        ("/v1/users/{id}", &victim.to_string()),
        ("/v1/users/{id}/sessions", &victim.to_string()),
        ("/v1/users/{id}/permissions", &victim.to_string()),
        ("/v1/users/{id}/activity", &victim.to_string()),
        ("/v1/sign-ins?user_id={id}", &victim.to_string()),
        ("/v1/security-feed?user_id={id}", &victim.to_string()),
        ("/v1/api-keys?owner={id}", &victim.to_string()),
        ("/v1/api-keys/{id}", &key.to_string()),
        ("/v1/invitations?inviter={id}", &victim.to_string()),
    ] {
        let mut told = Vec::new();
        for id in [id, &nobody] {
            let position = two.position().await?;
            let answer = stack.get_at(&stranger.token, &template.replace("{id}", id), &position).await?;
            let mut body = answer.json.clone();
            body.as_object_mut().context("an object")?.remove("trace_id");
            told.push((answer.status, body.to_string().replace(id.as_str(), "<id>")));
        }
        assert_eq!(told[0], told[1], "{template}: theirs and nobody's");
        assert!(told[0].1.contains("[]") || told[0].0 == StatusCode::NOT_FOUND, "{template}: {told:?}");
        // It is there for those whose it is.
        let own = one.position().await?;
        let found = stack.get_at(&boss.token, &template.replace("{id}", id), &own).await?;
        // The victim did nothing, invited nobody, and has no second factor.
        let is_list_of_none = template.ends_with("/users/{id}")
            || template.contains("activity")
            || template.contains("inviter");
        assert!(
            found.status == StatusCode::OK && (is_list_of_none || !found.text.contains("[]")),
            "{template}"
        );
    }
    let holders = read(&stack, &two, &stranger, "/v1/permissions/ledger.post-transfer/holders").await?;
    let holders: Vec<Value> = items(&holders).iter().map(|it| it["user_id"].clone()).collect();
    assert_eq!(holders, [json!(stranger.user)], "holders are one's own organisation's");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_come_page_by_page_each_once() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let mut expected = BTreeSet::from([owner.user.to_string()]);
    for n in 0..7 {
        let roles = if n % 2 == 0 { [RoleRef::MANAGER] } else { [RoleRef::USER] };
        let member = members.join(&roles).await?;
        if n % 2 == 0 {
            expected.insert(member.user.to_string());
        }
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/permissions/ledger.post-transfer/holders?limit=2{cursor}");
        let page = read(&stack, &members, &owner, &path).await?;
        let rows = items(&page);
        assert!(rows.len() <= 2);
        found.extend(rows.iter().filter_map(|it| it["user_id"].as_str().map(ToOwned::to_owned)));
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    let unknown = stack.get(&owner.token, "/v1/permissions/ledger.print-money/holders").await?;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "request.not-found"));
    let platforms = stack.get(&owner.token, "/v1/permissions/platform.set-tier/holders").await?;
    assert_eq!(platforms.status, StatusCode::NOT_FOUND, "it does not exist here");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_invitations_show_the_address_and_nothing_of_the_link() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let (open, brief, taken_back) = (
        InvitationId::new(Uuid::now_v7()),
        InvitationId::new(Uuid::now_v7()),
        InvitationId::new(Uuid::now_v7()),
    );
    members.done(invitation(tenant(1), open)).await?;
    let soon = Utc::now() + TimeDelta::milliseconds(400);
    let by = Granter::Member(owner.user);
    members
        .done(domain::organisation::Invite { expires_at: soon, by, ..invitation(tenant(1), brief) })
        .await?;
    members.done(invitation(tenant(1), taken_back)).await?;
    let email_hash = address_of(taken_back);
    members.done(domain::organisation::RevokeInvitation { invitation_id: taken_back, email_hash }).await?;

    // Nothing is recorded when the time is over, and yet it is.
    let expired = "/v1/invitations?status=expired";
    until(PATIENCE, async || Ok(items(&read(&stack, &members, &owner, expired).await?).len() == 1)).await?;
    for (status, id) in [("pending", open), ("expired", brief), ("revoked", taken_back)] {
        let found =
            items(&read(&stack, &members, &owner, &format!("/v1/invitations?status={status}")).await?);
        let told: Vec<_> =
            found.iter().map(|it| (it["invitation_id"].clone(), it["email"].clone())).collect();
        assert_eq!(told, [(json!(id), json!(format!("{id}@example.com")))], "{status}");
        let one = read(&stack, &members, &owner, &format!("/v1/invitations/{id}")).await?;
        assert_eq!(one.json, found[0]);
        let keys: Vec<&String> = one.json.as_object().context("an object")?.keys().collect();
        let tells = |word: &str| keys.iter().any(|it| it.contains(word));
        assert!(!tells("hash") && !tells("token") && !tells("link"), "{keys:?}");
    }
    let sent =
        items(&read(&stack, &members, &owner, &format!("/v1/invitations?inviter={}", owner.user)).await?);
    assert_eq!(sent.len(), 1);
    assert_eq!(items(&read(&stack, &members, &owner, "/v1/invitations").await?).len(), 3);
    // The address is sealed in the table, as it is in the log.
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<String> = sqlx::query_scalar("select row_to_json(i)::text from read.invitations i")
        .fetch_all(&mut conn)
        .await?;
    assert!(rows.len() == 3 && rows.iter().all(|it| !it.contains("example.com")), "{rows:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_keys_are_listed_without_what_they_are_made_of() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let manager = members.join(&[RoleRef::MANAGER]).await?;
    let (till, shop) = (ServiceId::new(Uuid::now_v7()), ServiceId::new(Uuid::now_v7()));
    for id in [till, shop] {
        members.done(service(id)?).await?;
    }
    let secret_id = SecretId::new(Uuid::now_v7());
    members.done(AddSecret { service_id: till, secret_id, expires_at: None }).await?;
    members.done(SuspendService { service_id: shop, because: Word::of("leaked") }).await?;
    let all = items(&read(&stack, &members, &manager, "/v1/services").await?);
    let told: Vec<_> = all.iter().map(|it| (it["service_id"].clone(), it["status"].clone())).collect();
    assert_eq!(told, [(json!(shop), json!("suspended")), (json!(till), json!("active"))]);
    let secrets = all[1]["secrets"].as_array().context("secrets")?;
    let keys: Vec<&String> = secrets[0].as_object().context("a secret")?.keys().collect();
    assert_eq!(
        (secrets.len(), keys),
        (
            1,
            ["added_at", "expires_at", "secret_id"]
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<_>>()
                .iter()
                .collect()
        )
    );
    let suspended = items(&read(&stack, &members, &manager, "/v1/services?status=suspended").await?);
    assert_eq!(suspended, [all[0].clone()]);
    let one = read(&stack, &members, &manager, &format!("/v1/services/{till}")).await?;
    assert_eq!(one.json, all[1]);

    let (mine, its) = (ApiKeyId::new(Uuid::now_v7()), ApiKeyId::new(Uuid::now_v7()));
    members.done(api_key(mine, KeyOwner::User(manager.user))?).await?;
    members.done(api_key(its, KeyOwner::Service(till))?).await?;
    members.done(RevokeApiKey { key_id: its, of: None, by: manager.user.actor() }).await?;
    let ids = |answer: &Answer| items(answer).iter().map(|it| it["key_id"].clone()).collect::<Vec<_>>();
    for (query, expected) in [
        (String::new(), vec![json!(its), json!(mine)]),
        ("?live=true".to_owned(), vec![json!(mine)]),
        (format!("?owner={till}"), vec![json!(its)]),
        (format!("?owner={}", manager.user), vec![json!(mine)]),
        ("?limit=1".to_owned(), vec![json!(its)]),
    ] {
        let found = read(&stack, &members, &manager, &format!("/v1/api-keys{query}")).await?;
        assert_eq!(ids(&found), expected, "{query}");
        assert!(!found.text.contains("hash"), "{}", found.text);
    }
    let revoked = read(&stack, &members, &manager, &format!("/v1/api-keys/{its}")).await?.json;
    assert_eq!((&revoked["status"], &revoked["revoked_by"]), (&json!("revoked"), &json!(manager.user)));
    Ok(())
}
