//! What is kept of somebody: what the log says about them, what they hold, and what was said about them in private, while
//! it can still be opened. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use domain::identity::{EmailHash, ErasePerson, User, user};
use domain::ids::{ApiKeyId, InvitationId, TenantId, UserId};
use domain::leaving::Leaving;
use domain::organisation::{Membership, invitation, membership};
use domain::{Decision as _, Refusal, StreamId, View};
use event_store::access::{self, Question};
use event_store::erasure_journal::Erasure;
use event_store::keyring::IndexOf;
use event_store::vault::{LinkRow, PersonLink, Vault};
use service_kit::email::EmailAddress;
use uuid::Uuid;

use super::desk::Desk;
use super::scan::Scan;

/// The scopes of the claims on addresses, on those that are wanted, and on those that are invited.
const EMAIL: &str = domain::identity::EMAIL_SCOPE;
const EMAIL_WANTED: &str = domain::identity::EMAIL_WANTED_SCOPE;
pub(super) const INVITATION: &str = invitation::INVITATION_SCOPE;
/// The field of events that has an address.
pub(super) const EMAIL_FIELD: &str = "payload.email";

/// What the log says that somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody ever was.
    Absent,
    /// They are there.
    Registered(Registered),
    /// They were erased.
    Erased,
}

/// Somebody who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Whether they may act.
    pub active: bool,
    /// The number of their address.
    pub email_version: u32,
    /// Whether they have shown that it is theirs.
    pub email_verified: bool,
    /// The number of the address that they have asked for.
    pub pending_version: Option<u32>,
    /// Whether they are a member of the organisation.
    pub member: bool,
    /// The language in which they are written to.
    pub language: String,
    /// In how many other organisations the same person has users.
    pub linked: usize,
}

/// A text that was said about them in private.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// In which field, such as `payload.email`.
    pub field: String,
    /// The text.
    pub text: String,
}

/// An invitation that was sent to one of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invited {
    /// Which.
    pub id: InvitationId,
    /// The address as the claims know it, while nobody has answered it.
    pub open: Option<EmailHash>,
}

/// A user of another organisation who is the same person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere {
    /// The link to them.
    pub link: PersonLink,
    /// Whether they are there still.
    pub other_stands: bool,
}

/// What is kept of somebody.
pub struct Found {
    /// In which organisation.
    pub tenant: TenantId,
    /// The person; none if they were only invited.
    pub user: Option<UserId>,
    /// What they are.
    pub standing: Standing,
    /// Why they may not be erased.
    pub refusal: Option<Refusal>,
    /// Their address, as the claims know it, while they have one.
    pub email: Option<EmailHash>,
    /// The address that they have asked for.
    pub email_wanted: Option<EmailHash>,
    /// Who they are to other providers.
    pub links: Vec<LinkRow>,
    /// Who they are in other organisations.
    pub elsewhere: Vec<Elsewhere>,
    /// Their API keys that are good.
    pub api_keys: BTreeSet<ApiKeyId>,
    /// Invitations that were sent to them, at an address that they have shown to be theirs.
    pub invitations: Vec<Invited>,
    /// What was said about them in private and can still be opened.
    pub known: BTreeSet<Known>,
    /// The address that is good now, while it can be opened.
    pub address: Option<String>,
    /// All that they have shown to be theirs, while they can be opened.
    pub proven: BTreeSet<String>,
    /// Their keys as they are stored, by organisation.
    pub wrapped: BTreeMap<(TenantId, Uuid), Vec<u8>>,
}

impl Found {
    /// Somebody without an account.
    fn of_nobody(tenant: TenantId, invitations: Vec<Invited>, email: Option<String>) -> Self {
        let known = email.clone().map(|text| Known { field: EMAIL_FIELD.to_owned(), text });
        let (known, proven) = (known.into_iter().collect(), email.into_iter().collect());
        Self {
            tenant,
            user: None,
            standing: Standing::Absent,
            refusal: None,
            email: None,
            email_wanted: None,
            links: Vec::new(),
            elsewhere: Vec::new(),
            api_keys: BTreeSet::new(),
            invitations,
            known,
            address: None,
            proven,
            wrapped: BTreeMap::new(),
        }
    }

    /// Whose keys go.
    pub fn subjects(&self) -> impl Iterator<Item = Uuid> {
        let invitations = self.invitations.iter().map(|it| it.id.uuid());
        self.user.into_iter().map(UserId::uuid).chain(invitations)
    }

    /// What will happen, for whoever is asked whether it shall.
    pub(super) fn consequences(&self) -> String {
        let text = format!(
            "Everything that is kept in private of this person will be unreadable for ever: {} texts, {} sign-in \
             links, {} API keys, {} invitations. Backups do not help: they are erased again when one comes back.",
            self.known.len(),
            self.links.len(),
            self.api_keys.len(),
            self.invitations.len()
        );
        match &self.standing {
            Standing::Registered(Registered { linked, .. }) if *linked > 0 => format!(
                "{text} The same person has users in {linked} other organisations, which stay until they are erased there."
            ),
            _ => text,
        }
    }
}

/// Everything that is kept of a person.
///
/// # Errors
/// If the database does not answer, or the log holds what this build cannot read.
pub async fn person(desk: &Desk, tenant: TenantId, user: UserId) -> anyhow::Result<Found> {
    let mut conn = desk.platform.acquire().await?;
    let seen = access::look(&mut conn, &Asked { tenant, user }).await?;
    drop(conn);
    let (standing, refusal) = (*seen).clone();
    let held = async |scope| {
        let held = claims(desk, tenant, scope, Held::By(user.uuid())).await?;
        anyhow::Ok(held.first().map(|(hash, _)| *hash))
    };
    let (email, email_wanted) = (held(EMAIL).await?, held(EMAIL_WANTED).await?);
    let links = Vault::new(desk.platform.clone()).links_of(tenant, user).await?;
    let elsewhere = elsewhere(desk, tenant, user).await?;
    let mut scan = Scan::of(tenant, Some(user));
    scan.read(desk).await?;
    // The claim says it even where the key is gone. Of an address that they have only asked for, or registered with and never
    // shown to be theirs, the invitations are somebody else's.
    let is_proven = matches!(&standing, Standing::Registered(it) if it.email_verified);
    let invitations = scan.invitations(desk, email.filter(|_| is_proven)).await?;
    let Scan { known, addresses, wrapped, api_keys, .. } = scan;
    let (address, proven) = (addresses.good(), addresses.proven());
    Ok(Found {
        tenant,
        user: Some(user),
        standing,
        refusal,
        email,
        email_wanted,
        links,
        elsewhere,
        api_keys,
        invitations,
        known,
        address,
        proven,
        wrapped,
    })
}

/// Who somebody is in other organisations, whether they are there still or not.
async fn elsewhere(desk: &Desk, tenant: TenantId, user: UserId) -> anyhow::Result<Vec<Elsewhere>> {
    let mut all = Vec::new();
    for link in Vault::new(desk.platform.clone()).person_links(tenant, user).await? {
        let mut conn = desk.platform.acquire().await?;
        let seen =
            access::look(&mut conn, &Asked { tenant: link.other_tenant, user: link.other_user }).await?;
        all.push(Elsewhere { link, other_stands: matches!(seen.0, Standing::Registered(_)) });
    }
    Ok(all)
}

/// Everything that is kept of somebody who was only invited, and has no account.
///
/// # Errors
/// If somebody with an account has that address, or the database does not answer.
pub async fn invited(desk: &Desk, tenant: TenantId, email: &EmailAddress) -> anyhow::Result<Found> {
    let hash = EmailHash::new(desk.master.index(tenant, IndexOf::Email, email.normal().as_bytes()).0);
    if let Some((_, user)) = claims(desk, tenant, EMAIL, Held::Value(hash)).await?.first() {
        anyhow::bail!("a person has that address: erase them with --user {user}");
    }
    let mut scan = Scan::of(tenant, None);
    scan.read(desk).await?;
    let invitations = scan.invitations(desk, Some(hash)).await?;
    let email = Some(email.mailbox().to_owned()).filter(|_| !invitations.is_empty());
    Ok(Found::of_nobody(tenant, invitations, email))
}

/// What is kept of an erasure of somebody who was only invited. The keys are gone, so nothing is known of them.
///
/// # Errors
/// If the database does not answer.
pub async fn of_invitations(desk: &Desk, erasure: &Erasure) -> anyhow::Result<Found> {
    let mut invitations = Vec::new();
    for subject in &erasure.subjects {
        let held = claims(desk, erasure.tenant, INVITATION, Held::By(*subject)).await?;
        let open = held.first().map(|(hash, _)| *hash);
        invitations.push(Invited { id: InvitationId::new(*subject), open });
    }
    Ok(Found::of_nobody(erasure.tenant, invitations, None))
}

/// Who a user is, and whether they may be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Asked {
    tenant: TenantId,
    user: UserId,
}

impl Asked {
    fn leaving(self, registered: Option<&domain::identity::Registered>) -> Leaving {
        let nothing = EmailHash::new([0; 32]);
        let (version, pending) = registered
            .map(|it| (it.email_version, it.email_pending.as_ref().map(|it| it.version)))
            .unwrap_or_default();
        let erase = ErasePerson {
            user_id: self.user,
            receipt: Uuid::nil(),
            email: (version, nothing),
            email_pending: pending.map(|it| (it, nothing)),
        };
        Leaving::new(self.user, Box::new(erase))
    }
}

impl Question for Asked {
    type Answer = (Standing, Option<Refusal>);

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.leaving(None).needs(view);
        needs.extend([user::stream(self.user), membership::stream(self.user)]);
        needs
    }

    fn answer(&self, view: &View<'_>) -> Self::Answer {
        let state = view.find::<User>(self.user.uuid()).map(|seen| seen.state);
        let member = view.find::<Membership>(self.user.uuid()).is_some_and(|seen| seen.state.is_member());
        let standing = match state {
            None | Some(User::Absent) => Standing::Absent,
            Some(User::Erased) => Standing::Erased,
            Some(state @ (User::Active(it) | User::Inactive(it))) => Standing::Registered(Registered {
                active: matches!(state, User::Active(_)),
                email_version: it.email_version,
                email_verified: it.email_verified,
                pending_version: it.email_pending.as_ref().map(|it| it.version),
                member,
                language: it.language.as_str().to_owned(),
                linked: it.links.len(),
            }),
        };
        let leaving = self.leaving(state.and_then(User::registered));
        (standing, leaving.decide(view).err())
    }
}

/// Which claims of a scope.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held {
    /// Those of a stream.
    By(Uuid),
    /// That on a value.
    Value(EmailHash),
}

/// Claims on addresses, with the streams that hold them.
pub(super) async fn claims(
    desk: &Desk,
    tenant: TenantId,
    scope: &str,
    held: Held,
) -> anyhow::Result<Vec<(EmailHash, Uuid)>> {
    let (stream, value) = match held {
        Held::By(stream) => (Some(stream), None),
        Held::Value(hash) => (None, Some(hash.claim_value())),
    };
    let mut tx = desk.serving(&[tenant]).await?;
    let rows = sqlx::query!(
        "select value, stream_id from store.claims
         where tenant_id = $1 and scope = $2 and (stream_id = $3 or value = $4) limit 10",
        tenant.uuid(),
        scope,
        stream,
        value
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    rows.into_iter().map(|it| Ok((hash_of(&it.value)?, it.stream_id))).collect()
}

pub(super) fn hash_of(value: &str) -> anyhow::Result<EmailHash> {
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        let digits = value.get(n * 2..n * 2 + 2).context("a claim on an address is not 32 bytes")?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(EmailHash::new(bytes))
}
