//! What is asked for by people whom nobody knows yet: who gets a letter, where it goes, and that its link is good.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::Decision;
use domain::identity::{
    ConfirmEmailChange, DeactivateUser, EmailHash, PersonNames, RegisterUser, RequestEmailChange, VerifyEmail,
};
use domain::ids::{TenantId, UserId};
use domain::private::Private;
use domain::words::{Language as Tongue, Word};
use event_store::keyring::IndexOf;
use event_store::vault::{
    Asker, Digest, Language, Letter, Mail, MailToken, MailTokenKind, NotAsked, Purpose, Registration,
    Request, Vault,
};
use event_store::{Executor, Unit};
use projector::{Projector, ProjectorOptions, ReactorOptions};
use service_kit::bearer::{Bearer, Kind};
use tests::database::{Database, cause, master_key, tenant};
use tests::stack::quick;
use tests::until;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

/// An organisation with people, and what looks at their requests.
struct Desk {
    database: Database,
    vault: Vault,
    executor: Executor,
}

impl Desk {
    async fn closed() -> anyhow::Result<Self> {
        let database = Database::fresh().await?;
        let vault = Vault::new(database.pool("quipu_command")?);
        let executor = database.executor()?;
        Ok(Self { database, vault, executor })
    }

    /// Somebody begins to work at it. They end with their guard.
    fn staffed(&self) -> anyhow::Result<(Projector, DropGuard)> {
        let shutdown = CancellationToken::new();
        let reactor = ReactorOptions::new(self.database.options("quipu_reactor")?, master_key()?);
        let options = ProjectorOptions::new(self.database.options("quipu_projector")?, shutdown.clone());
        let projector = Projector::start(ProjectorOptions {
            followers: Vec::new(),
            reactor: Some(reactor),
            timing: quick(),
            connections_max: 4,
            ..options
        });
        Ok((projector, shutdown.drop_guard()))
    }

    async fn does(&self, decision: impl Decision + 'static) -> Test {
        let receipt = self.executor.submit(Unit::new(tenant(1), cause(), decision)).await?;
        let refused = receipt.results.into_iter().find_map(Result::err);
        anyhow::ensure!(refused.is_none(), "{refused:?}");
        Ok(())
    }

    async fn registers(&self, mailbox: &str, verified: bool) -> anyhow::Result<UserId> {
        let user_id = UserId::new(Uuid::now_v7());
        self.does(RegisterUser {
            user_id,
            email: Private::new(user_id.uuid(), mailbox),
            email_hash: hash(mailbox)?,
            names: PersonNames { given: None, family: None },
            language: Tongue::parse("de-AT")?,
            via: Word::of("form"),
            verified,
        })
        .await?;
        Ok(user_id)
    }

    async fn ask(&self, request: &Request) -> anyhow::Result<Uuid> {
        let id = Uuid::now_v7();
        self.vault.ask(tenant(1), id, request, DAY, &*master_key()?).await?;
        Ok(id)
    }

    /// Waits until every request was looked at.
    async fn all_answered(&self) -> Test {
        until(PATIENCE, || async {
            let mut conn = self.database.superuser().await?;
            let waiting: i64 =
                sqlx::query_scalar("select count(*) from vault.requests where taken_at is null")
                    .fetch_one(&mut conn)
                    .await?;
            Ok(waiting == 0)
        })
        .await
    }

    /// Every letter that was queued, by its address.
    async fn letters(&self) -> anyhow::Result<Vec<Letter>> {
        let mut conn = self.database.superuser().await?;
        let rows: Vec<(Uuid, Uuid, Vec<u8>)> =
            sqlx::query_as("select tenant_id, mail_id, sealed from vault.outbox")
                .fetch_all(&mut conn)
                .await?;
        let master = master_key()?;
        let mut letters = rows
            .into_iter()
            .map(|(tenant, mail, sealed)| Letter::open(TenantId::new(tenant), mail, &sealed, &master))
            .collect::<Result<Vec<_>, _>>()?;
        letters.sort_by(|a, b| a.to.cmp(&b.to));
        Ok(letters)
    }

    async fn requests_kept(&self) -> anyhow::Result<Vec<(Uuid, Vec<u8>)>> {
        let mut conn = self.database.superuser().await?;
        Ok(sqlx::query_as("select request_id, sealed from vault.requests").fetch_all(&mut conn).await?)
    }

    /// What the link in a letter is for, as the endpoint that it leads to will ask.
    async fn link(&self, token: &str, kind: MailTokenKind) -> anyhow::Result<Option<MailToken>> {
        let bearer = Bearer::parse(Kind::Mail, token)?;
        Ok(self.vault.mail_token(bearer.tenant, bearer.id, kind, Digest(bearer.hash())).await?)
    }
}

fn hash(mailbox: &str) -> anyhow::Result<EmailHash> {
    let digest = master_key()?.index(tenant(1), IndexOf::Email, mailbox.to_lowercase().as_bytes());
    Ok(EmailHash::new(digest.0))
}

fn asker(mailbox: &str) -> Asker {
    Asker { mailbox: mailbox.to_owned(), normal: mailbox.to_lowercase(), language: Language::En }
}

fn registration(mailbox: &str) -> Request {
    Request::Register(Registration {
        asker: asker(mailbox),
        given_name: Some("Ada".to_owned()),
        family_name: None,
        phc: "$argon2id$".to_owned(),
        pepper: 1,
    })
}

fn reset_token(letter: &Letter) -> anyhow::Result<&str> {
    match &letter.mail {
        Mail::Reset { token, .. } => Ok(token),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_is_offered_at_the_address_of_the_account_and_to_nobody_else() -> Test {
    let desk = Desk::closed().await?;
    let ada = desk.registers("Ada@example.org", false).await?;
    let gone = desk.registers("gone@example.org", true).await?;
    desk.does(DeactivateUser { user_id: gone, because: Word::of("left") }).await?;
    let moved = desk.registers("old@example.org", true).await?;
    for (mailbox, confirmed) in [("new@example.org", true), ("newer@example.org", false)] {
        desk.does(RequestEmailChange {
            user_id: moved,
            email: Private::new(moved.uuid(), mailbox),
            email_hash: hash(mailbox)?,
            expires_at: Utc::now() + TimeDelta::hours(1),
            replaces: None,
        })
        .await?;
        if confirmed {
            let gives_up = (1, hash("old@example.org")?);
            let email_hash = hash(mailbox)?;
            desk.does(ConfirmEmailChange { user_id: moved, email_version: 2, email_hash, gives_up }).await?;
        }
    }
    for mailbox in [
        "ADA@example.org",
        "gone@example.org",
        "nobody@example.org",
        "old@example.org",
        "new@example.org",
        "newer@example.org",
    ] {
        desk.ask(&Request::Reset(asker(mailbox))).await?;
    }
    let _staff = desk.staffed()?;
    desk.all_answered().await?;
    let letters = desk.letters().await?;
    let to: Vec<&str> = letters.iter().map(|it| it.to.as_str()).collect();
    assert_eq!(
        to,
        ["Ada@example.org", "new@example.org"],
        "as the accounts have them, not as they were typed"
    );
    assert!(letters.iter().all(|it| it.language == Language::De), "their language, not the asker's");
    assert_eq!(desk.requests_kept().await?, [], "nothing is kept of who asked");

    let found = desk.link(reset_token(&letters[0])?, MailTokenKind::Reset).await?.context("a good link")?;
    assert_eq!((found.about, found.user, found.version), (ada.uuid(), Some(ada.uuid()), 0));
    let other = desk.link(reset_token(&letters[1])?, MailTokenKind::Reset).await?.context("a good link")?;
    assert_eq!(other.about, moved.uuid());
    assert_eq!(desk.link(reset_token(&letters[0])?, MailTokenKind::VerifyAddress).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verification_comes_again_until_it_is_done() -> Test {
    let desk = Desk::closed().await?;
    let ada = desk.registers("ada@example.org", false).await?;
    let _staff = desk.staffed()?;
    desk.ask(&Request::Resend(asker("ada@example.org"))).await?;
    desk.ask(&Request::Resend(asker("nobody@example.org"))).await?;
    desk.all_answered().await?;
    let letters = desk.letters().await?;
    let [Letter { mail: Mail::VerifyAddress { purpose: Purpose::Account, token, .. }, .. }] =
        letters.as_slice()
    else {
        anyhow::bail!("{letters:?}")
    };
    let found = desk.link(token, MailTokenKind::VerifyAddress).await?.context("a good link")?;
    assert_eq!((found.about, found.version), (ada.uuid(), 1));
    desk.does(VerifyEmail { user_id: ada, email_version: 1, via: Word::of("link") }).await?;
    desk.ask(&Request::Resend(asker("ada@example.org"))).await?;
    desk.all_answered().await?;
    assert_eq!(desk.letters().await?.len(), 1, "there is nothing left to verify");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_in_private_gets_a_letter_either_way() -> Test {
    let desk = Desk::closed().await?;
    desk.registers("Ada@example.org", true).await?;
    desk.ask(&registration("ada@example.org")).await?;
    let wanted = registration("Eve@example.org");
    let kept = desk.ask(&wanted).await?;
    let _staff = desk.staffed()?;
    desk.all_answered().await?;
    let letters = desk.letters().await?;
    let kinds: Vec<(&str, &str)> = letters.iter().map(|it| (it.to.as_str(), it.mail.kind())).collect();
    assert_eq!(kinds, [("Ada@example.org", "registered-already"), ("Eve@example.org", "verify-address")]);
    let Mail::VerifyAddress { token, .. } = &letters[1].mail else { anyhow::bail!("{letters:?}") };
    let found = desk.link(token, MailTokenKind::Register).await?.context("a good link")?;
    assert_eq!((found.about, found.user), (kept, None));
    let requests = desk.requests_kept().await?;
    let [(id, sealed)] = requests.as_slice() else { anyhow::bail!("{} are kept", requests.len()) };
    assert_eq!(*id, kept, "what the link refers to stays, and nothing else");
    assert_eq!(Request::open(tenant(1), kept, sealed, &*master_key()?)?, wanted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_once_however_many_work_at_it() -> Test {
    let desk = Desk::closed().await?;
    let mut people = BTreeMap::new();
    for n in 0..30 {
        let mailbox = format!("person-{n:02}@example.org");
        let user = desk.registers(&mailbox, true).await?;
        desk.ask(&Request::Reset(asker(&mailbox))).await?;
        people.insert(mailbox, user);
    }
    let _staff = [desk.staffed()?, desk.staffed()?, desk.staffed()?];
    desk.all_answered().await?;
    let letters = desk.letters().await?;
    assert_eq!(letters.len(), people.len());
    for letter in &letters {
        // A second answer would have made another link the good one, and its letter would be the first's twin.
        let found =
            desk.link(reset_token(letter)?, MailTokenKind::Reset).await?.context("a dead link was sent")?;
        assert_eq!(Some(found.about), people.get(&letter.to).map(|it| it.uuid()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_asks_for_too_much_is_told_to_wait_and_the_others_are_not() -> Test {
    let desk = Desk::closed().await?;
    let mut conn = desk.database.superuser().await?;
    let sql = "insert into vault.requests (tenant_id, request_id, kind, sealed, asked_at, due_at, expires_at)
               select $1, gen_random_uuid(), 'reset', 'x', now(), now(), now() + interval '1 day'
               from generate_series(1, 9999)";
    sqlx::query(sql).bind(tenant(1).uuid()).execute(&mut conn).await?;
    let (request, master) = (Request::Reset(asker("ada@example.org")), master_key()?);
    desk.ask(&request).await.context("the last one that fits")?;
    let refused = desk.vault.ask(tenant(1), Uuid::now_v7(), &request, DAY, &master).await;
    assert!(matches!(refused, Err(NotAsked::Full)), "{refused:?}");
    desk.vault.ask(tenant(2), Uuid::now_v7(), &request, DAY, &master).await?;
    Ok(())
}
