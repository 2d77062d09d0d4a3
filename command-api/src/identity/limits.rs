//! How often may be done what guesses at secrets, causes letters or costs much: named policies, each with a key of its own.
//!
//! Where secrets are guessed, a policy is shared: one counter of the vault for all processes, in windows that begin with the
//! first try. Elsewhere each process counts by itself. These limits stand beside the lock on guessing at one person
//! ([`super::guessing`]), and nothing that succeeds clears what was counted: an account of one's own clears no limit of an
//! address. Where a guess is what counts, one that was right is given back, and no other.
//!
//! What everybody uses together can be used up by strangers who come from many networks. So whoever signs in on a device that
//! knows them does not use it: they are counted by themselves. And what waits for somebody, of which an organisation has so much
//! and no more, says by a keyed hash whose it is: where room is made, it is taken from whoever has the most
//! (`vault.make_room`).
//!
//! **Invariant:** the same is counted whether an organisation or a person exists.

use std::net::IpAddr;
use std::sync::Arc;

use domain::ids::{TenantId, UserId};
use event_store::MasterKey;
use event_store::keyring::IndexOf;
use event_store::vault::{Digest, Try, Vault, Window};
use service_kit::config::RateConfig;
use service_kit::email::EmailAddress;
use service_kit::layers::network_of;
use service_kit::problem::Problem;
use service_kit::rate::{Limiter, Rate, Standing};
use uuid::Uuid;

use super::{Identity, Origin, unavailable};

/// What is limited for all processes together. Numbers are stored; policies are counted in their order, so what is narrow comes
/// before what is wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum Policy {
    /// Signing in, by address.
    SignIn = 1,
    /// Signing in on a device that is not known, by organisation.
    SignInTenant = 2,
    /// Asking for letters, and registering, by address.
    Recover = 3,
    /// The same, by mail address within an organisation.
    RecoverPerson = 4,
    /// Showing links of letters and codes of one use, by address.
    Links = 5,
    /// Wrong secrets at the token endpoint, by client.
    TokenFailures = 6,
    /// Typing wrong codes of devices, by session.
    UserCodes = 7,
    /// Sending invitations, by member.
    InvitationsMember = 8,
    /// Sending invitations, by organisation.
    Invitations = 9,
    /// Signing in on a device that is known, by person.
    SignInKnown = 10,
    /// Having others asked for another password by a letter, by member.
    LettersMember = 11,
}

/// In the place of a policy: what waits for somebody. No policy has this number.
const WAITS: i16 = 0;

/// What is limited in each process by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalPolicy {
    /// Exchanging refresh tokens, by session.
    Refresh,
    /// Being sent here by services, by address.
    Authorize,
    /// Asking for device codes, by address.
    DeviceCodesAddress,
    /// Asking for device codes, by client.
    DeviceCodes,
    /// Asking for device codes, by all together.
    DeviceCodesAll,
}

impl Policy {
    /// The name by which an answer tells it.
    const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SignInTenant => "sign-in-tenant",
            Self::Recover => "recover",
            Self::RecoverPerson => "recover-person",
            Self::Links => "links",
            Self::TokenFailures => "token-failures",
            Self::UserCodes => "user-codes",
            Self::InvitationsMember => "invitations-member",
            Self::Invitations => "invitations",
            Self::SignInKnown => "sign-in-known",
            Self::LettersMember => "letters-member",
        }
    }

    /// Whether whoever asks is the one who is counted. What others do is nothing to tell, before it is used up.
    const fn is_of_caller(self) -> bool {
        !matches!(self, Self::SignInTenant | Self::RecoverPerson | Self::Invitations)
    }
}

/// One key under one policy.
#[derive(Debug, Clone, Copy)]
pub struct Counted<P = Policy> {
    policy: P,
    tenant: TenantId,
    key: Key,
}

/// Who is counted. Long texts come as their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Network(IpAddr),
    Id(Uuid),
    Hash(Digest),
}

impl Key {
    /// Kinds differ in their first byte, so no two keys are one.
    fn bytes(self) -> Vec<u8> {
        let (kind, rest) = match &self {
            Self::Network(IpAddr::V4(it)) => (4, it.octets().to_vec()),
            Self::Network(IpAddr::V6(it)) => (6, it.octets().to_vec()),
            Self::Id(it) => (1, it.as_bytes().to_vec()),
            Self::Hash(Digest(it)) => (2, it.to_vec()),
        };
        std::iter::once(kind).chain(rest).collect()
    }
}

impl<P> Counted<P> {
    /// An address from which somebody asks; of IPv6, its /64.
    #[must_use]
    pub fn address(policy: P, address: IpAddr) -> Self {
        Self { policy, tenant: TenantId::PLATFORM, key: Key::Network(network_of(address)) }
    }

    /// Something of an organisation that has an identifier: a person, a session, a client.
    #[must_use]
    pub const fn id(policy: P, tenant: TenantId, id: Uuid) -> Self {
        Self { policy, tenant, key: Key::Id(id) }
    }

    /// An organisation.
    #[must_use]
    pub const fn tenant(policy: P, tenant: TenantId) -> Self {
        Self::id(policy, tenant, tenant.uuid())
    }

    /// Something of which a keyed hash is known, such as a mail address.
    #[must_use]
    pub const fn hash(policy: P, tenant: TenantId, hash: Digest) -> Self {
        Self { policy, tenant, key: Key::Hash(hash) }
    }
}

/// All limits of this process, and its part in those that are shared.
#[derive(Debug)]
pub struct Limits {
    vault: Vault,
    master: Arc<MasterKey>,
    rates: RateConfig,
    refresh: Option<Limiter<Counter>>,
    authorize: Option<Limiter<Counter>>,
    device_codes_address: Option<Limiter<Counter>>,
    device_codes: Option<Limiter<Counter>>,
    device_codes_all: Option<Limiter<Counter>>,
}

type Counter = (TenantId, Key);

impl Limits {
    /// Limits with these rates.
    #[must_use]
    pub fn new(vault: Vault, master: Arc<MasterKey>, rates: RateConfig) -> Self {
        Self {
            vault,
            master,
            refresh: Limiter::new("refresh", rates.rate_refresh),
            authorize: Limiter::new("authorize", rates.rate_authorize),
            device_codes_address: Limiter::new("device-codes-address", rates.rate_device_codes_address),
            device_codes: Limiter::new("device-codes", rates.rate_device_codes),
            device_codes_all: Limiter::new("device-codes-all", rates.rate_device_codes_all),
            rates,
        }
    }

    /// Counts one thing of which each process counts by itself. Nothing is waited for.
    ///
    /// # Errors
    /// 429 `rate.limited`.
    pub fn check_here(&self, counted: Counted<LocalPolicy>) -> Result<(), Problem> {
        let limiter = match counted.policy {
            LocalPolicy::Refresh => &self.refresh,
            LocalPolicy::Authorize => &self.authorize,
            LocalPolicy::DeviceCodesAddress => &self.device_codes_address,
            LocalPolicy::DeviceCodes => &self.device_codes,
            LocalPolicy::DeviceCodesAll => &self.device_codes_all,
        };
        let Some(limiter) = limiter else { return Ok(()) };
        let standing = limiter.check(&(counted.tenant, counted.key))?;
        if counted.policy != LocalPolicy::DeviceCodesAll {
            standing.note();
        }
        Ok(())
    }

    /// Counts one try under each of these, in the order of their policies, up to the first that is used up: what that one
    /// refuses, those after it do not count. Call it before anything is looked at.
    ///
    /// # Errors
    /// 429 `rate.limited` with how long to wait; `store.unavailable`.
    pub async fn check<const N: usize>(&self, mut counted: [Counted; N]) -> Result<(), Problem> {
        counted.sort_unstable_by_key(|it| it.policy);
        let asked: Vec<_> = counted.into_iter().filter_map(|it| Some((it.policy, self.a_try(it)?))).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let tries: Vec<Try> = asked.iter().map(|(_, it)| *it).collect();
        let windows = self.vault.count_tries(&tries).await.map_err(unavailable)?;
        for ((policy, asked), window) in asked.iter().zip(windows) {
            if window.used > asked.most {
                return Err(self.standing(*policy, 0, window).refused(window.ends_in));
            }
            if policy.is_of_caller() {
                self.standing(*policy, asked.most - window.used, window).note();
            }
        }
        Ok(())
    }

    /// Whether anything is left under a policy that counts what failed. Counts nothing: that is done with [`Limits::failed`], once
    /// it did. So of many at once, some more may come through than are left; use it only where a guess is hopeless by itself.
    ///
    /// # Errors
    /// 429 `rate.limited` with how long to wait; `store.unavailable`.
    pub async fn look(&self, counted: Counted) -> Result<(), Problem> {
        let Some(asked) = self.a_try(counted) else { return Ok(()) };
        match self.vault.look_at_tries(&asked).await.map_err(unavailable)? {
            Some(window) if window.used >= asked.most => {
                Err(self.standing(counted.policy, 0, window).refused(window.ends_in))
            }
            _ => Ok(()),
        }
    }

    /// Gives back the one try that [`Limits::check`] counted, since it was no guess.
    ///
    /// # Errors
    /// `store.unavailable`; then it stays counted.
    pub async fn give_back(&self, counted: Counted) -> Result<(), Problem> {
        let Some(asked) = self.a_try(counted) else { return Ok(()) };
        self.vault.give_back_try(&asked).await.map_err(unavailable)
    }

    /// Counts something that failed. Refuses nothing: whoever asked is told why it failed.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub async fn failed(&self, counted: Counted) -> Result<(), Problem> {
        let Some(asked) = self.a_try(counted) else { return Ok(()) };
        self.vault.count_tries(&[asked]).await.map_err(unavailable)?;
        Ok(())
    }

    /// What the vault counts; nothing where there is no limit.
    fn a_try(&self, counted: Counted) -> Option<Try> {
        let Counted { policy, tenant, key } = counted;
        let rate = self.rate(policy);
        let most = rate.most()?.get();
        let subject = self.subject(tenant, policy as i16, key);
        Some(Try { tenant, policy: policy as i16, subject, most, span: rate.span() })
    }

    /// Whose it is what waits in a tenant for somebody who is on their way in: of the network from which they come, or of the
    /// person if they are signed in. It tells neither to whoever reads it.
    pub(crate) fn origin(&self, tenant: TenantId, address: IpAddr, user: Option<UserId>) -> Digest {
        let network = || Key::Network(network_of(address));
        self.subject(tenant, WAITS, user.map_or_else(network, |it| Key::Id(it.uuid())))
    }

    fn subject(&self, tenant: TenantId, policy: i16, key: Key) -> Digest {
        let text: Vec<u8> = policy.to_be_bytes().into_iter().chain(key.bytes()).collect();
        self.master.index(tenant, IndexOf::Rates, &text)
    }

    fn standing(&self, policy: Policy, remaining: u32, window: Window) -> Standing {
        Standing::new(policy.name(), self.rate(policy), remaining, window.ends_in)
    }

    const fn rate(&self, policy: Policy) -> Rate {
        let it = &self.rates;
        match policy {
            Policy::SignIn => it.rate_sign_in,
            Policy::SignInTenant => it.rate_sign_in_tenant,
            Policy::Recover => it.rate_recover,
            Policy::RecoverPerson => it.rate_recover_person,
            Policy::Links => it.rate_links,
            Policy::TokenFailures => it.rate_token_failures,
            Policy::UserCodes => it.rate_user_codes,
            Policy::InvitationsMember => it.rate_invitations_member,
            Policy::Invitations => it.rate_invitations,
            Policy::SignInKnown => it.rate_sign_in_known,
            Policy::LettersMember => it.rate_letters_member,
        }
    }
}

impl Identity {
    /// How often may be tried.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.parts().limits
    }

    /// Counts what causes a letter to an address, whether anybody there is known or not.
    pub(super) async fn causes_a_letter(
        &self,
        tenant: TenantId,
        email: &EmailAddress,
        origin: &Origin,
    ) -> Result<(), Problem> {
        self.count_letter(tenant, email, Counted::address(Policy::Recover, origin.ip)).await
    }

    /// Counts a letter that a member has sent to another. Strangers behind the same address do not use up what members may.
    pub(super) async fn has_a_letter_sent(
        &self,
        tenant: TenantId,
        email: &EmailAddress,
        by: Uuid,
    ) -> Result<(), Problem> {
        self.count_letter(tenant, email, Counted::id(Policy::LettersMember, tenant, by)).await
    }

    async fn count_letter(&self, tenant: TenantId, email: &EmailAddress, by: Counted) -> Result<(), Problem> {
        let person = Counted::hash(Policy::RecoverPerson, tenant, self.email_index(tenant, email));
        self.limits().check([by, person]).await
    }
}
