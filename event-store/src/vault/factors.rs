//! Second factors: seeds of authenticators, recovery codes, and tickets, each of which stands for the first half of a
//! sign-in. What a code must be is `command-api`'s to compute, and who is let in the domain's to say.
//!
//! Whatever is good once is taken by one statement: of any number who show it, in however many processes, one gets it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{FactorId, LinkId, ProviderId, TenantId, UserId};
use sabotage::Guard;
use serde::Serialize;
use uuid::Uuid;

use super::signing_keys::HexBytes;
use super::{AttemptKind, Digest, Vault, interval};
use crate::keyring::{Cell, KeyError, MasterKey};

/// The seed of an authenticator, sealed.
#[derive(Clone)]
pub struct SealedSeed {
    tenant: TenantId,
    user: UserId,
    factor: FactorId,
    sealed: HexBytes,
}

impl SealedSeed {
    /// Seals a seed.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn seal(
        tenant: TenantId,
        user: UserId,
        factor: FactorId,
        seed: &[u8],
        master: &MasterKey,
    ) -> Result<Self, KeyError> {
        let sealed = master.seal_cell(&cell(tenant, factor), seed)?;
        Ok(Self { tenant, user, factor, sealed: HexBytes(sealed) })
    }

    /// Which authenticator's it is.
    #[must_use]
    pub const fn factor(&self) -> FactorId {
        self.factor
    }

    /// The seed.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] if it was sealed elsewhere or with another master key.
    pub fn open(&self, master: &MasterKey) -> Result<Vec<u8>, KeyError> {
        master.open_cell(&cell(self.tenant, self.factor), &self.sealed.0)
    }

    /// The change that enrols it. A code of `step` proved it, and is used up.
    #[must_use]
    pub fn enrolled(self, step: u64) -> NewTotp {
        let Self { tenant, user, factor, sealed } = self;
        NewTotp { tenant, user, factor, sealed, step }
    }
}

/// An offered seed has the cell that it has once it is enrolled: factors have fresh identifiers.
const fn cell(tenant: TenantId, factor: FactorId) -> Cell<'static> {
    Cell { table: "totp", tenant, row: factor.uuid(), column: "sealed" }
}

/// An authenticator that is enrolled, on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewTotp {
    tenant: TenantId,
    user: UserId,
    factor: FactorId,
    sealed: HexBytes,
    step: u64,
}

/// The first half of a sign-in: what was shown and found right.
#[derive(Clone)]
pub struct FirstHalf {
    /// Who.
    pub user: UserId,
    /// The counter of guesses that goes on counting.
    pub counter: (AttemptKind, Digest),
    /// How they sign in, such as `password`.
    pub method: String,
    /// What they showed, in the words of RFC 8176.
    pub amr: Vec<String>,
    /// When.
    pub auth_time: DateTime<Utc>,
    /// The number of the password that was right, if one was.
    pub seen: Option<i32>,
    /// The same password at a newer cost, as Argon2id in the PHC format with its pepper, if it is to be kept so.
    pub renewed: Option<(String, i16)>,
    /// By which link a provider vouched, if one did.
    pub link: Option<(LinkId, ProviderId)>,
}

/// A ticket that somebody shows.
#[derive(Debug, Clone, Copy)]
pub struct ShownTicket {
    /// The tenant that it names.
    pub tenant: TenantId,
    /// The ticket that it names.
    pub ticket: Uuid,
    /// The hash of the secret that came with it.
    pub hash: Digest,
}

impl Vault {
    /// Keeps a seed that is shown, in the place of one that was shown before. It is no factor yet.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn offer_totp(&self, seed: &SealedSeed, lasts: Duration) -> sqlx::Result<()> {
        sqlx::query!(
            "select vault.offer_totp($1, $2, $3, $4, $5)",
            seed.tenant.uuid(),
            seed.user.uuid(),
            seed.factor.uuid(),
            &seed.sealed.0,
            interval(lasts),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The seed that was shown to a person last, while it can be enrolled.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn offered_totp(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Option<SealedSeed>> {
        let row = sqlx::query!(
            r#"select factor_id as "factor!", sealed as "sealed!" from vault.offered_totp($1, $2)"#,
            tenant.uuid(),
            user.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let seed = |factor, sealed| SealedSeed { tenant, user, factor: FactorId::new(factor), sealed };
        Ok(row.map(|it| seed(it.factor, HexBytes(it.sealed))))
    }

    /// The seed of a person's authenticator.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn totp_of(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Option<SealedSeed>> {
        let row = sqlx::query!(
            r#"select factor_id as "factor!", sealed as "sealed!" from vault.totp_of($1, $2)"#,
            tenant.uuid(),
            user.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let seed = |factor, sealed| SealedSeed { tenant, user, factor: FactorId::new(factor), sealed };
        Ok(row.map(|it| seed(it.factor, HexBytes(it.sealed))))
    }

    /// Takes the code of a step, once, and with it the ticket that it is shown with, or neither: no code of that step or an
    /// earlier one is good from then on (RFC 6238 section 5.2). False if one of them was taken before.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether the code was taken.
    pub async fn use_totp_step(
        &self,
        seed: &SealedSeed,
        step: u64,
        ticket: Option<&ShownTicket>,
    ) -> sqlx::Result<bool> {
        let (ticket, hash) = ticket.map(|it| (it.ticket, &it.hash.0[..])).unzip();
        let taken = sqlx::query_scalar!(
            r#"select vault.use_totp_step($1, $2, $3, $4, $5, $6) as "taken!""#,
            seed.tenant.uuid(),
            seed.user.uuid(),
            seed.factor.uuid(),
            i64::try_from(step).unwrap_or(i64::MAX),
            ticket,
            hash,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(taken || !sabotage::stands(Guard::TotpStep))
    }

    /// Takes a recovery code, once, and with it the ticket that it is shown with, or neither. False if one of them is not
    /// there.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether the code was taken.
    pub async fn take_recovery_code(
        &self,
        tenant: TenantId,
        user: UserId,
        shown: Digest,
        ticket: &ShownTicket,
    ) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select vault.take_recovery_code($1, $2, $3, $4, $5) as "taken!""#,
            tenant.uuid(),
            user.uuid(),
            &shown.0[..],
            ticket.ticket,
            &ticket.hash.0[..],
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Remembers the first half of a sign-in under a ticket. If it was a guess, that is taken back, since it was right:
    /// `most` is how many guesses there are until the lock.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_ticket(
        &self,
        ticket: &ShownTicket,
        first: &FirstHalf,
        most: Option<u16>,
        lasts: Duration,
    ) -> sqlx::Result<()> {
        let (kind, subject) = first.counter;
        let (phc, pepper) = first.renewed.as_ref().map(|(phc, pepper)| (phc.as_str(), *pepper)).unzip();
        let (link, provider) = first.link.map(|(link, provider)| (link.uuid(), provider.uuid())).unzip();
        sqlx::query!(
            "select vault.put_ticket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            ticket.tenant.uuid(),
            ticket.ticket,
            &ticket.hash.0[..],
            first.user.uuid(),
            kind.code(),
            &subject.0[..],
            most.map(i32::from),
            first.method,
            &first.amr,
            first.auth_time,
            first.seen,
            phc,
            pepper,
            link,
            provider,
            interval(lasts),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The first half of a sign-in that a ticket stands for, if the ticket is good. Looking takes nothing.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn ticket(&self, shown: &ShownTicket) -> sqlx::Result<Option<FirstHalf>> {
        let row = sqlx::query!(
            r#"select user_id as "user!", kind as "kind!", subject as "subject!", method as "method!", amr as "amr!",
                      auth_time as "auth_time!", seen, phc, pepper, link_id, provider_id
               from vault.ticket($1, $2, $3)"#,
            shown.tenant.uuid(),
            shown.ticket,
            &shown.hash.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kind = AttemptKind::of(row.kind)
            .ok_or_else(|| sqlx::Error::Decode(format!("{} is no kind of guess", row.kind).into()))?;
        // The table takes 32 bytes and nothing else.
        let subject = Digest(row.subject.try_into().unwrap_or_default());
        let link = row.link_id.zip(row.provider_id);
        Ok(Some(FirstHalf {
            user: UserId::new(row.user),
            counter: (kind, subject),
            method: row.method,
            amr: row.amr,
            auth_time: row.auth_time,
            seen: row.seen,
            renewed: row.phc.zip(row.pepper),
            link: link.map(|(link, provider)| (LinkId::new(link), ProviderId::new(provider))),
        }))
    }
}
