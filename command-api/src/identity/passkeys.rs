//! Passkeys: a person signs in with a key that never leaves their authenticator, which asks for a finger or a number itself
//! (Web Authentication Level 2). So one sign-in shows two factors, and nothing is there that could be guessed: passkeys do not
//! count towards the lock, and are not locked by it.
//!
//! | step | what is kept |
//! |---|---|
//! | we ask the browser to sign something | its hash, for five minutes |
//! | the browser comes back | the hash is taken, once; then the answer is looked at ([`ceremony`]) |
//!
//! Who we are to browsers comes from `QUIPU_PUBLIC_URL` alone (CVE-2023-49097).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use domain::enrolling::Enrolling;
use domain::identity::{
    AddPasskey, CheckPasskey, IdentityError, RemoveFactor, ReportPasskeyRegression, assurance, session,
};
use domain::ids::{FactorId, LinkId, ProviderId, TenantId, UserId};
use domain::metadata::Label;
use domain::private::Private;
use domain::words::Word;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{FactorChange, HexBytes, NewPasskey, VaultChange};
use sabotage::Guard;
use secrecy::SecretString;
use service_kit::config::PublicUrl;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};
use service_kit::random;
use uuid::Uuid;

use super::federated::{Providers, by_link};
use super::figures::Waiting;
use super::limits::{Counted, Policy as Limit};
use super::second_factor::enrolment::{in_person, refused};
use super::sessions::InSession;
use super::sign_in::{SECRET, SignedIn, Starting};
use super::{Identity, Origin, device, unavailable};
use ceremony::{Asked, NotGood, Party, sha256};

pub mod ceremony;

/// How long somebody may take to sign.
pub const CHALLENGE: Duration = Duration::from_secs(300);
/// Bytes of chance in what is signed; the standard asks for 16 at least (section 13.4.3).
const CHALLENGE_BYTES: usize = 32;

/// What a browser needs to make a passkey.
pub struct Making {
    /// What is to be signed, in base64url.
    pub challenge: String,
    /// Whose it will be.
    pub user: UserId,
    /// Their address, by which they know the account.
    pub email: EmailAddress,
    /// Passkeys that they have, in base64url: the authenticators of those are not asked again.
    pub known: Vec<String>,
}

/// A passkey, as a browser gives it.
#[derive(Debug)]
pub struct NewlyMade {
    /// What the browser says that it was asked.
    pub client_data: Vec<u8>,
    /// What the authenticator says.
    pub attestation: Vec<u8>,
    /// What the person calls it.
    pub label: Option<Label>,
}

/// What was signed with a passkey, as a browser gives it.
#[derive(Debug)]
pub struct Signed {
    /// In which organisation.
    pub tenant_slug: String,
    /// The authenticator's name for the passkey.
    pub credential: Vec<u8>,
    /// What the browser says that it was asked.
    pub client_data: Vec<u8>,
    /// What the authenticator says.
    pub authenticator_data: Vec<u8>,
    /// The signature over both.
    pub signature: Vec<u8>,
    /// The ticket of a first half that was shown before, if one was: then the passkey must be of the same person.
    pub after: Option<SecretString>,
}

/// We, as browsers know us.
///
/// # Errors
/// `identity.passkeys-off`, if that is not set, or names no name.
pub fn party(with: &Providers) -> Result<Party<'_>, Problem> {
    let off = |detail: &str| Problem::new(&code::PASSKEYS_OFF, detail);
    let url: &PublicUrl = with.public_url().ok_or_else(|| off("QUIPU_PUBLIC_URL is not set"))?;
    let id = url.name().ok_or_else(|| off("QUIPU_PUBLIC_URL has an address in place of a name"))?;
    Ok(Party { origin: url.origin(), id })
}

fn invalid() -> Problem {
    Problem::new(&code::PASSKEY_INVALID, "")
}

impl From<NotGood> for Problem {
    fn from(_: NotGood) -> Self {
        invalid()
    }
}

impl Identity {
    /// Says what a browser is to sign to make a passkey.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are; `identity.factors-off`.
    pub async fn begin_passkey(&self, who: InSession, origin: &Origin) -> Result<Making, Problem> {
        self.fresh(who).await?;
        self.lets_enrol(who.tenant).await?;
        let email = self.address_of(who.tenant, who.user).await?;
        let email = email.ok_or_else(|| refused(IdentityError::PersonErased))?;
        let known = self.parts().vault.passkeys_of(who.tenant, who.user).await.map_err(unavailable)?;
        let challenge = self.challenge(who.tenant, Some(who.user), origin).await?;
        let known = known.iter().map(|it| URL_SAFE_NO_PAD.encode(it)).collect();
        Ok(Making { challenge, user: who.user, email, known })
    }

    /// Adds the passkey that a browser made.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are; `identity.passkey-invalid`, `identity.factors-off`, `identity.factor-exists`,
    /// `identity.too-many-factors`.
    pub async fn add_passkey(
        &self,
        who: InSession,
        made: NewlyMade,
        party: &Party<'_>,
        origin: &Origin,
    ) -> Result<(FactorId, LogPosition), Problem> {
        let (stands, _) = self.fresh(who).await?;
        let vault = &self.parts().vault;
        let asked = ceremony::challenge_of(&made.client_data, Asked::Create, party)?;
        if !vault.take_challenge(who.tenant, asked, Some(who.user)).await.map_err(unavailable)? {
            return Err(invalid());
        }
        let passkey = ceremony::made(&made.attestation, party)?;
        if vault.passkey(who.tenant, &passkey.credential).await.map_err(unavailable)?.is_some() {
            return Err(refused(IdentityError::FactorExists));
        }
        let factor = FactorId::new(Uuid::now_v7());
        let label = made.label.map(|it| Private::new(who.user.uuid(), it.as_str()));
        // What a session has shown grows and never shrinks: nothing is taken for more than it was.
        let vouched = !assurance::is_own_proof(&stands.session.amr);
        let add = AddPasskey { user_id: who.user, factor_id: factor, label, vouched };
        let keep = VaultChange::PutPasskey(NewPasskey {
            tenant: who.tenant,
            factor,
            user: who.user,
            credential: HexBytes(passkey.credential),
            algorithm: passkey.algorithm,
            public_key: HexBytes(passkey.public_key),
            sign_count: passkey.sign_count,
        });
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::PasskeyAdded).await?;
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), in_person(who, Enrolling::new(add)))
            .with_vault([keep].into_iter().chain(letter));
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok((factor, position))
    }

    /// Takes a passkey of a person away.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are; `identity.factor-not-found`.
    pub async fn remove_passkey(
        &self,
        who: InSession,
        factor: FactorId,
        origin: &Origin,
    ) -> Result<LogPosition, Problem> {
        let (_, known) = self.fresh(who).await?;
        if !known.passkeys.contains(&factor) {
            return Err(refused(IdentityError::FactorNotFound));
        }
        let remove = RemoveFactor { user_id: who.user, factor_id: factor, because: Word::of("asked") };
        let drop = VaultChange::DropPasskey { tenant: who.tenant, factor };
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::PasskeyRemoved).await?;
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), in_person(who, remove))
            .with_vault([drop].into_iter().chain(letter));
        self.submit(unit).await?.map_err(Problem::from)
    }

    /// Says what a browser is to sign to sign in. Whoever asks is told the same, since nobody says who they are yet; also for an
    /// organisation that does not exist, and all of those have room for one.
    ///
    /// # Errors
    /// `rate.limited`.
    pub async fn begin_passkey_sign_in(&self, slug: &str, origin: &Origin) -> Result<String, Problem> {
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        let tenant = self.tenant(slug).await?.unwrap_or_else(|| self.nobodys(""));
        self.challenge(tenant, None, origin).await
    }

    /// Signs a person in who has signed what they were asked to, with a passkey of theirs.
    ///
    /// # Errors
    /// `rate.limited`; `identity.passkey-invalid`, also for somebody who may not come in and for an organisation that does not
    /// exist; and what else refuses a session.
    pub async fn sign_in_with_passkey(
        &self,
        shown: Signed,
        party: &Party<'_>,
        origin: &Origin,
    ) -> Result<SignedIn, Problem> {
        self.figures().sign_in(self.by_passkey(shown, party, origin).await)
    }

    async fn by_passkey(
        &self,
        shown: Signed,
        party: &Party<'_>,
        origin: &Origin,
    ) -> Result<SignedIn, Problem> {
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        let tenant = self.tenant_or_stand_in(&shown.tenant_slug).await?;
        let vault = &self.parts().vault;
        let asked = ceremony::challenge_of(&shown.client_data, Asked::Get, party)?;
        if !vault.take_challenge(tenant, asked, None).await.map_err(unavailable)? {
            return Err(invalid());
        }
        let known = vault.passkey(tenant, &shown.credential).await.map_err(unavailable)?;
        let known = known.ok_or_else(invalid)?;
        let (user, factor) = (known.user, known.factor);
        let link = match &shown.after {
            Some(ticket) => self.link_of_first_half(ticket, tenant, user).await?,
            None => None,
        };
        let counted = ceremony::signed(
            known.algorithm,
            &known.public_key,
            &shown.authenticator_data,
            &shown.client_data,
            &shown.signature,
            party,
        )?;
        if !vault.count_passkey(tenant, factor, counted).await.map_err(unavailable)? {
            self.report_copy(tenant, user, factor, origin).await;
            return Err(invalid());
        }
        let policy = self.policy(tenant).await?;
        let amr = self.shown_by(tenant, user, factor).await?;
        let starting =
            Starting { tenant, user, seen: None, method: Word::of("passkey"), amr, auth_time: Utc::now() };
        let opening = self.opening(starting, &policy)?;
        let check = CheckPasskey { user_id: user, factor_id: factor };
        let unit = Unit::new(tenant, origin.cause(user.actor()), check);
        // Whoever comes from a provider comes by its word too, though the passkey would let them in by itself.
        let unit = match link {
            Some(link) => by_link(unit, user, link),
            None => unit,
        };
        let unit = unit
            .and(tenant, opening.start)
            .minting(session::stream(opening.session))
            .with_vault([opening.family]);
        let position = self.submit(unit).await?.map_err(|refusal| {
            let gone = SECRET.contains(&refusal.code.as_ref()) || refusal.code == "identity.factor-not-found";
            if gone { invalid() } else { refusal.into() }
        })?;
        self.end_beyond(tenant, user, policy.sessions.live_max, origin).await;
        let tokens = self.tokens(tenant, opening.session, user, opening.refresh).await?;
        let email = self.address_of(tenant, user).await?.ok_or_else(invalid)?;
        let device = device::remembered(&self.parts().master, tenant, &email, Utc::now());
        let factor = self.factor_asked(tenant, user).await?;
        Ok(SignedIn { tokens, device, factor, position })
    }

    /// By which link the person of a passkey showed the first half before, if it was by one.
    async fn link_of_first_half(
        &self,
        ticket: &SecretString,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<(LinkId, ProviderId)>, Problem> {
        let (ticket, first) = self.first_half(ticket).await?.ok_or_else(invalid)?;
        if ticket.tenant != tenant || first.user != user {
            return Err(invalid());
        }
        Ok(first.link)
    }

    /// What a passkey shows. By RFC 8176 that is a key that was proven to be there, by an authenticator that asked for a second
    /// factor itself. But one that was added on the word of a provider rests on that for ever.
    async fn shown_by(
        &self,
        tenant: TenantId,
        user: UserId,
        passkey: FactorId,
    ) -> Result<Vec<Word>, Problem> {
        let vouched = self.factors(tenant, user).await?.vouched.contains(&passkey);
        let vouched = vouched && sabotage::stands(Guard::VouchedPasskey);
        let shown = [Word::of("pop"), Word::of("mfa")];
        Ok(vouched.then_some(assurance::VOUCHED).into_iter().chain(shown).collect())
    }

    /// Something that nobody can guess, for a browser to sign, in base64url.
    async fn challenge(
        &self,
        tenant: TenantId,
        user: Option<UserId>,
        origin: &Origin,
    ) -> Result<String, Problem> {
        let challenge: [u8; CHALLENGE_BYTES] = random::bytes()?;
        let (parts, hash) = (self.parts(), sha256(&challenge));
        let whose = parts.limits.origin(tenant, origin.ip, user);
        let gone = parts.vault.put_challenge(tenant, hash, whose, user, CHALLENGE).await;
        self.figures().made_room(Waiting::ToBeSigned, gone.map_err(unavailable)?);
        Ok(URL_SAFE_NO_PAD.encode(challenge))
    }

    /// Tells the log that a passkey counted backwards: somebody may have a copy of it. Whoever asks is answered either way.
    async fn report_copy(&self, tenant: TenantId, user: UserId, factor: FactorId, origin: &Origin) {
        let report = ReportPasskeyRegression { user_id: user, factor_id: factor };
        match self.submit(Unit::new(tenant, origin.cause(user.actor()), report)).await {
            Ok(Ok(_)) => tracing::warn!(factor = %factor, "a passkey counted backwards"),
            Ok(Err(refusal)) => tracing::error!(code = %refusal.code, "a regression was not recorded"),
            Err(problem) => tracing::error!(code = problem.code(), "a regression was not recorded"),
        }
    }
}
