//! Another address for an account. Whoever asks shows their password; whoever has the new address confirms it; both addresses
//! are told. Until then the old one holds, and for a day no other member can ask for the new one.
//!
//! Whether somebody else has the new address is found out by a reactor, when the answer was given long before: who asks learns
//! nothing, by words or by time.

use chrono::Utc;
use domain::Decision;
use domain::identity::{ConfirmEmailChange, EmailHash};
use domain::ids::UserId;
use domain::words::Language;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{
    AddressChange, AddressStage, Asker, Language as MailLanguage, Mail, MailTokenKind, Request, VaultChange,
};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;

use super::letters::NewLetter;
use super::limits::{Counted, Policy};
use super::recovery::{ASKED_FOR, Link, Shown, invalid, not_any_more};
use super::sessions::InSession;
use super::{Identity, Origin};
use crate::passwords::Password;

impl Identity {
    /// Has the link sent that makes another address theirs, to that address, and a word of it to the present one.
    ///
    /// # Errors
    /// `auth.second-factor-missing` if they have a further factor and did not show it, `identity.own-proof-required` if they came from
    /// another organisation; `identity.locked`, `identity.invalid-credentials`, `overload.hashing`, `rate.limited`.
    pub async fn ask_for_address(
        &self,
        who: InSession,
        wanted: &EmailAddress,
        password: &Password,
        origin: &Origin,
    ) -> Result<(), Problem> {
        self.over_ways_in(who).await?;
        let Shown { registered, seen, .. } =
            self.shown(who.tenant, who.user, password, "address-change", origin).await?;
        self.causes_a_letter(who.tenant, wanted, origin).await?;
        let asker = Asker {
            mailbox: wanted.mailbox().to_owned(),
            normal: wanted.normal().to_owned(),
            language: MailLanguage::nearest(registered.language.as_str()),
        };
        let change = AddressChange { user: who.user.uuid(), credential_version: seen, asker };
        self.ask(who.tenant, &Request::ChangeAddress(change), ASKED_FOR).await
    }

    /// Makes the address that a link was sent to the one of the account.
    ///
    /// # Errors
    /// `identity.link-invalid`, whatever is wrong with the link.
    pub async fn confirm_address(&self, text: &str, origin: &Origin) -> Result<LogPosition, Problem> {
        self.limits().check([Counted::address(Policy::Links, origin.ip)]).await?;
        let link = self.good_link(text, MailTokenKind::ChangeAddress).await?.ok_or_else(invalid)?;
        let (Some(user), Ok(version)) = (link.token.user.map(UserId::new), u32::try_from(link.token.version))
        else {
            return Err(invalid());
        };
        let (registered, old) = self.person(link.tenant, user).await?.ok_or_else(invalid)?;
        let new = self.address_asked_for(link.tenant, user, version).await?.ok_or_else(invalid)?;
        let given_up = EmailHash::new(self.email_index(link.tenant, &old).0);
        let wanted = self.email_index(link.tenant, &new);
        let confirm = ConfirmEmailChange {
            user_id: user,
            email_version: version,
            email_hash: EmailHash::new(wanted.0),
            gives_up: (registered.email_version, given_up),
        };
        let told =
            |email, which| self.told_of_change(&link, user, version, email, which, &registered.language);
        let changes = [link.used(), told(&old, "old")?, told(&new, "new")?];
        // Whoever registered with the new address without its mailbox makes room for its owner.
        let displace =
            self.displacing(link.tenant, wanted).await?.map(|it| Box::new(it) as Box<dyn Decision>);
        let commands = displace.into_iter().chain([Box::new(confirm) as Box<dyn Decision>]);
        let unit = Unit::of(link.tenant, origin.cause(user.actor()), commands).with_vault(changes);
        self.submit(unit).await?.map_err(not_any_more)
    }

    /// The letter that tells an address, the old one or the new one, that the change is done.
    fn told_of_change(
        &self,
        link: &Link,
        user: UserId,
        version: u32,
        email: &EmailAddress,
        which: &'static str,
        language: &Language,
    ) -> Result<VaultChange, Problem> {
        self.letter(NewLetter {
            tenant: link.tenant,
            about: user.uuid(),
            to: email,
            language,
            mail: Mail::AddressChanged { stage: AddressStage::Done, at: Utc::now() },
            cause: format!("address-changed:{user}:{version}:{which}"),
        })
    }
}
