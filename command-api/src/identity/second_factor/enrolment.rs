//! How second factors come and go, by the person or by an administrator.
//!
//! Whoever changes what they sign in with has shown who they are a moment ago, in person, and by two factors if they have any
//! but the password: that alone neither takes an authenticator or a passkey away, nor sets another one beside it, nor gets new
//! recovery codes (OWASP ASVS 5.0, 6.4.4 and 7.5.1). The person is written to whenever it happens.

use std::time::Duration;

use chrono::Utc;
use domain::enrolling::Enrolling;
use domain::gate::{Gate, GateError, Gated};
use domain::identity::factors::Factors;
use domain::identity::{
    EndSessions, EnrolTotp, IdentityError, IssueRecoveryCodes, Registered, RemoveAllFactors, RemoveFactor,
    StrengthenSession, assurance,
};
use domain::ids::{ActorId, FactorId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{Granter, SecondFactor};
use domain::outranking::Outranking;
use domain::private::Private;
use domain::words::Word;
use domain::{Decision, Refusal};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{FactorChange, Language, Letter, Mail, SealedSeed, Slip, VaultChange};
use sabotage::Guard;
use service_kit::access::STEP_UP_WITHIN;
use service_kit::permissions::role_table;
use service_kit::problem::{Problem, code};
use service_kit::random;
use uuid::Uuid;

use super::super::displacing::another_way_in;
use super::super::facts::Stands;
use super::super::limits::{Counted, Policy as Limit};
use super::super::recovery_codes::{COUNT, RecoveryCode};
use super::super::sessions::{InSession, ending_all};
use super::super::{Identity, Origin, totp, unavailable};

/// How long somebody may take to put a seed into their authenticator.
const OFFER: Duration = Duration::from_secs(600);

/// A seed, as it is shown once.
pub struct Offered {
    /// The authenticator that it would be.
    pub factor: FactorId,
    /// The seed in letters.
    pub secret: String,
    /// The same as a picture holds it.
    pub uri: String,
    /// Seconds for which it can be enrolled.
    pub expires_in: u64,
}

/// Recovery codes, as they are shown once.
pub struct Issued {
    /// The codes.
    pub codes: Vec<String>,
    /// Up to here the log says that they were issued.
    pub position: LogPosition,
}

/// What takes every factor of a person away: the commands and what goes with them.
pub struct Removal {
    /// The commands.
    pub commands: [Box<dyn Decision>; 2],
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

pub(in crate::identity) fn refused(error: impl Into<Refusal>) -> Problem {
    error.into().into()
}

/// The gate of what changes how the person of a session signs in: by their own hand, and by a further factor if they have one.
pub(in crate::identity) fn over_ways_in(who: InSession) -> Gate {
    let gate = who.gate().while_pending().own_hand();
    if sabotage::stands(Guard::OwnFactor) { gate.over_ways_in() } else { gate }
}

/// A command about the own account, behind the gate that asks once more, at the commit, whether the person showed who they
/// are a moment ago, and by a further factor if they have one: of two who enrol the first at once, one does. And whether their
/// address is theirs.
pub(in crate::identity) fn in_person(who: InSession, command: impl Decision + 'static) -> Gated {
    Gated::new(over_ways_in(who).fresh_within(STEP_UP_WITHIN), another_way_in(who.user, command))
}

impl Identity {
    /// Shows a person the seed of an authenticator that they could enrol. `host` is where they sign in: authenticators
    /// show it behind the name of the organisation.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are; `identity.factors-off`, `identity.factor-exists`.
    pub async fn offer_totp(&self, who: InSession, host: &str) -> Result<Offered, Problem> {
        self.may_enrol_totp(who).await?;
        let factor = FactorId::new(Uuid::now_v7());
        let plain: [u8; totp::SEED_BYTES] = random::bytes()?;
        let parts = self.parts();
        let seed = SealedSeed::seal(who.tenant, who.user, factor, &plain, &parts.master);
        let seed = seed.map_err(|error| Problem::fault(&error))?;
        let offered = self.offered(who, factor, &plain, host).await?;
        parts.vault.offer_totp(&seed, OFFER).await.map_err(unavailable)?;
        Ok(offered)
    }

    /// Whether a person could enrol an authenticator now.
    ///
    /// # Errors
    /// If not, as [`Identity::offer_totp`].
    pub async fn may_enrol_totp(&self, who: InSession) -> Result<(), Problem> {
        let (_, known) = self.fresh(who).await?;
        self.lets_enrol(who.tenant).await?;
        if known.totp.is_some() { Err(refused(IdentityError::FactorExists)) } else { Ok(()) }
    }

    /// The seed of this authenticator once more, if it is the one that was shown last. Ask only for whoever was shown it.
    ///
    /// # Errors
    /// As [`Identity::offer_totp`]; `identity.factor-not-found` if another was shown since, or this one too long ago.
    pub async fn offered_totp(
        &self,
        who: InSession,
        factor: Option<FactorId>,
        host: &str,
    ) -> Result<Offered, Problem> {
        self.may_enrol_totp(who).await?;
        let parts = self.parts();
        let seed = parts.vault.offered_totp(who.tenant, who.user).await.map_err(unavailable)?;
        let seed = seed.filter(|it| factor == Some(it.factor()));
        let seed = seed.ok_or_else(|| refused(IdentityError::FactorNotFound))?;
        let plain = seed.open(&parts.master).map_err(|error| Problem::fault(&error))?;
        self.offered(who, seed.factor(), &plain, host).await
    }

    /// A seed, as it is shown to a person.
    async fn offered(
        &self,
        who: InSession,
        factor: FactorId,
        plain: &[u8],
        host: &str,
    ) -> Result<Offered, Problem> {
        let email = self.address_of(who.tenant, who.user).await?;
        let email = email.ok_or_else(|| refused(IdentityError::PersonErased))?;
        let called = self.organisation_called(who.tenant).await?;
        let issuer = called.map_or_else(|| host.to_owned(), |it| totp::issuer(&it.name, host));
        Ok(Offered {
            factor,
            secret: totp::text(plain),
            uri: totp::uri(plain, &issuer, email.mailbox()),
            expires_in: OFFER.as_secs(),
        })
    }

    /// Enrols the authenticator whose seed was shown last, with a code that shows that it has it. The session has shown two
    /// factors from then on; when it last showed the first one stays as it was.
    ///
    /// # Errors
    /// `rate.limited`; what refuses somebody who has not shown who they are; `identity.factors-off`, `identity.factor-exists`;
    /// `identity.factor-not-found` if nothing was shown, or too long ago; `identity.code-invalid`.
    pub async fn enrol_totp(
        &self,
        who: InSession,
        shown: &str,
        label: Option<Label>,
        origin: &Origin,
    ) -> Result<Issued, Problem> {
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        let (stands, known) = self.fresh(who).await?;
        if known.totp.is_some() {
            return Err(refused(IdentityError::FactorExists));
        }
        let parts = self.parts();
        let seed = parts.vault.offered_totp(who.tenant, who.user).await.map_err(unavailable)?;
        let seed = seed.ok_or_else(|| refused(IdentityError::FactorNotFound))?;
        let plain = seed.open(&parts.master).map_err(|error| Problem::fault(&error))?;
        let step = totp::step_of(&plain, shown, Utc::now());
        let step = step.ok_or_else(|| Problem::new(&code::CODE_INVALID, ""))?;
        let label = label.map(|it| Private::new(who.user.uuid(), it.as_str()));
        let enrol = EnrolTotp { user_id: who.user, factor_id: seed.factor(), label };
        let strengthen = StrengthenSession {
            session_id: who.session,
            method: Word::of("totp"),
            amr: vec![Word::of("otp")],
            auth_time: stands.session.auth_time,
            seen: None,
        };
        let (issue, codes, keep) = issuing(who)?;
        let vault = [VaultChange::PutTotp(seed.enrolled(step)), keep];
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::Added).await?;
        let unit =
            Unit::new(who.tenant, origin.cause(who.user.actor()), in_person(who, Enrolling::new(enrol)))
                .and(who.tenant, issue)
                .and(who.tenant, strengthen)
                .with_vault(vault.into_iter().chain(letter));
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok(Issued { codes, position })
    }

    /// Takes the authenticator of a person away, and the recovery codes with it.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are; `identity.factor-not-found`.
    pub async fn remove_totp(&self, who: InSession, origin: &Origin) -> Result<LogPosition, Problem> {
        let (_, known) = self.fresh(who).await?;
        let factor_id = known.totp.ok_or_else(|| refused(IdentityError::FactorNotFound))?;
        let remove = RemoveFactor { user_id: who.user, factor_id, because: Word::of("asked") };
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::Removed).await?;
        let drop = VaultChange::DropTotp { tenant: who.tenant, user: who.user.uuid() };
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), in_person(who, remove))
            .with_vault([drop].into_iter().chain(letter));
        self.submit(unit).await?.map_err(Problem::from)
    }

    /// Gives a person other recovery codes.
    ///
    /// # Errors
    /// `rate.limited`; what refuses somebody who has not shown who they are; `identity.factor-not-found` if there is no authenticator to
    /// recover from.
    pub async fn renew_recovery_codes(&self, who: InSession, origin: &Origin) -> Result<Issued, Problem> {
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        self.fresh(who).await?;
        let (issue, codes, keep) = issuing(who)?;
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::CodesRenewed).await?;
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), in_person(who, issue))
            .with_vault([keep].into_iter().chain(letter));
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok(Issued { codes, position })
    }

    /// What an administrator does for somebody who has lost their factors. All sessions end. Where there are none it is refused:
    /// nobody is signed out, or written to, for nothing.
    ///
    /// # Errors
    /// If the letter cannot be written.
    pub async fn removal_of_factors(
        &self,
        tenant: TenantId,
        user: UserId,
        granter: Granter,
        by: ActorId,
    ) -> Result<Removal, Problem> {
        let remove = RemoveAllFactors { user_id: user, because: Word::of("administrator"), must_have: true };
        let remove = Outranking::new(granter, role_table(tenant).clone(), user, Box::new(remove));
        let (end, revoke): (EndSessions, _) = ending_all(tenant, user, None, "factors-removed", by);
        let letter = self.factor_letter(tenant, user, FactorChange::RemovedByAdministrator).await?;
        let drop = VaultChange::DropFactors { tenant, user: user.uuid() };
        Ok(Removal {
            commands: [Box::new(remove), Box::new(end)],
            vault: [drop, revoke].into_iter().chain(letter).collect(),
        })
    }

    /// Spares somebody the way to an enrolment that the rule would refuse: what is asked at the commit, asked before.
    pub(in crate::identity) async fn lets_enrol(&self, tenant: TenantId) -> Result<(), Problem> {
        if self.may_enrol(tenant).await? { Ok(()) } else { Err(refused(IdentityError::FactorsOff)) }
    }

    /// Whether an organisation lets its people enrol factors.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn may_enrol(&self, tenant: TenantId) -> Result<bool, Problem> {
        Ok(self.policy(tenant).await?.second_factor != SecondFactor::Off)
    }

    /// How the session of somebody stands who may change what they sign in with, if they show that they know what they sign in
    /// with now.
    ///
    /// # Errors
    /// `auth.session-ended`, `auth.second-factor-missing`, `identity.own-proof-required`.
    pub(in crate::identity) async fn over_ways_in(
        &self,
        who: InSession,
    ) -> Result<(Stands, Factors), Problem> {
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        let stands = stands.as_ref().clone().ok_or_else(|| refused(GateError::SessionEnded))?;
        let known = self.factors(who.tenant, who.user).await?;
        if known.is_some() && !assurance::is_multi_factor(&stands.session.amr) {
            return Err(refused(GateError::SecondFactorMissing));
        }
        if stands.session.came_by.is_some() {
            return Err(refused(IdentityError::OwnProofRequired));
        }
        Ok((stands, known))
    }

    /// The same of somebody who has just shown who they are.
    pub(in crate::identity) async fn fresh(&self, who: InSession) -> Result<(Stands, Factors), Problem> {
        let (stands, known) = self.over_ways_in(who).await?;
        let person = self.person_in_log(who.tenant, who.user).await?;
        if person.registered().is_some_and(Registered::is_unproven) {
            return Err(refused(IdentityError::EmailUnverified));
        }
        if stands.session.impersonation_id.is_some() {
            return Err(refused(GateError::ActsForAnother));
        }
        if Utc::now() - stands.session.auth_time >= STEP_UP_WITHIN {
            return Err(refused(GateError::StepUpRequired { within_s: STEP_UP_WITHIN.num_seconds() }));
        }
        Ok((stands, known))
    }

    /// A person makes a key that acts for them: another way in. The command behind the gate of whoever may, and the letter that
    /// tells them.
    ///
    /// # Errors
    /// If the letter cannot be written.
    pub async fn own_key(
        &self,
        who: InSession,
        issue: Box<dyn Decision>,
    ) -> Result<(Gated, Option<VaultChange>), Problem> {
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::KeyIssued).await?;
        Ok((Gated::new(over_ways_in(who), issue), letter))
    }

    /// The letter that tells a person what became of their factors. None for somebody who is not there.
    pub(in crate::identity) async fn factor_letter(
        &self,
        tenant: TenantId,
        user: UserId,
        change: FactorChange,
    ) -> Result<Option<VaultChange>, Problem> {
        let Some(email) = self.address_of(tenant, user).await? else { return Ok(None) };
        let policy = self.policy(tenant).await?;
        let letter = Letter {
            to: email.mailbox().to_owned(),
            language: Language::nearest(policy.language.as_str()),
            mail: Mail::FactorsChanged { change, at: Utc::now() },
        };
        let mail = Uuid::now_v7();
        let slip = Slip { tenant, mail, user: Some(user.uuid()), dedupe: format!("factors-changed:{mail}") };
        letter.queued(slip, &self.parts().master).map(Some).map_err(|error| Problem::fault(&error))
    }
}

/// The command that issues recovery codes, the codes, and what keeps them.
fn issuing(who: InSession) -> Result<(IssueRecoveryCodes, Vec<String>, VaultChange), Problem> {
    let made = (0..COUNT).map(|_| RecoveryCode::make()).collect::<Result<Vec<_>, _>>()?;
    let hashes = made.iter().map(RecoveryCode::hash).collect();
    let keep = VaultChange::PutRecoveryCodes { tenant: who.tenant, user: who.user.uuid(), hashes };
    let issue = IssueRecoveryCodes { user_id: who.user, count: COUNT };
    Ok((issue, made.iter().map(RecoveryCode::text).collect(), keep))
}
