//! What is kept of somebody: what the log says about them, what they hold, and what was said about them in private, while
//! it can still be opened. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context as _;
use domain::application::{ApplicationEvent, KeyOwner};
use domain::identity::{EmailHash, ErasePerson, IdentityEvent, User, user};
use domain::ids::{ApiKeyId, InvitationId, TenantId, UserId};
use domain::leaving::Leaving;
use domain::organisation::{Membership, OrganisationEvent, invitation, membership};
use domain::private::Private;
use domain::{Decision as _, Event, Refusal, StreamId, View};
use event_store::access::{self, Question};
use event_store::erasure_journal::Erasure;
use event_store::keyring::{IndexOf, Place, SubjectKey};
use event_store::log::{self, PAGE_MAX};
use event_store::vault::{Digest, LinkRow, PersonLink, Vault};
use event_store::{MasterKey, Recorded, epoch};
use service_kit::email::EmailAddress;
use uuid::Uuid;

use super::desk::Desk;
use crate::progress::Bar;

/// The scopes of the claims on addresses, on those that are wanted, and on those that are invited.
const EMAIL: &str = domain::identity::EMAIL_SCOPE;
const EMAIL_WANTED: &str = domain::identity::EMAIL_WANTED_SCOPE;
const INVITATION: &str = invitation::INVITATION_SCOPE;

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
    /// Invitations that were sent to them.
    pub invitations: Vec<Invited>,
    /// What was said about them in private and can still be opened.
    pub known: BTreeSet<Known>,
    /// The address that is good now, while it can be opened.
    pub address: Option<String>,
    /// Their keys as they are stored, by organisation.
    pub wrapped: BTreeMap<(TenantId, Uuid), Vec<u8>>,
}

impl Found {
    /// Somebody without an account.
    fn of_nobody(tenant: TenantId, invitations: Vec<Invited>, known: BTreeSet<Known>) -> Self {
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
    let addresses = [email, email_wanted].into_iter().flatten();
    let invitations = scan.invitations(desk, addresses).await?;
    let Scan { known, address, wrapped, api_keys, .. } = scan;
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
    let invitations = scan.invitations(desk, [hash]).await?;
    let text = email.mailbox().to_owned();
    let known = Known { field: "payload.email".to_owned(), text };
    let known = Some(known).filter(|_| !invitations.is_empty()).into_iter().collect();
    Ok(Found::of_nobody(tenant, invitations, known))
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
    Ok(Found::of_nobody(erasure.tenant, invitations, BTreeSet::new()))
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
enum Held {
    /// Those of a stream.
    By(Uuid),
    /// That on a value.
    Value(EmailHash),
}

/// Claims on addresses, with the streams that hold them.
async fn claims(
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

fn hash_of(value: &str) -> anyhow::Result<EmailHash> {
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        let digits = value.get(n * 2..n * 2 + 2).context("a claim on an address is not 32 bytes")?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(EmailHash::new(bytes))
}

/// One reading of the whole log.
struct Scan {
    tenant: TenantId,
    user: Option<UserId>,
    known: BTreeSet<Known>,
    api_keys: BTreeSet<ApiKeyId>,
    wrapped: BTreeMap<(TenantId, Uuid), Vec<u8>>,
    keys: HashMap<(TenantId, Uuid), Option<SubjectKey>>,
    /// To which address each invitation of the organisation went, as the claims would know it.
    sent_to: Vec<(InvitationId, Digest)>,
    accepted: BTreeSet<InvitationId>,
    /// The address that is good, and the one that was asked for.
    address: Option<String>,
    asked_for: Option<String>,
}

impl Scan {
    fn of(tenant: TenantId, user: Option<UserId>) -> Self {
        Self {
            tenant,
            user,
            known: BTreeSet::new(),
            api_keys: BTreeSet::new(),
            wrapped: BTreeMap::new(),
            keys: HashMap::new(),
            sent_to: Vec::new(),
            accepted: BTreeSet::new(),
            address: None,
            asked_for: None,
        }
    }

    async fn read(&mut self, desk: &Desk) -> anyhow::Result<()> {
        let mut conn = desk.projector.acquire().await?;
        let head = epoch::head(&mut conn).await?.position;
        let bar = Bar::new("reading the log", head);
        let mut position = 0;
        while position < head {
            let page = log::after(&mut conn, position, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            position = last.position;
            for recorded in &page {
                self.take(desk, recorded).await?;
            }
            bar.at(position);
        }
        bar.end();
        Ok(())
    }

    async fn take(&mut self, desk: &Desk, recorded: &Recorded) -> anyhow::Result<()> {
        let about =
            matches!(recorded.stream.category.name, "application.api-key" | "organisation.invitation");
        let own = self.user.is_some_and(|it| recorded.stream == user::stream(it));
        let told = recorded.tenant == self.tenant && (about || own);
        // What is said in private about somebody names them, so most events are not even decoded.
        let named = self.user.is_some_and(|it| recorded.payload.contains(&it.to_string()))
            && recorded.payload.contains("$private");
        if !told && !named {
            return Ok(());
        }
        let mut event = recorded.decode().with_context(|| format!("event {}", recorded.event_id))?;
        match &event {
            Event::Application(ApplicationEvent::ApiKeyIssued(it)) if Some(it.owner) == self.owner() => {
                self.api_keys.insert(it.key_id);
            }
            Event::Application(ApplicationEvent::ApiKeyRevoked(it)) => {
                self.api_keys.remove(&it.key_id);
            }
            Event::Organisation(OrganisationEvent::InvitationAccepted(it))
                if Some(it.user_id) == self.user =>
            {
                self.accepted.insert(it.invitation_id);
            }
            Event::Organisation(OrganisationEvent::InvitationSent(it)) => {
                let (id, email) = (it.invitation_id, it.email.clone());
                if let Some(text) = self.open(desk, recorded, "payload.email", &email).await?
                    && let Ok(address) = EmailAddress::parse(&text)
                {
                    let normal = address.normal().as_bytes();
                    self.sent_to.push((id, desk.master.index(self.tenant, IndexOf::Email, normal)));
                }
            }
            Event::Identity(IdentityEvent::EmailChanged(_)) if own => self.address = self.asked_for.take(),
            _ => {}
        }
        let registers = matches!(event, Event::Identity(IdentityEvent::UserRegistered(_)));
        for (field, private) in event.privates() {
            if Some(private.subject()) == self.user.map(UserId::uuid)
                && let Some(text) = self.open(desk, recorded, field, private).await?
            {
                if own && field == "payload.email" {
                    let place = if registers { &mut self.address } else { &mut self.asked_for };
                    *place = Some(text.clone());
                }
                self.known.insert(Known { field: field.to_owned(), text });
            }
        }
        Ok(())
    }

    fn owner(&self) -> Option<KeyOwner> {
        self.user.map(KeyOwner::User)
    }

    /// Opens a private text, if its key is still there.
    async fn open(
        &mut self,
        desk: &Desk,
        recorded: &Recorded,
        path: &str,
        private: &Private,
    ) -> anyhow::Result<Option<String>> {
        let Private::Sealed(sealed) = private else { return Ok(None) };
        let (tenant, subject) = (recorded.tenant, sealed.subject);
        if !self.keys.contains_key(&(tenant, subject)) {
            let wrapped = wrapped_key(desk, tenant, subject).await?;
            let key = wrapped.as_ref().and_then(|it| opened(&desk.master, tenant, subject, it));
            if let Some(wrapped) = wrapped.filter(|_| Some(subject) == self.user.map(UserId::uuid)) {
                self.wrapped.insert((tenant, subject), wrapped);
            }
            // The keys of invitations are used once; those of the person stay.
            if Some(subject) != self.user.map(UserId::uuid) {
                let person = self.user.map(UserId::uuid);
                self.keys.retain(|(_, subject), _| Some(*subject) == person);
            }
            self.keys.insert((tenant, subject), key);
        }
        let Some(Some(key)) = self.keys.get(&(tenant, subject)) else { return Ok(None) };
        let place = Place { tenant, stream: recorded.stream, event_id: recorded.event_id, path };
        Ok(key.open(&place, sealed).ok().and_then(|it| String::from_utf8(it).ok()))
    }

    /// The invitations that were sent to somebody with these addresses, or to one that they have had.
    async fn invitations(
        &self,
        desk: &Desk,
        addresses: impl IntoIterator<Item = EmailHash>,
    ) -> anyhow::Result<Vec<Invited>> {
        let had = self.known.iter().filter(|it| it.field == "payload.email");
        let had = had.filter_map(|it| EmailAddress::parse(&it.text).ok());
        let had = had.map(|it| desk.master.index(self.tenant, IndexOf::Email, it.normal().as_bytes()));
        let had = had.map(|it| EmailHash::new(it.0));
        let hashes: BTreeSet<String> = addresses.into_iter().chain(had).map(EmailHash::claim_value).collect();
        let mut found: BTreeMap<InvitationId, Invited> =
            self.accepted.iter().map(|id| (*id, Invited { id: *id, open: None })).collect();
        for (id, digest) in &self.sent_to {
            if hashes.contains(&EmailHash::new(digest.0).claim_value()) {
                found.insert(*id, Invited { id: *id, open: None });
            }
        }
        // Those that nobody has answered hold a claim, which says so even where the key of the invitation is gone.
        for value in &hashes {
            for (hash, stream) in claims(desk, self.tenant, INVITATION, Held::Value(hash_of(value)?)).await? {
                let id = InvitationId::new(stream);
                found.insert(id, Invited { id, open: Some(hash) });
            }
        }
        Ok(found.into_values().collect())
    }
}

async fn wrapped_key(desk: &Desk, tenant: TenantId, subject: Uuid) -> anyhow::Result<Option<Vec<u8>>> {
    let mut tx = desk.serving(&[tenant]).await?;
    let wrapped = sqlx::query_scalar!(
        "select wrapped from keys.subject_keys where tenant_id = $1 and subject_id = $2",
        tenant.uuid(),
        subject
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(wrapped)
}

fn opened(master: &MasterKey, tenant: TenantId, subject: Uuid, wrapped: &[u8]) -> Option<SubjectKey> {
    master.unwrap(tenant, subject, wrapped).ok()
}
