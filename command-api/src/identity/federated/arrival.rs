//! Somebody comes back from a provider: who they are there, who that is here, and what follows from it.
//!
//! What is looked up here may be otherwise a moment later, so each command judges once more what it rests on; if one is
//! refused because somebody else was quicker, all is looked up again.

use chrono::{TimeDelta, Utc};
use domain::federation::{IdentityHash, LinkIdentity, ProviderSettings, link};
use domain::gate::Gated;
use domain::identity::{EmailHash, PersonNames, RegisterUser, User, user};
use domain::ids::{LinkId, ProviderId, SessionId, TenantId, UserId};
use domain::linking::{Holder, LinkByAddress, Ruling, Situation, rule};
use domain::organisation::{AddMember, Granter, Policy, Registration, RoleRef, WhileActive};
use domain::private::Private;
use domain::{Decision, Refusal, StreamId, View};
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::keyring::IndexOf;
use event_store::vault::{Arrival, Digest, FactorChange, NewHandover, NewIdentity, Taken, VaultChange};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::bearer::{Bearer, Kind};
use service_kit::outgoing::Url;
use service_kit::permissions::role_table;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::super::displacing::another_way_in;
use super::super::facts::unknown;
use super::super::sessions::InSession;
use super::super::{Identity, Origin, unavailable};
use super::links::while_offered;
use super::{Browser, Freshness, HANDOVER, Kept, Providers, no_provider, not_kept, tell};
use crate::federation::{Arrived, Callback, Person, Shown};

/// How long ago somebody who links an identity may have shown who they are: when they asked for it, and the time that they may
/// take at the provider.
const LINKS_WITHIN: TimeDelta = TimeDelta::minutes(20);

/// How often all is looked up anew if somebody else was quicker.
const ATTEMPTS_MAX: usize = 3;
/// Refusals that say so.
const OVERTAKEN: [&str; 3] =
    ["federation.identity-taken", "federation.link-needs-sign-in", "identity.email-taken"];

/// How the address of a user stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AddressState {
    version: u32,
    is_verified: bool,
}

/// How does the address of a user stand who may act?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AddressOf(TenantId, UserId);

impl Question for AddressOf {
    type Answer = Option<AddressState>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![user::stream(self.1)]
    }

    fn answer(&self, view: &View<'_>) -> Option<AddressState> {
        let User::Active(user) = view.find::<User>(self.1.uuid())?.state else { return None };
        Some(AddressState { version: user.email_version, is_verified: user.email_verified })
    }
}

/// Somebody whom a provider knows, and where.
pub(super) struct Newcomer<'a> {
    pub(super) tenant: TenantId,
    pub(super) provider: ProviderId,
    settings: &'a ProviderSettings,
    pub(super) identity: Digest,
    person: Person,
    pub(super) shown: Shown,
    pub(super) freshness: Freshness,
    /// Who is signed in and asked for this.
    signed_in: Option<(UserId, SessionId)>,
}

impl Identity {
    /// Somebody is back from a provider. The answer is where their browser goes now: with a code, or with the code of what
    /// went wrong.
    ///
    /// # Errors
    /// `federation.state-invalid`, if nothing was begun in this browser that ends like this: then nobody knows where it
    /// wants to go.
    pub async fn came_back(
        &self,
        with: &Providers,
        provider: ProviderId,
        query: &str,
        browser: Option<&str>,
        origin: &Origin,
    ) -> Result<Url, Problem> {
        let invalid = || Problem::new(&code::PROVIDER_STATE_INVALID, "");
        let callback = Callback::parse(query).map_err(|_| invalid())?;
        let state =
            Bearer::parse(Kind::ProviderState, callback.state.expose_secret()).map_err(|_| invalid())?;
        let browser = browser.and_then(Browser::kept).ok_or_else(invalid)?;
        let parts = self.parts();
        let taken = parts
            .vault
            .take_oauth(state.tenant, state.id, Digest(state.hash()), browser.hash(), &parts.master)
            .await
            .map_err(not_kept)?
            .filter(|it| it.provider == provider)
            .ok_or_else(invalid)?;
        let kept: Kept = serde_json::from_slice(&taken.content).map_err(|error| Problem::fault(&error))?;
        let back = |name: &str, value: &str| returned(&kept.return_uri, name, value);
        match self.arrive(with, state.tenant, &taken, &kept, &callback, origin).await {
            Ok(code) => back("code", code.expose_secret()),
            Err(problem) => {
                tracing::info!(code = problem.code(), %provider, "a sign-in with a provider was refused");
                back("error", problem.code())
            }
        }
    }

    async fn arrive(
        &self,
        with: &Providers,
        tenant: TenantId,
        taken: &Taken,
        kept: &Kept,
        callback: &Callback,
        origin: &Origin,
    ) -> Result<SecretString, Problem> {
        let parts = self.parts();
        let settings = self.offered_provider(tenant, taken.provider).await?.ok_or_else(no_provider)?;
        let secret = self.secret_at(tenant, &settings).await?;
        let now = Utc::now();
        let federation = with.federation(tenant);
        let came = federation.finish(&settings, secret.as_ref(), &kept.pending, callback, now).await;
        let Arrived { person, shown, tokens } = came.inspect_err(|error| tell(taken.provider, error))?;
        let name = format!("{}/{}", taken.provider, person.subject);
        let newcomer = Newcomer {
            tenant,
            provider: taken.provider,
            settings: &settings,
            identity: parts.master.index(tenant, IndexOf::Federated, name.as_bytes()),
            person,
            shown,
            freshness: kept.freshness,
            signed_in: taken.user.zip(kept.session.map(SessionId::new)),
        };
        self.is_fresh_enough(&newcomer).await?;
        let arrival = self.admit(&newcomer, origin).await?;
        if settings.keeps_tokens {
            self.keep_tokens(tenant, &arrival, &tokens, now).await?;
        }
        let code = Bearer::make(Kind::Handover, tenant, Uuid::now_v7())?;
        let as_of = self.counts_as_of(tenant, arrival.user, shown, now).await?;
        let (hash, challenge) = (Digest(code.hash()), Digest(kept.challenge));
        let handover = NewHandover { tenant, code: code.id, hash, challenge, arrival, as_of };
        parts.vault.put_handover(&handover, HANDOVER).await.map_err(unavailable)?;
        Ok(code.text())
    }

    /// Who the newcomer is here. Links and registers as the rule says.
    async fn admit(&self, it: &Newcomer<'_>, origin: &Origin) -> Result<Arrival, Problem> {
        let mut refused = None;
        for _ in 0..ATTEMPTS_MAX {
            match self.admit_once(it, origin).await? {
                Ok(arrival) => return Ok(arrival),
                Err(refusal) if OVERTAKEN.contains(&refusal.code.as_ref()) => refused = Some(refusal),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(refused.map_or_else(|| Problem::new(&code::STORE_UNAVAILABLE, ""), Problem::from))
    }

    async fn admit_once(
        &self,
        it: &Newcomer<'_>,
        origin: &Origin,
    ) -> Result<Result<Arrival, Refusal>, Problem> {
        let vault = &self.parts().vault;
        let linked = vault.federated(it.tenant, it.provider, it.identity).await.map_err(unavailable)?;
        let address = it.person.address.as_ref();
        let held = self.holder(it).await?;
        let policy = self.policy(it.tenant).await?;
        let domain = address.and_then(|it| it.email.normal().rsplit_once('@')).map(|(_, domain)| domain);
        let situation = Situation {
            linked_to: linked.map(|it| it.user),
            signed_in: it.signed_in.map(|(user, _)| user),
            is_vouched: address.is_some_and(|it| it.is_verified),
            is_trusted: domain
                .is_some_and(|domain| it.settings.trusts(domain) && policy.lets_vouch_for(domain)),
            holder: held.map(|(user_id, state)| Holder { user_id, is_verified: state.is_verified }),
        };
        let ruling = rule(&situation).map_err(|it| Problem::from(Refusal::from(it)))?;
        let link_id = LinkId::new(Uuid::now_v7());
        match (ruling, linked) {
            (Ruling::SignIn(user), Some(linked)) => {
                Ok(Ok(Arrival { user, link: linked.link, provider: it.provider }))
            }
            (Ruling::SignIn(_), None) => Err(Problem::new(&code::STORE_UNAVAILABLE, "")),
            (Ruling::Link(user), _) => {
                let command = self.of_session(it, it.linking(link_id, user));
                self.link_known(it, link_id, user, command, origin).await
            }
            (Ruling::LinkByAddress(user), _) => {
                let email_version = held.map_or(0, |(_, state)| state.version);
                let command = LinkByAddress { link: it.linking(link_id, user), email_version };
                self.link_known(it, link_id, user, Box::new(command), origin).await
            }
            (Ruling::Register, _) => {
                let user = UserId::new(Uuid::now_v7());
                let commands = self.registering(it, link_id, user, &policy)?;
                self.link(it, link_id, user, commands, None, origin).await
            }
        }
    }

    /// The user who has the newcomer's address, and how it stands. Nobody has it who may not act: whoever was deactivated
    /// comes back by an administrator.
    async fn holder(&self, it: &Newcomer<'_>) -> Result<Option<(UserId, AddressState)>, Problem> {
        let Some(address) = &it.person.address else { return Ok(None) };
        let index = self.email_index(it.tenant, &address.email);
        let row = self.parts().vault.sign_in_row(it.tenant, index).await.map_err(unavailable)?;
        let Some(user) = row.map(|row| UserId::new(row.user)) else { return Ok(None) };
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let state = look(&mut conn, &AddressOf(it.tenant, user)).await.map_err(unknown)?;
        let nobody = AddressState { version: 0, is_verified: false };
        Ok(Some((user, state.as_ref().unwrap_or(nobody))))
    }

    /// A link for whoever is signed in, behind the gate of the session in which they asked for it.
    fn of_session(&self, it: &Newcomer<'_>, link: LinkIdentity) -> Box<dyn Decision> {
        match it.signed_in {
            Some((user, session)) => {
                let who = InSession { tenant: it.tenant, session, user };
                let gate = who.gate().fresh_within(LINKS_WITHIN).own_hand().over_ways_in();
                Box::new(Gated::new(gate, another_way_in(user, link)))
            }
            None => Box::new(link),
        }
    }

    /// What makes a new user of the newcomer, whose address is as good as proven.
    fn registering(
        &self,
        it: &Newcomer<'_>,
        link_id: LinkId,
        user: UserId,
        policy: &Policy,
    ) -> Result<Vec<Box<dyn Decision>>, Problem> {
        let Some(address) = &it.person.address else {
            return Err(Problem::from(Refusal::from(domain::federation::FederationError::AddressNotVouched)));
        };
        if policy.registration == Registration::Closed || it.tenant == TenantId::PLATFORM {
            return Err(Problem::new(&code::REGISTRATION_CLOSED, ""));
        }
        let private = |text: &String| Private::new(user.uuid(), text.clone());
        let register = RegisterUser {
            user_id: user,
            email: Private::new(user.uuid(), address.email.mailbox()),
            email_hash: EmailHash::new(self.email_index(it.tenant, &address.email).0),
            names: PersonNames {
                given: it.person.given_name.as_ref().map(private),
                family: it.person.family_name.as_ref().map(private),
            },
            language: policy.language.clone(),
            via: it.settings.kind.clone(),
            verified: true,
        };
        let join = AddMember {
            user_id: user,
            roles: vec![RoleRef::USER],
            by: Granter::Platform,
            table: role_table(it.tenant).clone(),
        };
        let works = WhileActive::default();
        Ok(vec![Box::new(register), Box::new(it.linking(link_id, user)), Box::new(join), Box::new(works)])
    }

    /// Links somebody who has been a user before, and writes to them: it need not have been them.
    async fn link_known(
        &self,
        it: &Newcomer<'_>,
        link_id: LinkId,
        user: UserId,
        command: Box<dyn Decision>,
        origin: &Origin,
    ) -> Result<Result<Arrival, Refusal>, Problem> {
        let letter = self.factor_letter(it.tenant, user, FactorChange::ProviderLinked).await?;
        self.link(it, link_id, user, vec![command], letter, origin).await
    }

    async fn link(
        &self,
        it: &Newcomer<'_>,
        link_id: LinkId,
        user: UserId,
        commands: Vec<Box<dyn Decision>>,
        letter: Option<VaultChange>,
        origin: &Origin,
    ) -> Result<Result<Arrival, Refusal>, Problem> {
        let kept = VaultChange::PutIdentity(NewIdentity {
            tenant: it.tenant,
            link: link_id,
            provider: it.provider,
            user,
            identity: it.identity,
        });
        let unit = Unit::of(it.tenant, origin.cause(user.actor()), commands);
        let unit = while_offered(unit, it.tenant, it.provider)
            .minting(link::stream(link_id))
            .with_vault([kept].into_iter().chain(letter));
        Ok(self.submit(unit).await?.map(|_| Arrival { user, link: link_id, provider: it.provider }))
    }
}

impl Newcomer<'_> {
    fn linking(&self, link_id: LinkId, user: UserId) -> LinkIdentity {
        LinkIdentity {
            link_id,
            user_id: user,
            provider_id: self.provider,
            identity: IdentityHash::new(self.identity.0),
            label: self.person.label.as_ref().map(|it| Private::new(user.uuid(), it.clone())),
        }
    }
}

/// The address that was asked for, with one parameter more.
fn returned(return_uri: &str, name: &str, value: &str) -> Result<Url, Problem> {
    let mut url = Url::parse(return_uri).map_err(|_| Problem::new(&code::PROVIDER_STATE_INVALID, ""))?;
    url.query_pairs_mut().append_pair(name, value);
    Ok(url)
}
