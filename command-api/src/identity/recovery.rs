//! Links in letters: proving an address, completing a registration, choosing another password. And the change of a password
//! by somebody who knows it.
//!
//! What is asked for without a proof is answered the same at once, whoever asks; a reactor looks later and writes a letter or
//! does not. A link is opaque, good once, and bound to what it is about as it stood when it was made: the command that follows
//! compares that, so of two who use it at once one does.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use domain::gate::Gated;
use domain::identity::{Registered, SetPassword, User, VerifyEmail, Withdraw, user};
use domain::ids::{TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::WhileActive;
use domain::words::{Language, Word};
use domain::{Refusal, StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{
    Asker, Digest, Language as MailLanguage, Mail, MailToken, MailTokenKind, Registration, Request,
    StoredPassword, VaultChange,
};
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::browser::Called;
use super::facts::unknown;
use super::guessing::{CREDENTIALS, Door};
use super::letters::NewLetter;
use super::limits::{Counted, Policy};
use super::second_factor::enrolment::over_ways_in;
use super::sessions::InSession;
use super::sign_up::{Candidate, demands};
use super::{Identity, Origin, unavailable};
use crate::passwords::Password;
use crate::passwords::hash::Hashed;

/// How long somebody may take to follow a link, and a little for the mail. The links themselves end before.
pub(super) const ASKED_FOR: Duration = Duration::from_secs(25 * 3_600);
/// Refusals that say the same as a link that is not good: what it was about is not so any more.
const STALE: [&str; 7] = [
    "identity.credential-changed",
    "identity.user-not-found",
    "identity.person-erased",
    "identity.user-inactive",
    "identity.email-taken",
    "identity.email-changed-meanwhile",
    "organisation.owner-exists",
];

/// How does a person stand?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PersonAsked {
    tenant: TenantId,
    user: UserId,
}

impl Question for PersonAsked {
    type Answer = User;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![user::stream(self.user)]
    }

    fn answer(&self, view: &View<'_>) -> User {
        view.find::<User>(self.user.uuid()).map(|it| it.state.clone()).unwrap_or_default()
    }
}

/// A link that is good, and what names it.
pub(super) struct Link {
    pub tenant: TenantId,
    id: Uuid,
    pub token: MailToken,
}

impl Link {
    pub(super) const fn used(&self) -> VaultChange {
        VaultChange::UseMailToken { tenant: self.tenant, token: self.id }
    }
}

impl Identity {
    /// Proves an address: that of a new account, or of one that was asked for where nobody may learn who is there, and comes to
    /// be with this. `chosen` is the password of the registration, where whoever follows the link was asked for it: so nobody
    /// proves their address for somebody else, who registered with it and waits.
    ///
    /// # Errors
    /// `rate.limited`; `identity.link-invalid`, whatever is wrong with the link; `identity.locked`,
    /// `identity.invalid-credentials`, `overload.hashing` for the password. A wrong one does not consume the link.
    pub async fn verify_email(
        &self,
        text: &str,
        chosen: Option<&Password>,
        origin: &Origin,
    ) -> Result<LogPosition, Problem> {
        self.limits().check([Counted::address(Policy::Links, origin.ip)]).await?;
        if let Some(link) = self.good_link(text, MailTokenKind::VerifyAddress).await? {
            let (Some(user), Ok(version)) = (link.token.user, u32::try_from(link.token.version)) else {
                return Err(invalid());
            };
            let user = UserId::new(user);
            let state = self.person_in_log(link.tenant, user).await?;
            // Whoever was added by an administrator has none yet.
            let has_one = state.registered().is_some_and(Registered::is_unproven);
            if let Some(chosen) = chosen.filter(|_| has_one) {
                self.shown(link.tenant, user, chosen, "verification", origin).await?;
            }
            let verify = VerifyEmail { user_id: user, email_version: version, via: Word::of("link") };
            let unit = Unit::new(link.tenant, origin.cause(user.actor()), verify).with_vault([link.used()]);
            return self.submit(unit).await?.map_err(not_any_more);
        }
        let link = self.good_link(text, MailTokenKind::Register).await?.ok_or_else(invalid)?;
        self.complete(&link, chosen, origin).await
    }

    /// Has the link that proves an address sent once more, if there is an account that needs it.
    ///
    /// # Errors
    /// `rate.limited`; else only if nothing can be asked for at all.
    pub async fn resend_verification(
        &self,
        slug: &str,
        email: &EmailAddress,
        origin: &Origin,
    ) -> Result<(), Problem> {
        self.ask_by_mail(slug, email, Request::Resend, origin).await
    }

    /// Has a link sent with which another password can be chosen, if there is an account.
    ///
    /// # Errors
    /// `rate.limited`; else only if nothing can be asked for at all.
    pub async fn forgot_password(
        &self,
        slug: &str,
        email: &EmailAddress,
        origin: &Origin,
    ) -> Result<(), Problem> {
        self.ask_by_mail(slug, email, Request::Reset, origin).await
    }

    /// Chooses another password by a link. All sessions end, the address counts as proven, and nobody is signed in by it.
    ///
    /// # Errors
    /// `rate.limited`, `identity.link-invalid`, `identity.password-weak`, `overload.hashing`, `organisation.not-active`.
    pub async fn reset_password(
        &self,
        text: &str,
        password: Password,
        origin: &Origin,
    ) -> Result<(), Problem> {
        self.limits().check([Counted::address(Policy::Links, origin.ip)]).await?;
        let link = self.good_link(text, MailTokenKind::Reset).await?.ok_or_else(invalid)?;
        let (Some(user), Ok(seen)) = (link.token.user.map(UserId::new), u32::try_from(link.token.version))
        else {
            return Err(invalid());
        };
        let (registered, email) = self.person(link.tenant, user).await?.ok_or_else(invalid)?;
        // The letter went to an address that is not theirs any more.
        if link.token.address_hash != Some(self.email_index(link.tenant, &email)) {
            return Err(invalid());
        }
        let hashed = self.acceptable_of(link.tenant, &email, password, "/new_password").await?;
        let verify =
            VerifyEmail { user_id: user, email_version: registered.email_version, via: Word::of("reset") };
        let change = Change { tenant: link.tenant, user, seen, because: "reset", withdraw: Withdraw::All };
        // Whoever has the mailbox is no stranger who guesses.
        let subject = self.attempts_index(link.tenant, &email);
        let opened = VaultChange::OpenLocks { tenant: link.tenant, subject };
        let changes = self.changes(&change, hashed, &email, &registered.language)?;
        let unit = Unit::new(link.tenant, origin.cause(user.actor()), change.command())
            .and(link.tenant, verify)
            // Whoever waits for the approval of their own organisation may have forgotten it.
            .and(link.tenant, WhileActive { or_pending: true })
            .with_vault(changes.into_iter().chain([link.used(), opened]));
        self.submit(unit).await?.map_err(not_any_more)?;
        Ok(())
    }

    /// The password of somebody who knows it becomes another one.
    ///
    /// # Errors
    /// `auth.second-factor-missing` if they have a further factor and did not show it, `identity.own-proof-required` if they came from
    /// another organisation; `identity.locked`, `identity.invalid-credentials`, `identity.password-weak`, `overload.hashing`,
    /// `identity.credential-changed`.
    pub async fn change_password(
        &self,
        who: InSession,
        passwords: (Password, Password),
        ends_others: bool,
        origin: &Origin,
    ) -> Result<LogPosition, Problem> {
        self.over_ways_in(who).await?;
        let (current, next) = passwords;
        let Shown { registered, email, seen } =
            self.shown(who.tenant, who.user, &current, "password-change", origin).await?;
        let hashed = self.acceptable_of(who.tenant, &email, next, "/new").await?;
        let withdraw = if ends_others { Withdraw::Others(who.session) } else { Withdraw::Nothing };
        let change = Change { tenant: who.tenant, user: who.user, seen, because: "change", withdraw };
        let changes = self.changes(&change, hashed, &email, &registered.language)?;
        let command = Gated::new(over_ways_in(who), Box::new(change.command()));
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), command).with_vault(changes);
        self.submit(unit).await?.map_err(Problem::from)
    }

    /// Whether a password is that of a person; a guess like any other. `method` says what it is shown for.
    pub(super) async fn shown(
        &self,
        tenant: TenantId,
        user: UserId,
        password: &Password,
        method: &'static str,
        origin: &Origin,
    ) -> Result<Shown, Problem> {
        let wrong = || Problem::new(&code::INVALID_CREDENTIALS, "");
        let (registered, email) = self.person(tenant, user).await?.ok_or_else(wrong)?;
        let policy = self.policy(tenant).await?;
        let door = Door { tenant, exists: true, method, email: &email, origin };
        let guess = self.guess(&door, None, &policy).await?;
        let stored = self.parts().vault.password_of(tenant, user.uuid()).await.map_err(unavailable)?;
        let seen = stored.as_ref().and_then(|it| u32::try_from(it.version).ok()).unwrap_or_default();
        if self.is_right(password, stored).await?.is_none() {
            self.failed(&door, &guess, Some(user), CREDENTIALS).await;
            return Err(wrong());
        }
        // Whoever shows it again and again does not lock themselves out.
        let ((kind, subject), vault) = (guess.counter(), &self.parts().vault);
        vault.return_attempt(tenant, kind, subject, guess.most()).await.map_err(unavailable)?;
        Ok(Shown { registered, email, seen })
    }

    /// Registers somebody who asked for it where nobody may learn who is there, and who has shown now that the address is theirs.
    async fn complete(
        &self,
        link: &Link,
        chosen: Option<&Password>,
        origin: &Origin,
    ) -> Result<LogPosition, Problem> {
        let parts = self.parts();
        let request = parts.vault.asked(link.tenant, link.token.about, &parts.master).await;
        let Ok(Some(Request::Register(asked))) = request else { return Err(invalid()) };
        self.check_chosen(chosen, &asked).await?;
        let Registration { asker, given_name, family_name, phc, pepper } = asked;
        let name = |it: Option<String>| it.and_then(|it| Label::parse(&it).ok());
        let candidate = Candidate {
            email: EmailAddress::parse(&asker.mailbox).map_err(|_| invalid())?,
            given_name: name(given_name),
            family_name: name(family_name),
            language: Language::parse(asker.language.tag()).map_err(|_| invalid())?,
            is_verified: true,
        };
        let (user, hashed) = (UserId::new(Uuid::now_v7()), Hashed { phc, pepper });
        let done = VaultChange::DropRequest { tenant: link.tenant, request: link.token.about };
        let unit = if link.tenant == TenantId::PLATFORM {
            self.first_owner(user, &candidate, hashed, origin)?
        } else {
            self.registration(link.tenant, user, &candidate, hashed, origin)
        };
        self.submit(unit.with_vault([link.used(), done])).await?.map_err(not_any_more)
    }

    /// Looks whether a password is the one that was chosen when something was asked for, if it is shown. Nobody can guess here
    /// who has not the mailbox, and so another password as well.
    pub(super) async fn check_chosen(
        &self,
        chosen: Option<&Password>,
        asked: &Registration,
    ) -> Result<(), Problem> {
        let Some(chosen) = chosen else { return Ok(()) };
        let stored = StoredPassword { version: 1, phc: asked.phc.clone(), pepper: asked.pepper };
        match self.is_right(chosen, Some(stored)).await? {
            Some(_) => Ok(()),
            None => Err(Problem::new(&code::INVALID_CREDENTIALS, "")),
        }
    }

    /// How the organisation is called that a link speaks of, whether it is good or not.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn organisation_of_link(&self, text: &str) -> Result<Option<Called>, Problem> {
        match Bearer::parse(Kind::Mail, text.trim()) {
            Ok(link) => self.organisation_called(link.tenant).await,
            Err(_) => Ok(None),
        }
    }

    /// What a link is for, if it is good.
    pub(super) async fn good_link(&self, text: &str, kind: MailTokenKind) -> Result<Option<Link>, Problem> {
        // What is pasted from a letter has spaces round it.
        let Ok(bearer) = Bearer::parse(Kind::Mail, text.trim()) else { return Ok(None) };
        let (tenant, id) = (bearer.tenant, bearer.id);
        let token = self.parts().vault.mail_token(tenant, id, kind, Digest(bearer.hash())).await;
        Ok(token.map_err(unavailable)?.map(|token| Link { tenant, id, token }))
    }

    async fn ask_by_mail(
        &self,
        slug: &str,
        email: &EmailAddress,
        kind: impl FnOnce(Asker) -> Request,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let tenant = self.tenant_or_stand_in(slug).await?;
        self.causes_a_letter(tenant, email, origin).await?;
        let policy = self.policy(tenant).await?;
        let asker = Asker {
            mailbox: email.mailbox().to_owned(),
            normal: email.normal().to_owned(),
            language: MailLanguage::nearest(policy.language.as_str()),
        };
        self.ask(tenant, &kind(asker), ASKED_FOR).await
    }

    /// Somebody as the log knows them, whether they may act or not.
    pub(super) async fn person_in_log(&self, tenant: TenantId, user: UserId) -> Result<Arc<User>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        look(&mut conn, &PersonAsked { tenant, user }).await.map_err(unknown)
    }

    /// An active person and their address.
    pub(super) async fn person(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<(Registered, EmailAddress)>, Problem> {
        let state = self.person_in_log(tenant, user).await?;
        let User::Active(registered) = state.as_ref() else { return Ok(None) };
        Ok(self.address_of(tenant, user).await?.map(|email| (registered.clone(), email)))
    }

    /// What is kept of a new password of somebody who is there, if it is good.
    async fn acceptable_of(
        &self,
        tenant: TenantId,
        email: &EmailAddress,
        password: Password,
        pointer: &'static str,
    ) -> Result<Hashed, Problem> {
        let policy = self.policy(tenant).await?;
        self.acceptable(password, demands(&policy, email.words()), pointer).await
    }

    /// What changes in the vault with a password: itself, the families of the sessions that end, and the letter that tells the
    /// person.
    fn changes(
        &self,
        change: &Change,
        hashed: Hashed,
        email: &EmailAddress,
        language: &Language,
    ) -> Result<Vec<VaultChange>, Problem> {
        let (tenant, user) = (change.tenant, change.user);
        let version = i32::try_from(change.seen.saturating_add(1)).unwrap_or(i32::MAX);
        let letter = self.letter(NewLetter {
            tenant,
            about: user.uuid(),
            to: email,
            language,
            mail: Mail::PasswordChanged { at: Utc::now() },
            cause: format!("password-changed:{user}:{version}"),
        })?;
        let mut changes = vec![hashed.put(tenant, user, version), letter];
        let except = match change.withdraw {
            Withdraw::Nothing => return Ok(changes),
            Withdraw::All => None,
            Withdraw::Others(session) => Some(session.uuid()),
        };
        changes.push(VaultChange::RevokeUser {
            tenant,
            user: user.uuid(),
            except,
            because: "password-changed",
        });
        // Whoever else knew the password may have asked for another address, which would get them in again.
        let kind = MailTokenKind::ChangeAddress;
        changes.push(VaultChange::SpoilMailTokens { tenant, kind, about: user.uuid() });
        Ok(changes)
    }
}

/// A person who has shown their password.
pub(super) struct Shown {
    pub registered: Registered,
    /// Their address.
    pub email: EmailAddress,
    /// The number of the password that was shown.
    pub seen: u32,
}

/// A password becomes another one.
struct Change {
    tenant: TenantId,
    user: UserId,
    /// The number of the one that it takes the place of.
    seen: u32,
    because: &'static str,
    withdraw: Withdraw,
}

impl Change {
    fn command(&self) -> SetPassword {
        SetPassword {
            user_id: self.user,
            because: Word::of(self.because),
            seen: self.seen,
            withdraw: self.withdraw,
            by: self.user.actor(),
        }
    }
}

pub(super) fn invalid() -> Problem {
    Refusal::from(domain::identity::IdentityError::LinkInvalid).into()
}

/// What a link was about may have changed since: that is told as a link that is not good.
pub(super) fn not_any_more(refusal: Refusal) -> Problem {
    if STALE.contains(&refusal.code.as_ref()) { invalid() } else { refusal.into() }
}
