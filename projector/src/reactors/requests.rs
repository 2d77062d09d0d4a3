//! What was asked for by people whom nobody knew when they asked: now it is looked up, and answered by a letter or by
//! nothing. Whoever asked was answered long before, so nothing here can be seen by its time.
//!
//! | asked for | the address has an account | it has none |
//! |---|---|---|
//! | a new password | the link, to the address of the account | nothing |
//! | the verification once more | the link, if it is not verified yet | nothing |
//! | an account | "you have one already", to the address of the account | the link that completes it |
//! | another address | see [`address`] | see [`address`] |
//! | an organisation | the link that completes it | the same: it has people of its own |
//!
//! A letter goes to the address as the account has it and never as it was typed: two that count as one address need not
//! be one mailbox.
//!
//! Any number of processes do this side by side. Letter, link and note land in one transaction, under the lock of the
//! request's row, so each is answered once.

mod address;
mod person;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::user::{EMAIL_SCOPE, Registered, User};
use domain::ids::{TenantId, UserId};
use event_store::keyring::IndexOf;
use event_store::vault::{
    Asker, Digest, Language, Letter, Mail, MailTokenKind, NewMailToken, Purpose, Request, Slip, Vault,
    VaultChange,
};
use event_store::{Executor, MasterKey};
use secrecy::ExposeSecret as _;
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use sqlx::PgPool;
use uuid::Uuid;

use person::Person;

use crate::run::Fault;
use crate::run::lease::milliseconds;
use crate::shared::Shared;

pub(super) const NAME: &str = "reactor.requests";

const BATCH_MAX: usize = 32;
/// Longer than a batch takes. A request that failed is tried again after this time, until it ends by itself.
const LEASE: Duration = Duration::from_secs(60);
const RESET_LASTS: TimeDelta = TimeDelta::minutes(60);
const VERIFICATION_LASTS: TimeDelta = TimeDelta::hours(24);

/// What it works with.
pub(super) struct Desk {
    /// Of the role `quipu_reactor`.
    pub(super) pool: PgPool,
    pub(super) master: Arc<MasterKey>,
    /// Records what was asked for, where that is an event.
    pub(super) executor: Executor,
}

/// Answers requests until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(desk: Arc<Desk>, shared: Arc<Shared>) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        let taken = desk.take().await?;
        let may_be_more = taken.len() == BATCH_MAX;
        for asked in taken {
            if let Err(fault) = desk.answer(&asked).await {
                tracing::warn!(manager = NAME, tenant = %asked.tenant, error = fault.text(), "a request waits");
            }
        }
        if !may_be_more {
            tokio::select! {
                () = shared.shutdown.cancelled() => {}
                () = tokio::time::sleep(shared.timing.tick) => {}
            }
        }
    }
    Ok(())
}

/// A request that this process answers now.
struct Asked {
    tenant: TenantId,
    id: Uuid,
    sealed: Vec<u8>,
}

/// What follows from a request.
struct Answer {
    changes: Vec<VaultChange>,
    /// Whether the link of the letter refers to the request, which therefore stays.
    keeps_request: bool,
}

impl Answer {
    const NOTHING: Self = Self { changes: Vec::new(), keeps_request: false };
}

impl Desk {
    async fn take(&self) -> sqlx::Result<Vec<Asked>> {
        let rows = sqlx::query!(
            "update vault.requests r
             set tries = r.tries + 1, due_at = clock_timestamp() + $2::bigint * interval '1 millisecond'
             from (
                 select tenant_id, request_id from vault.requests
                 where taken_at is null and due_at <= clock_timestamp() and expires_at > clock_timestamp()
                 order by due_at limit $1
                 for update skip locked
             ) due
             where r.tenant_id = due.tenant_id and r.request_id = due.request_id
             returning r.tenant_id, r.request_id, r.sealed",
            i64::try_from(BATCH_MAX).unwrap_or(i64::MAX),
            milliseconds(LEASE)
        )
        .fetch_all(&self.pool)
        .await?;
        let asked = rows.into_iter().map(|row| Asked {
            tenant: TenantId::new(row.tenant_id),
            id: row.request_id,
            sealed: row.sealed,
        });
        Ok(asked.collect())
    }

    async fn answer(&self, asked: &Asked) -> Result<(), Fault> {
        let request = Request::open(asked.tenant, asked.id, &asked.sealed, &self.master).map_err(odd)?;
        let answer = match &request {
            Request::Reset(asker) => self.reset(asked, asker).await?,
            Request::Resend(asker) => self.resend(asked, asker).await?,
            Request::Register(registration) => self.register(asked, &registration.asker).await?,
            Request::ChangeAddress(change) => self.change_address(asked, change).await?,
            Request::Found(founding) => self.found(asked, &founding.owner.asker)?,
        };
        Ok(self.note(asked, answer).await?)
    }

    async fn reset(&self, asked: &Asked, asker: &Asker) -> Result<Answer, Fault> {
        let Some((person, registered)) = self.active(asked.tenant, asker).await? else {
            return Ok(Answer::NOTHING);
        };
        let until = Utc::now() + RESET_LASTS;
        let link = Link {
            kind: MailTokenKind::Reset,
            about: person.id.uuid(),
            user: Some(person.id),
            version: i64::from(registered.credential_version),
            until,
        };
        let (token, change) = self.link(asked.tenant, &link, asker)?;
        let language = Language::nearest(registered.language.as_str());
        let letter = Letter { to: person.mailbox, language, mail: Mail::Reset { token, until } };
        Ok(Answer {
            changes: vec![change, self.letter(asked, Some(person.id), &letter)?],
            keeps_request: false,
        })
    }

    async fn resend(&self, asked: &Asked, asker: &Asker) -> Result<Answer, Fault> {
        let Some((person, registered)) = self.active(asked.tenant, asker).await? else {
            return Ok(Answer::NOTHING);
        };
        if registered.email_verified {
            return Ok(Answer::NOTHING);
        }
        let until = Utc::now() + VERIFICATION_LASTS;
        let link = Link {
            kind: MailTokenKind::VerifyAddress,
            about: person.id.uuid(),
            user: Some(person.id),
            version: i64::from(registered.email_version),
            until,
        };
        let (token, change) = self.link(asked.tenant, &link, asker)?;
        let mail = Mail::VerifyAddress { purpose: Purpose::Account, token, until };
        let language = Language::nearest(registered.language.as_str());
        let letter = Letter { to: person.mailbox, language, mail };
        Ok(Answer {
            changes: vec![change, self.letter(asked, Some(person.id), &letter)?],
            keeps_request: false,
        })
    }

    async fn register(&self, asked: &Asked, asker: &Asker) -> Result<Answer, Fault> {
        if self.holder(asked.tenant, asker).await?.is_some() {
            return self.have_one_already(asked, asker).await;
        }
        let until = Utc::now() + VERIFICATION_LASTS;
        let link = Link { kind: MailTokenKind::Register, about: asked.id, user: None, version: 0, until };
        let (token, change) = self.link(asked.tenant, &link, asker)?;
        let mail = Mail::VerifyAddress { purpose: Purpose::Account, token, until };
        let letter = Letter { to: asker.mailbox.clone(), language: asker.language, mail };
        Ok(Answer { changes: vec![change, self.letter(asked, None, &letter)?], keeps_request: true })
    }

    /// Whoever has the address is told that they have an account already.
    async fn have_one_already(&self, asked: &Asked, asker: &Asker) -> Result<Answer, Fault> {
        let Some(holder) = self.holder(asked.tenant, asker).await? else { return Ok(Answer::NOTHING) };
        let Some(person) = self.person(asked.tenant, asker, holder).await? else {
            return Ok(Answer::NOTHING);
        };
        let letter = Letter { to: person.mailbox, language: asker.language, mail: Mail::RegisteredAlready };
        let changes = vec![self.letter(asked, Some(person.id), &letter)?];
        Ok(Answer { changes, keeps_request: false })
    }

    /// An organisation is new, so nobody in it can have the address.
    fn found(&self, asked: &Asked, asker: &Asker) -> Result<Answer, Fault> {
        let until = Utc::now() + VERIFICATION_LASTS;
        let link = Link { kind: MailTokenKind::Found, about: asked.id, user: None, version: 0, until };
        let (token, change) = self.link(asked.tenant, &link, asker)?;
        let mail = Mail::VerifyAddress { purpose: Purpose::Organisation, token, until };
        let letter = Letter { to: asker.mailbox.clone(), language: asker.language, mail };
        Ok(Answer { changes: vec![change, self.letter(asked, None, &letter)?], keeps_request: true })
    }

    /// The keyed hash under which an address is claimed.
    fn index(&self, tenant: TenantId, asker: &Asker) -> Digest {
        self.index_of(tenant, &asker.normal)
    }

    /// The same of an address in the form in which they are compared.
    fn index_of(&self, tenant: TenantId, normal: &str) -> Digest {
        self.master.index(tenant, IndexOf::Email, normal.as_bytes())
    }

    async fn holder(&self, tenant: TenantId, asker: &Asker) -> sqlx::Result<Option<UserId>> {
        let hash = self.index(tenant, asker).to_string();
        let holder = Vault::new(self.pool.clone()).claim_holder(tenant, EMAIL_SCOPE, &hash).await?;
        Ok(holder.map(UserId::new))
    }

    /// Whoever holds an address, if it is still the one that they have. Nobody is there either if they were erased a moment ago.
    async fn person(&self, tenant: TenantId, asker: &Asker, holder: UserId) -> Result<Option<Person>, Fault> {
        let person = Person::read(&self.pool, &self.master, tenant, holder).await?;
        Ok(person.filter(|it| EmailAddress::parse(&it.mailbox).is_ok_and(|it| it.normal() == asker.normal)))
    }

    /// Whoever has an account with an address, and may act.
    async fn active(&self, tenant: TenantId, asker: &Asker) -> Result<Option<(Person, Registered)>, Fault> {
        let Some(holder) = self.holder(tenant, asker).await? else { return Ok(None) };
        let Some(person) = self.person(tenant, asker, holder).await? else { return Ok(None) };
        Ok(match person.user.clone() {
            User::Active(registered) => Some((person, registered)),
            User::Absent | User::Inactive(_) | User::Erased => None,
        })
    }

    /// A fresh link: its text for the letter, and the change that makes it good.
    fn link(&self, tenant: TenantId, link: &Link, asker: &Asker) -> Result<(String, VaultChange), Fault> {
        let bearer = Bearer::make(Kind::Mail, tenant, Uuid::now_v7()).map_err(odd)?;
        let change = VaultChange::PutMailToken(NewMailToken {
            tenant,
            token: bearer.id,
            kind: link.kind,
            hash: Digest(bearer.hash()),
            about: link.about,
            user: link.user.map(UserId::uuid),
            address_hash: Some(self.index(tenant, asker)),
            version: link.version,
            expires_at: link.until,
        });
        Ok((bearer.text().expose_secret().to_owned(), change))
    }

    fn letter(&self, asked: &Asked, user: Option<UserId>, letter: &Letter) -> Result<VaultChange, Fault> {
        let slip = Slip {
            tenant: asked.tenant,
            mail: Uuid::now_v7(),
            user: user.map(UserId::uuid),
            // A request brings about one letter of a kind at most.
            dedupe: format!("request/{}/{}", asked.id, letter.mail.kind()),
        };
        letter.queued(slip, &self.master).map_err(odd)
    }

    /// Carries the answer out and notes that the request is answered, or deletes it; both, or neither if somebody else has
    /// done it meanwhile.
    async fn note(&self, asked: &Asked, answer: Answer) -> sqlx::Result<()> {
        let mut changes = answer.changes;
        if !answer.keeps_request {
            changes.push(VaultChange::DropRequest { tenant: asked.tenant, request: asked.id });
        }
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            asked.tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        let noted = sqlx::query!(
            "update vault.requests set taken_at = clock_timestamp()
             where tenant_id = $1 and request_id = $2 and taken_at is null",
            asked.tenant.uuid(),
            asked.id
        )
        .execute(&mut *tx)
        .await?;
        if noted.rows_affected() == 1 {
            sqlx::query!("select vault.apply($1) as applied", serde_json::json!(changes))
                .fetch_one(&mut *tx)
                .await?;
        }
        tx.commit().await
    }
}

/// A link to be made.
struct Link {
    kind: MailTokenKind,
    about: Uuid,
    user: Option<UserId>,
    version: i64,
    until: DateTime<Utc>,
}

fn odd(error: impl std::fmt::Display) -> Fault {
    Fault::Odd(error.to_string())
}
