//! The erasure itself: one unit, so that all of it happens or nothing. Events say what became of the person, claims are
//! given up, rows of the vault and keys go, and whoever looks a moment later finds a stranger.

use anyhow::bail;
use chrono::Utc;
use domain::application::RevokeApiKey;
use domain::federation::{IdentityHash, UnlinkIdentity};
use domain::identity::{EmailHash, EndSessions, ErasePerson, Half, RemoveAllFactors, UnlinkIdentities};
use domain::ids::{ActorId, UserId};
use domain::leaving::Leaving;
use domain::organisation::{Granter, RemoveMember, RevokeInvitation};
use domain::words::Word;
use domain::{Decision, Refusal};
use event_store::erasure_journal::{Erasure, Journal};
use event_store::unit::NOT_APPLIED;
use event_store::vault::{Language, Letter, Mail, MailTokenKind, Request, Slip, VaultChange};
use event_store::{Cause, Unit};
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use sqlx::PgConnection;
use uuid::Uuid;

use super::desk::Desk;
use super::found::{Elsewhere, Found, Registered, Standing};
use crate::console;

/// Why it is done, as events say it.
const ERASED: Word = Word::of("erased");

/// The refusals that say that somebody else has done it, or half of it, a moment ago.
const DONE_MEANWHILE: &[&str] = &["identity.person-erased"];

/// What the last owner's erasure is refused with.
const LAST_OWNER: &str = "organisation.last-owner";

/// Rows of the outbox and of requests that are opened at once.
const ROWS_AT_ONCE: i64 = 500;

/// Whether rules may stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// They may: it is done for the first time.
    No,
    /// They may not: it was done, and a backup has brought the person back. Somebody who has been erased stays erased,
    /// even if they were, at the moment of the backup, the last owner.
    Yes,
}

/// Does what is left to do of an erasure that the journal has.
///
/// # Errors
/// If a rule forbids it, which is then noted; or the log cannot be reached.
pub async fn carry_out(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    force: Force,
    letter: bool,
) -> anyhow::Result<()> {
    // Whoever sends letters and answers requests must not find the address once it is erased, and afterwards nobody could
    // tell whose they were.
    forget_papers(desk, found).await?;
    if let Some(refusal) = submit(desk, erasure, found, force, letter).await? {
        if force == Force::No {
            Journal::withdraw(&desk.journal, &desk.master, erasure, &refusal.code)?;
        }
        bail!("{} ({})", refusal.message, refusal.code);
    }
    // Of whom the log has nothing to tell, the keys go by themselves; and of the others nothing is left to go.
    let mut tx = desk.platform.begin().await?;
    erase_keys(&mut tx, erasure, true).await?;
    tx.commit().await?;
    Ok(())
}

async fn submit(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    force: Force,
    letter: bool,
) -> anyhow::Result<Option<Refusal>> {
    let refusal = judged(desk, unit(desk, erasure, found, force, true, letter)?).await?;
    match refusal {
        // After a restore the person may be the only owner that the backup knows: the membership stays, of nobody.
        Some(refusal) if force == Force::Yes && refusal.code == LAST_OWNER => {
            console::note(format_args!(
                "Organisation {} has no owner any more: somebody has to become one.",
                found.tenant
            ));
            judged(desk, unit(desk, erasure, found, force, false, letter)?).await
        }
        other => Ok(other),
    }
}

async fn judged(desk: &Desk, unit: Unit) -> anyhow::Result<Option<Refusal>> {
    if unit.decisions.is_empty() {
        return Ok(None);
    }
    let results = desk.executor.submit(unit).await?.results;
    let refusal = results.into_iter().filter_map(Result::err).find(|it| it.code != NOT_APPLIED);
    Ok(refusal.filter(|it| !DONE_MEANWHILE.contains(&it.code.as_ref())))
}

/// All of it, in one transaction.
fn unit(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    force: Force,
    leaves: bool,
    letter: bool,
) -> anyhow::Result<Unit> {
    let tenant = found.tenant;
    let mut commands: Vec<Box<dyn Decision>> = Vec::new();
    let mut vault = Vec::new();
    if let (Some(user_id), Standing::Registered(registered)) = (found.user, &found.standing) {
        commands.extend(of_person(desk, erasure, found, user_id, registered, force));
        if registered.member && leaves {
            let (by, table) = (Granter::Platform, role_table(tenant).clone());
            commands.push(Box::new(RemoveMember { user_id, because: ERASED, by, table }));
        }
        vault.push(VaultChange::ForgetUser { tenant, user: user_id.uuid() });
    }
    for it in &found.invitations {
        let (invitation_id, about) = (it.id, it.id.uuid());
        vault.push(VaultChange::DropMailTokens { tenant, kind: MailTokenKind::Invitation, about });
        if let Some(email_hash) = it.open {
            commands.push(Box::new(RevokeInvitation { invitation_id, email_hash }));
        }
    }
    for subject in &erasure.subjects {
        let everywhere = erasure.is_person(*subject);
        vault.push(VaultChange::EraseSubject {
            tenant,
            subject: *subject,
            receipt: erasure.receipt,
            everywhere,
        });
    }
    if letter {
        vault.push(last_letter(desk, erasure, found)?);
    }
    let unit = Unit::of(tenant, Cause::system(erasure.receipt), commands).with_vault(vault);
    let is_here = matches!(found.standing, Standing::Registered(_));
    Ok(if is_here { left_elsewhere(desk, found, unit) } else { unit })
}

/// The same person's users in other organisations lose their halves of the links, and stay. Of each organisation it is told in
/// its own log, under a name that no other log has.
fn left_elsewhere(desk: &Desk, found: &Found, unit: Unit) -> Unit {
    found.elsewhere.iter().filter(|it| it.other_stands).fold(unit, |unit, it| {
        let link = &it.link;
        let elsewhere = desk.master.elsewhere(link.other_tenant, link.other_user, found.tenant);
        let halves = vec![Half { link: link.other_link, elsewhere }];
        unit.and(link.other_tenant, UnlinkIdentities { user_id: link.other_user, halves })
            .told_in(link.other_tenant, Cause::system(Uuid::now_v7()))
            .with_vault([VaultChange::DropPersonLink { tenant: link.other_tenant, link: link.other_link }])
    })
}

/// What becomes of somebody with an account.
fn of_person(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    user_id: UserId,
    registered: &Registered,
    force: Force,
) -> Vec<Box<dyn Decision>> {
    let by = ActorId::SYSTEM;
    let mut commands: Vec<Box<dyn Decision>> =
        vec![Box::new(EndSessions { user_id, except: None, because: ERASED, by })];
    if registered.active {
        commands.push(Box::new(RemoveAllFactors { user_id, because: ERASED, must_have: false }));
    }
    let half = |it: &Elsewhere| {
        let elsewhere = desk.master.elsewhere(found.tenant, user_id, it.link.other_tenant);
        Half { link: it.link.link, elsewhere }
    };
    commands.push(Box::new(UnlinkIdentities { user_id, halves: found.elsewhere.iter().map(half).collect() }));
    for link in &found.links {
        let identity = IdentityHash::new(link.identity.0);
        commands.push(Box::new(UnlinkIdentity { link_id: link.link, of: user_id, identity }));
    }
    for key_id in &found.api_keys {
        commands.push(Box::new(RevokeApiKey { key_id: *key_id, of: None, by }));
    }
    // Who was displaced has no address, and nothing is given up then.
    let given_up = |it: Option<EmailHash>| it.unwrap_or(EmailHash::new([0; 32]));
    let erase = Box::new(ErasePerson {
        user_id,
        receipt: erasure.receipt,
        email: (registered.email_version, given_up(found.email)),
        email_pending: registered.pending_version.map(|version| (version, given_up(found.email_wanted))),
    });
    commands.push(match force {
        Force::No => Box::new(Leaving::new(user_id, erase)),
        Force::Yes => erase,
    });
    commands
}

/// It names no user, so that nothing takes it away before it is sent.
fn last_letter(desk: &Desk, erasure: &Erasure, found: &Found) -> anyhow::Result<VaultChange> {
    let (Some(to), Standing::Registered(registered)) = (&found.address, &found.standing) else {
        bail!("--letter: their address is not known any more");
    };
    let letter = Letter {
        to: EmailAddress::parse(to)?.mailbox().to_owned(),
        language: Language::nearest(&registered.language),
        mail: Mail::Erased { at: Utc::now(), receipt: erasure.receipt },
    };
    let dedupe = format!("erased/{}", erasure.receipt);
    let slip = Slip { tenant: found.tenant, mail: Uuid::now_v7(), user: None, dedupe };
    Ok(letter.queued(slip, &desk.master)?)
}

/// Deletes letters to their addresses that wait, and what was asked for with them or by them. They are sealed, and name an
/// address only inside. What was sent to an address that they never showed to be theirs may be its owner's, and stays;
/// letters of theirs that went there name them, and go with their rows of the vault.
async fn forget_papers(desk: &Desk, found: &Found) -> anyhow::Result<()> {
    let normal = |text: &str| EmailAddress::parse(text).ok().map(|it| it.normal().to_owned());
    let theirs: Vec<String> = found.proven.iter().filter_map(|text| normal(text)).collect();
    let is_theirs = |text: &str| normal(text).is_some_and(|it| theirs.contains(&it));
    let tenant = found.tenant;
    let mut after = Uuid::nil();
    loop {
        let mut tx = desk.serving(&[tenant]).await?;
        let rows = sqlx::query!(
            r#"select mail_id, sealed as "sealed!" from vault.outbox
               where tenant_id = $1 and sealed is not null and mail_id > $2 order by mail_id limit $3"#,
            tenant.uuid(),
            after,
            ROWS_AT_ONCE
        )
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.mail_id;
        let open = |mail, sealed: &[u8]| Letter::open(tenant, mail, sealed, &desk.master);
        let gone = rows.iter().filter(|it| open(it.mail_id, &it.sealed).is_ok_and(|it| is_theirs(&it.to)));
        let gone: Vec<Uuid> = gone.map(|it| it.mail_id).collect();
        sqlx::query!(
            "delete from vault.outbox where tenant_id = $1 and mail_id = any($2)",
            tenant.uuid(),
            &gone
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
    }
    let mut after = Uuid::nil();
    loop {
        let mut tx = desk.serving(&[tenant]).await?;
        let rows = sqlx::query!(
            "select request_id, sealed from vault.requests
             where tenant_id = $1 and request_id > $2 order by request_id limit $3",
            tenant.uuid(),
            after,
            ROWS_AT_ONCE
        )
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.request_id;
        let open = |id, sealed: &[u8]| Request::open(tenant, id, sealed, &desk.master);
        let is_own = |it: &Request| match it {
            Request::ChangeAddress(it) => found.user.is_some_and(|user| it.user == user.uuid()),
            _ => false,
        };
        let asked_by = |it: &Request| is_own(it) || is_theirs(&it.asker().mailbox);
        let gone = rows.iter().filter(|it| open(it.request_id, &it.sealed).is_ok_and(|it| asked_by(&it)));
        let gone: Vec<Uuid> = gone.map(|it| it.request_id).collect();
        let delete = "delete from vault.requests where tenant_id = $1 and request_id = any($2)";
        sqlx::query(delete).bind(tenant.uuid()).bind(&gone).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Deletes the keys of all subjects, if there are any, and leaves tombstones. Not `done`: log and vault are told later.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn erase_keys(conn: &mut PgConnection, erasure: &Erasure, done: bool) -> sqlx::Result<()> {
    for subject in &erasure.subjects {
        sqlx::query!(
            "select keys.erase_subject($1, $2, $3, $4, $5) as gone",
            erasure.tenant.uuid(),
            subject,
            erasure.receipt,
            erasure.is_person(*subject),
            done
        )
        .fetch_one(&mut *conn)
        .await?;
    }
    Ok(())
}
