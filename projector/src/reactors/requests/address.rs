//! Another address for an account: asked for by somebody who showed their password, and judged here, so that neither the answer
//! nor its time says whether somebody else has the address.
//!
//! | the address | who is written to |
//! |---|---|
//! | is nobody's | the new address gets the link, the present one a word of it |
//! | is somebody else's | that account: "you have one already" |
//! | is asked for by another member | nobody |
//! | is theirs already, or their password is another one by now | nobody |

use chrono::{TimeDelta, Utc};
use domain::identity::RequestEmailChange;
use domain::identity::user::{EmailHash, Registered, User};
use domain::ids::{ActorId, TenantId, UserId};
use domain::private::Private;
use event_store::unit::Cause;
use event_store::vault::{
    AddressChange, AddressStage, Language, Letter, Mail, MailTokenKind, Purpose, VaultChange,
};
use event_store::{IdempotencyKey, Unit};
use service_kit::email::EmailAddress;

use super::person::Person;
use super::{Answer, Asked, Desk, Link, NAME, odd};
use crate::run::Fault;

/// How long no other member can ask for an address that somebody asked for.
const KEPT_FOR: TimeDelta = TimeDelta::hours(24);
/// How often a request is looked at that others of the same person come in between of. They ask again then.
const ATTEMPTS_MAX: u32 = 3;

impl Desk {
    /// Records the request, with the link and both letters, and says what is left to answer.
    pub(super) async fn change_address(
        &self,
        asked: &Asked,
        change: &AddressChange,
    ) -> Result<Answer, Fault> {
        let holder = self.holder(asked.tenant, &change.asker).await?;
        if holder.is_some_and(|it| it.uuid() != change.user) {
            return self.have_one_already(asked, &change.asker).await;
        }
        for attempt in 0..ATTEMPTS_MAX {
            let Some(unit) = self.requested(asked, change, attempt).await? else { break };
            let receipt = self.executor.submit(unit).await.map_err(odd)?;
            match receipt.results.into_iter().find_map(Result::err) {
                // Another request of theirs came in between, and is what this one takes the place of.
                Some(refusal) if refusal.code == "identity.email-change-pending" => {}
                _ => break,
            }
        }
        Ok(Answer::NOTHING)
    }

    /// The unit that records the request as things stand; none if there is nothing to record.
    async fn requested(
        &self,
        asked: &Asked,
        change: &AddressChange,
        attempt: u32,
    ) -> Result<Option<Unit>, Fault> {
        let (tenant, id) = (asked.tenant, UserId::new(change.user));
        let Some(person) = Person::read(&self.pool, &self.master, tenant, id).await? else { return Ok(None) };
        let User::Active(registered) = &person.user else { return Ok(None) };
        let is_theirs =
            EmailAddress::parse(&person.mailbox).is_ok_and(|it| it.normal() == change.asker.normal);
        if is_theirs || registered.credential_version != change.credential_version {
            return Ok(None);
        }
        let replaces = match &registered.email_pending {
            Some(pending) => match self.waiting(tenant, id, pending.version).await? {
                Some(hash) => Some((pending.version, hash)),
                None => return Ok(None),
            },
            None => None,
        };
        let command = RequestEmailChange {
            user_id: id,
            email: Private::new(id.uuid(), change.asker.mailbox.as_str()),
            email_hash: EmailHash::new(self.index(tenant, &change.asker).0),
            expires_at: Utc::now() + KEPT_FOR,
            replaces,
        };
        let vault = self.told(asked, change, &person, registered, &command)?;
        // However many work at a request, they come to the same attempts in the same order, and each has one outcome: so the
        // request is recorded once.
        let key = format!("{}#{attempt}", asked.id);
        let key = IdempotencyKey::new(&self.master, ActorId::SYSTEM.uuid(), NAME, &key, key.as_bytes());
        let cause = Cause { actor: id.actor(), ..Cause::system(asked.id) };
        Ok(Some(Unit::new(tenant, cause, command).with_key(key).with_vault(vault)))
    }

    /// The address that somebody asked for before, as the claims know it.
    async fn waiting(&self, tenant: TenantId, id: UserId, version: u32) -> Result<Option<EmailHash>, Fault> {
        let mailbox = Person::asked_for(&self.pool, &self.master, tenant, id, version).await?;
        let email = mailbox.and_then(|it| EmailAddress::parse(&it).ok());
        Ok(email.map(|it| EmailHash::new(self.index_of(tenant, it.normal()).0)))
    }

    /// The link, and a letter to each address.
    fn told(
        &self,
        asked: &Asked,
        change: &AddressChange,
        person: &Person,
        registered: &Registered,
        command: &RequestEmailChange,
    ) -> Result<Vec<VaultChange>, Fault> {
        let link = Link {
            kind: MailTokenKind::ChangeAddress,
            about: person.id.uuid(),
            user: Some(person.id),
            version: i64::from(registered.email_versions) + 1,
            until: command.expires_at,
        };
        let (token, good) = self.link(asked.tenant, &link, &change.asker)?;
        let language = Language::nearest(registered.language.as_str());
        let mail = Mail::VerifyAddress { purpose: Purpose::Change, token, until: command.expires_at };
        let to_new = Letter { to: change.asker.mailbox.clone(), language, mail };
        let mail = Mail::AddressChanged { stage: AddressStage::Asked, at: Utc::now() };
        let to_old = Letter { to: person.mailbox.clone(), language, mail };
        Ok(vec![
            good,
            self.letter(asked, Some(person.id), &to_new)?,
            self.letter(asked, Some(person.id), &to_old)?,
        ])
    }
}
