//! One reading of the whole log for somebody: what was said about them in private, what they hold, and which addresses are theirs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context as _;
use domain::Event;
use domain::application::{ApplicationEvent, KeyOwner};
use domain::identity::{EmailHash, IdentityEvent, user};
use domain::ids::{ApiKeyId, InvitationId, TenantId, UserId};
use domain::organisation::OrganisationEvent;
use domain::private::Private;
use event_store::keyring::{IndexOf, Place, SubjectKey};
use event_store::log::{self, PAGE_MAX};
use event_store::vault::Digest;
use event_store::{MasterKey, Recorded, epoch};
use service_kit::email::EmailAddress;
use uuid::Uuid;

use super::desk::Desk;
use super::found::{EMAIL_FIELD, Held, INVITATION, Invited, Known, claims, hash_of};
use crate::progress::Bar;

/// The number of the address with which somebody registers.
const FIRST: u32 = 1;

/// The addresses that somebody has had or asked for, by number.
#[derive(Default)]
pub(super) struct Addresses {
    /// As far as they can be opened.
    texts: BTreeMap<u32, String>,
    /// Those that they have shown to be theirs.
    proven: BTreeSet<u32>,
    /// The one that is good.
    good: u32,
}

impl Addresses {
    fn take(&mut self, event: &IdentityEvent) {
        match event {
            IdentityEvent::UserRegistered(it) => {
                self.good = FIRST;
                self.proven.extend(it.verified.then_some(FIRST));
            }
            IdentityEvent::EmailVerified(it) => {
                self.proven.insert(it.email_version);
            }
            IdentityEvent::EmailChanged(it) => {
                self.good = it.email_version;
                self.proven.insert(it.email_version);
            }
            _ => {}
        }
    }

    /// The one that is good.
    pub(super) fn good(&self) -> Option<String> {
        self.texts.get(&self.good).cloned()
    }

    /// Those that they have shown to be theirs.
    pub(super) fn proven(&self) -> BTreeSet<String> {
        self.proven.iter().filter_map(|number| self.texts.get(number).cloned()).collect()
    }
}

/// The number of the address that an event brings.
const fn number_of(event: &Event) -> Option<u32> {
    match event {
        Event::Identity(IdentityEvent::UserRegistered(_)) => Some(FIRST),
        Event::Identity(IdentityEvent::EmailChangeRequested(it)) => Some(it.email_version),
        _ => None,
    }
}

/// One reading of the whole log.
pub(super) struct Scan {
    tenant: TenantId,
    user: Option<UserId>,
    pub(super) known: BTreeSet<Known>,
    pub(super) api_keys: BTreeSet<ApiKeyId>,
    pub(super) wrapped: BTreeMap<(TenantId, Uuid), Vec<u8>>,
    keys: HashMap<(TenantId, Uuid), Option<SubjectKey>>,
    /// To which address each invitation of the organisation went, as the claims would know it.
    sent_to: Vec<(InvitationId, Digest)>,
    accepted: BTreeSet<InvitationId>,
    pub(super) addresses: Addresses,
}

impl Scan {
    pub(super) fn of(tenant: TenantId, user: Option<UserId>) -> Self {
        Self {
            tenant,
            user,
            known: BTreeSet::new(),
            api_keys: BTreeSet::new(),
            wrapped: BTreeMap::new(),
            keys: HashMap::new(),
            sent_to: Vec::new(),
            accepted: BTreeSet::new(),
            addresses: Addresses::default(),
        }
    }

    pub(super) async fn read(&mut self, desk: &Desk) -> anyhow::Result<()> {
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
                if let Some(text) = self.open(desk, recorded, EMAIL_FIELD, &email).await?
                    && let Ok(address) = EmailAddress::parse(&text)
                {
                    let normal = address.normal().as_bytes();
                    self.sent_to.push((id, desk.master.index(self.tenant, IndexOf::Email, normal)));
                }
            }
            Event::Identity(event) if own => self.addresses.take(event),
            _ => {}
        }
        let number = number_of(&event).filter(|_| own);
        for (field, private) in event.privates() {
            if Some(private.subject()) == self.user.map(UserId::uuid)
                && let Some(text) = self.open(desk, recorded, field, private).await?
            {
                if let Some(number) = number.filter(|_| field == EMAIL_FIELD) {
                    self.addresses.texts.insert(number, text.clone());
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

    /// The invitations that were sent to this address, or to one that they have shown to be theirs; and those that they have
    /// accepted.
    pub(super) async fn invitations(
        &self,
        desk: &Desk,
        address: Option<EmailHash>,
    ) -> anyhow::Result<Vec<Invited>> {
        let had = self.addresses.proven();
        let had = had.iter().filter_map(|it| EmailAddress::parse(it).ok());
        let had = had.map(|it| desk.master.index(self.tenant, IndexOf::Email, it.normal().as_bytes()));
        let had = had.map(|it| EmailHash::new(it.0));
        let hashes: BTreeSet<String> = address.into_iter().chain(had).map(EmailHash::claim_value).collect();
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
