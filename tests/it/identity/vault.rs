//! The vault by itself: what holds while many ask it at once, and who may see what.

use std::time::Duration;

use domain::ids::TenantId;
use event_store::vault::{
    AttemptKind, AttemptLimit, Digest, NewFamily, Rotation, SecretText, ShownToken, TokenSession, Vault,
    VaultChange,
};
use futures_util::future::join_all;
use sqlx::Connection as _;
use tests::database::{Database, tenant};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const LIMIT: AttemptLimit =
    AttemptLimit { most: 5, span: Duration::from_secs(1800), lock: Duration::from_secs(1800) };
const NO_GRACE: Duration = Duration::ZERO;

fn vault(database: &Database, role: &str) -> anyhow::Result<Vault> {
    Ok(Vault::new(database.pool(role)?))
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

/// What a unit does beside its events, without any.
async fn apply(
    database: &Database,
    role: &str,
    served: TenantId,
    changes: &[VaultChange],
) -> anyhow::Result<()> {
    let mut conn = sqlx::ConnectOptions::connect(&database.options(role)?).await?;
    let mut tx = conn.begin().await?;
    sqlx::query("select set_config('app.tenants', array[$1::uuid]::text, true)")
        .bind(served.uuid())
        .execute(&mut *tx)
        .await?;
    sqlx::query("select vault.apply($1)").bind(serde_json::to_value(changes)?).execute(&mut *tx).await?;
    tx.commit().await?;
    conn.close().await?;
    Ok(())
}

/// A family that was just opened.
struct Family {
    session: TokenSession,
    shown: ShownToken,
}

fn family(tenant: TenantId, user: Uuid) -> (Family, NewFamily) {
    let (session, token) = (Uuid::now_v7(), Uuid::now_v7());
    let new = NewFamily {
        tenant,
        family: Uuid::now_v7(),
        session,
        user,
        service: None,
        scope: "openid".to_owned(),
        absolute_until: chrono::Utc::now() + chrono::TimeDelta::days(30),
        idle_seconds: 3600,
        token,
        hash: digest(1),
    };
    let shown = ShownToken { tenant, token, hash: digest(1), service: None };
    (Family { session: TokenSession { tenant, session, user }, shown }, new)
}

async fn opened(database: &Database, tenant: TenantId, user: Uuid) -> anyhow::Result<Family> {
    let (family, new) = family(tenant, user);
    apply(database, "quipu_command", tenant, &[VaultChange::OpenFamily(new)]).await?;
    Ok(family)
}

/// Exchanges a token for a fresh one whose hash is of `byte`.
async fn rotate(vault: &Vault, shown: &ShownToken, byte: u8) -> anyhow::Result<(Rotation, ShownToken)> {
    let next = ShownToken { token: Uuid::now_v7(), hash: digest(byte), ..*shown };
    Ok((vault.rotate_refresh(shown, next.token, next.hash, NO_GRACE).await?, next))
}

fn is_rotated(rotation: &Rotation) -> bool {
    matches!(rotation, Rotation::Rotated { .. })
}

#[tokio::test]
async fn of_a_hundred_guesses_at_once_five_are_allowed() -> Test {
    let database = Database::fresh().await?;
    let processes = [vault(&database, "quipu_command")?, vault(&database, "quipu_command")?];
    let guesses = (0..100).map(|n: usize| {
        let vault = processes[n % 2].clone();
        tokio::spawn(
            async move { vault.reserve_attempt(tenant(1), AttemptKind::SignIn, digest(1), &LIMIT).await },
        )
    });
    let mut allowed = 0;
    for guess in join_all(guesses).await {
        let guess = guess??;
        allowed += i32::from(guess.allowed);
        assert_eq!(guess.locked_until.is_some(), guess.failed == 5, "{guess:?}");
    }
    assert_eq!(allowed, 5);
    // Another identifier, another kind and another tenant count by themselves.
    for (whose, kind, subject) in [
        (tenant(1), AttemptKind::SignIn, digest(2)),
        (tenant(1), AttemptKind::KnownDevice, digest(1)),
        (tenant(2), AttemptKind::SignIn, digest(1)),
    ] {
        let guess = processes[0].reserve_attempt(whose, kind, subject, &LIMIT).await?;
        assert!(guess.allowed && guess.failed == 1);
    }
    Ok(())
}

#[tokio::test]
async fn zitadel_6502_a_lock_ends_by_itself_and_guesses_long_ago_do_not_count() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let guess = || vault.reserve_attempt(tenant(1), AttemptKind::SignIn, digest(1), &LIMIT);
    for n in 1..=5 {
        let it = guess().await?;
        assert!(it.allowed && it.failed == n && it.locked_until.is_some() == (n == 5), "{it:?}");
    }
    assert!(!guess().await?.allowed);
    let mut conn = database.superuser().await?;
    let passes = |of: &'static str| format!("update vault.attempts set {of}");
    tests::database::execute(&mut conn, passes("locked_until = locked_until - interval '31 minutes'"))
        .await?;
    let after = guess().await?;
    assert!(after.allowed && after.failed == 1 && after.locked_until.is_none(), "{after:?}");
    guess().await?;
    tests::database::execute(&mut conn, passes("began_at = began_at - interval '31 minutes'")).await?;
    assert_eq!(guess().await?.failed, 1, "the window has passed");
    Ok(())
}

#[tokio::test]
async fn zitadel_8546_a_cleared_counter_begins_anew() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let guess = || vault.reserve_attempt(tenant(1), AttemptKind::SignIn, digest(1), &LIMIT);
    for _ in 0..6 {
        guess().await?;
    }
    let clear =
        VaultChange::ClearAttempts { tenant: tenant(1), kind: AttemptKind::SignIn, subject: digest(1) };
    apply(&database, "quipu_command", tenant(2), std::slice::from_ref(&clear)).await?;
    assert!(!guess().await?.allowed, "another tenant's transaction clears nothing");
    apply(&database, "quipu_command", tenant(1), &[clear]).await?;
    let after = guess().await?;
    assert!(after.allowed && after.failed == 1, "{after:?}");
    Ok(())
}

#[tokio::test]
async fn cve_2026_1035_of_a_hundred_presenters_of_one_token_one_gets_a_successor() -> Test {
    let database = Database::fresh().await?;
    let user = Uuid::now_v7();
    for _ in 0..3 {
        let family = opened(&database, tenant(1), user).await?;
        let processes = [vault(&database, "quipu_command")?, vault(&database, "quipu_command")?];
        let shown = family.shown;
        let presenters = (0..100).map(|n: usize| {
            let vault = processes[n % 2].clone();
            tokio::spawn(async move { rotate(&vault, &shown, 2).await })
        });
        let mut rotated = Vec::new();
        for answer in join_all(presenters).await {
            match answer?? {
                (Rotation::Rotated { .. }, next) => rotated.push(next),
                (other, _) => assert_eq!(
                    other,
                    Rotation::Reused(family.session),
                    "hydra#3604: one answer for all others"
                ),
            }
        }
        assert_eq!(rotated.len(), 1);
        // Somebody has a copy, and nobody knows who of them: the successor is dead too.
        assert_eq!(rotate(&processes[0], &rotated[0], 3).await?.0, Rotation::Invalid);
        let told = vault(&database, "quipu_reactor")?.untold_sessions(10).await?;
        assert_eq!(told, [family.session], "the log is to be told");
        let revoke = VaultChange::RevokeSession {
            tenant: tenant(1),
            session: family.session.session,
            because: "refresh-reused",
        };
        apply(&database, "quipu_command", tenant(1), &[revoke]).await?;
        assert_eq!(vault(&database, "quipu_reactor")?.untold_sessions(10).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn a_reuse_within_the_same_second_ends_the_family() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let family = opened(&database, tenant(1), Uuid::now_v7()).await?;
    let (first, second) = rotate(&vault, &family.shown, 2).await?;
    let Rotation::Rotated { session, scope, .. } = first else { anyhow::bail!("{first:?}") };
    assert_eq!((session, scope.as_str()), (family.session, "openid"));
    let (_, third) = rotate(&vault, &second, 3).await?;
    assert_eq!(rotate(&vault, &family.shown, 9).await?.0, Rotation::Reused(family.session));
    assert_eq!(rotate(&vault, &third, 9).await?.0, Rotation::Invalid, "though it was never used");
    assert_eq!(rotate(&vault, &second, 9).await?.0, Rotation::Reused(family.session));
    Ok(())
}

#[tokio::test]
async fn what_is_not_the_token_is_invalid_and_harms_nobody() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let family = opened(&database, tenant(1), Uuid::now_v7()).await?;
    for other in [
        ShownToken { hash: digest(7), ..family.shown },
        ShownToken { token: Uuid::now_v7(), ..family.shown },
        ShownToken { tenant: tenant(2), ..family.shown },
        ShownToken { service: Some(Uuid::now_v7()), ..family.shown },
    ] {
        assert_eq!(rotate(&vault, &other, 9).await?.0, Rotation::Invalid, "{other:?}");
        assert_eq!(vault.session_of(&other).await?, None);
    }
    assert_eq!(vault.session_of(&family.shown).await?, Some(family.session));
    assert!(is_rotated(&rotate(&vault, &family.shown, 2).await?.0));
    Ok(())
}

#[tokio::test]
async fn the_grace_saves_a_lost_answer_once_and_no_revoked_token() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let grace = Duration::from_secs(10);
    let again = async |shown: &ShownToken, byte| {
        let next = ShownToken { token: Uuid::now_v7(), hash: digest(byte), ..*shown };
        anyhow::Ok((vault.rotate_refresh(shown, next.token, next.hash, grace).await?, next))
    };
    let user = Uuid::now_v7();
    let family = opened(&database, tenant(1), user).await?;
    let (_, lost) = again(&family.shown, 2).await?;
    let (second, kept) = again(&family.shown, 3).await?;
    assert!(is_rotated(&second), "the answer was lost, so the client asks again");
    assert!(is_rotated(&again(&kept, 4).await?.0));
    assert_eq!(
        again(&lost, 5).await?.0,
        Rotation::Reused(family.session),
        "the successor that was replaced is used up"
    );

    let family = opened(&database, tenant(1), user).await?;
    again(&family.shown, 2).await?;
    again(&family.shown, 3).await?;
    assert_eq!(again(&family.shown, 4).await?.0, Rotation::Reused(family.session), "once is once");

    let family = opened(&database, tenant(1), user).await?;
    let (_, next) = again(&family.shown, 2).await?;
    again(&next, 3).await?;
    assert_eq!(again(&family.shown, 4).await?.0, Rotation::Reused(family.session), "the answer was not lost");

    // engram#341: what was revoked a moment ago is not saved.
    let family = opened(&database, tenant(1), user).await?;
    again(&family.shown, 2).await?;
    let revoke =
        VaultChange::RevokeSession { tenant: tenant(1), session: family.session.session, because: "logout" };
    apply(&database, "quipu_command", tenant(1), &[revoke]).await?;
    assert_eq!(again(&family.shown, 3).await?.0, Rotation::Invalid);
    Ok(())
}

#[tokio::test]
async fn a_family_ends_when_it_is_idle_and_when_it_is_old() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let mut conn = database.superuser().await?;
    for passing in ["last_used_at = last_used_at - interval '61 minutes'", "absolute_until = now()"] {
        let family = opened(&database, tenant(1), Uuid::now_v7()).await?;
        let (_, next) = rotate(&vault, &family.shown, 2).await?;
        let passed =
            format!("update vault.families set {passing} where session_id = '{}'", family.session.session);
        tests::database::execute(&mut conn, passed).await?;
        assert_eq!(rotate(&vault, &next, 3).await?.0, Rotation::Invalid, "{passing}");
        assert_eq!(
            rotate(&vault, &family.shown, 3).await?.0,
            Rotation::Reused(family.session),
            "a copy is still noticed"
        );
    }
    Ok(())
}

#[tokio::test]
async fn revoking_reaches_just_whom_it_names() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let (ann, bob) = (Uuid::now_v7(), Uuid::now_v7());
    let one = opened(&database, tenant(1), ann).await?;
    let two = opened(&database, tenant(1), ann).await?;
    let three = opened(&database, tenant(1), ann).await?;
    let other = opened(&database, tenant(1), bob).await?;
    let same_id = opened(&database, tenant(2), ann).await?;
    let session =
        VaultChange::RevokeSession { tenant: tenant(1), session: one.session.session, because: "logout" };
    let user = VaultChange::RevokeUser {
        tenant: tenant(1),
        user: ann,
        except: Some(three.session.session),
        because: "password-changed",
    };
    apply(&database, "quipu_command", tenant(1), &[session]).await?;
    assert_eq!(rotate(&vault, &one.shown, 2).await?.0, Rotation::Invalid);
    let (_, two_next) = rotate(&vault, &two.shown, 2).await?;
    apply(&database, "quipu_command", tenant(1), &[user]).await?;
    assert_eq!(rotate(&vault, &two_next, 3).await?.0, Rotation::Invalid);
    assert_eq!(
        rotate(&vault, &two.shown, 3).await?.0,
        Rotation::Invalid,
        "revoked for another reason than a copy"
    );
    for alive in [&three, &other, &same_id] {
        assert!(is_rotated(&rotate(&vault, &alive.shown, 2).await?.0));
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_tenant_gives_no_tokens_and_its_old_families_stay_dead() -> Test {
    let database = Database::fresh().await?;
    let vault = vault(&database, "quipu_command")?;
    let user = Uuid::now_v7();
    let before = opened(&database, tenant(1), user).await?;
    let elsewhere = opened(&database, tenant(2), user).await?;
    apply(&database, "quipu_platform", tenant(1), &[VaultChange::CloseTenant { tenant: tenant(1) }]).await?;
    assert_eq!(rotate(&vault, &before.shown, 2).await?.0, Rotation::Invalid);
    let revoke = VaultChange::RevokeTenant { tenant: tenant(1) };
    apply(&database, "quipu_platform", tenant(1), &[revoke]).await?;
    let while_closed = opened(&database, tenant(1), user).await?;
    assert_eq!(
        rotate(&vault, &while_closed.shown, 2).await?.0,
        Rotation::Invalid,
        "revoking does not open it"
    );
    apply(&database, "quipu_platform", tenant(1), &[VaultChange::ReopenTenant { tenant: tenant(1) }]).await?;
    for dead in [&before, &while_closed] {
        assert_eq!(rotate(&vault, &dead.shown, 2).await?.0, Rotation::Invalid);
    }
    let after = opened(&database, tenant(1), user).await?;
    let (rotated, next) = rotate(&vault, &after.shown, 2).await?;
    assert!(is_rotated(&rotated));
    apply(&database, "quipu_platform", tenant(1), &[VaultChange::RevokeTenant { tenant: tenant(1) }]).await?;
    assert_eq!(rotate(&vault, &next, 3).await?.0, Rotation::Invalid);
    assert!(is_rotated(&rotate(&vault, &elsewhere.shown, 2).await?.0), "another tenant's");
    Ok(())
}

#[tokio::test]
async fn a_person_who_is_forgotten_leaves_no_row() -> Test {
    let database = Database::fresh().await?;
    let (ann, bob) = (Uuid::now_v7(), Uuid::now_v7());
    for user in [ann, bob] {
        let phc = SecretText::new("$argon2id$".to_owned());
        let put = VaultChange::PutPassword { tenant: tenant(1), user, version: 1, phc, pepper: 1 };
        let families = [family(tenant(1), user).1, family(tenant(1), user).1].map(VaultChange::OpenFamily);
        apply(&database, "quipu_command", tenant(1), &[&[put][..], &families[..]].concat()).await?;
    }
    apply(&database, "quipu_command", tenant(1), &[VaultChange::ForgetUser { tenant: tenant(1), user: ann }])
        .await?;
    let mut conn = database.superuser().await?;
    for (table, left) in [("passwords", 1), ("families", 2), ("refresh_tokens", 2)] {
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from vault.{table}")))
                .fetch_one(&mut conn)
                .await?;
        assert_eq!(rows, left, "{table}");
    }
    let vault = vault(&database, "quipu_command")?;
    assert!(vault.password_of(tenant(1), ann).await?.is_none());
    assert!(vault.password_of(tenant(1), bob).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn the_vault_is_walled_between_tenants() -> Test {
    let database = Database::fresh().await?;
    let user = Uuid::now_v7();
    let phc = || SecretText::new("$argon2id$".to_owned());
    let put = |tenant| VaultChange::PutPassword { tenant, user, version: 1, phc: phc(), pepper: 1 };
    apply(&database, "quipu_command", tenant(1), &[put(tenant(1))]).await?;
    let crossing = apply(&database, "quipu_command", tenant(2), &[put(tenant(1))]).await;
    assert!(crossing.is_err(), "a unit writes only where it serves");
    let vault = vault(&database, "quipu_command")?;
    assert!(vault.password_of(tenant(2), user).await?.is_none());
    // Who asks for no tenant sees none, and the reactors see of all tenants only what they are to clear up.
    opened(&database, tenant(1), user).await?;
    for role in ["quipu_command", "quipu_reactor", "quipu_platform"] {
        let mut conn = sqlx::ConnectOptions::connect(&database.options(role)?).await?;
        for table in ["passwords", "families", "refresh_tokens", "attempts", "closed_tenants"] {
            let rows: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from vault.{table}")))
                    .fetch_one(&mut conn)
                    .await?;
            assert_eq!(rows, 0, "{role} {table}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_sweep_takes_what_is_over_and_nothing_else() -> Test {
    let database = Database::fresh().await?;
    let command = vault(&database, "quipu_command")?;
    let reactor = vault(&database, "quipu_reactor")?;
    let user = Uuid::now_v7();
    let live = opened(&database, tenant(1), user).await?;
    let over = opened(&database, tenant(2), user).await?;
    for (whose, subject) in [(tenant(1), digest(1)), (tenant(2), digest(2))] {
        command.reserve_attempt(whose, AttemptKind::SignIn, subject, &LIMIT).await?;
    }
    let swept = async || anyhow::Ok(reactor.sweep(100).await?.iter().map(|it| it.gone).sum::<u64>());
    assert_eq!(swept().await?, 0);
    let mut conn = database.superuser().await?;
    let aged = format!(
        "update vault.families set last_used_at = last_used_at - interval '40 days' where tenant_id = '{0}';
         update vault.attempts set began_at = began_at - interval '2 days' where tenant_id = '{0}'",
        tenant(2)
    );
    tests::database::execute(&mut conn, aged).await?;
    assert_eq!(swept().await?, 2);
    assert!(command.session_of(&over.shown).await?.is_none(), "its tokens went with it");
    assert!(command.session_of(&live.shown).await?.is_some());
    assert!(command.sweep(100).await.is_err(), "not for the role of commands");
    Ok(())
}
