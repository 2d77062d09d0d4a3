//! A day in the life of a shop, told by real decisions: one event of every type in the catalogue.

use std::error::Error;

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::{MintAccessToken, Role};
use domain::ids::{ActorId, TenantId, TokenId};
use domain::metadata::Label;
use domain::organisation::{CreateTenant, Slug};
use domain::private::{Private, Sealed};
use domain::spec::World;
use domain::{Decision, Event};
use uuid::Uuid;

#[path = "story/application.rs"]
mod application;
#[path = "story/audit.rs"]
mod audit;
#[path = "story/federation.rs"]
mod federation;
#[path = "story/identity.rs"]
mod identity;
#[path = "story/ledger.rs"]
mod ledger;
#[path = "story/organisation.rs"]
mod organisation;
#[path = "story/platform.rs"]
mod platform;

pub(crate) const SHOP: TenantId = TenantId::new(id(0x01));
const OPERATOR: ActorId = ActorId::new(id(0x02));

/// The story is told by code that can fail like any other, since an example runs it too.
type Told<T> = Result<T, Box<dyn Error>>;

/// An identifier of version 7 that reads well.
const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_a5c4_7c1e_7000_8000_0000_0000_0000 + number)
}

struct Teller {
    world: World,
    now: DateTime<Utc>,
    told: Vec<Event>,
}

impl Teller {
    /// Runs a command a minute later; `told` takes the newest event if it is the first of its type.
    fn tells(&mut self, decision: impl Decision) -> Told<()> {
        for event in self.runs(decision)? {
            if self.told.iter().all(|known| known.name() != event.name()) {
                self.told.push(event);
            }
        }
        Ok(())
    }

    /// Runs a command whose events show more than those of their types before.
    fn tells_better(&mut self, decision: impl Decision) -> Told<()> {
        for event in self.runs(decision)? {
            self.told.retain(|known| known.name() != event.name());
            self.told.push(event);
        }
        Ok(())
    }

    fn runs(&mut self, decision: impl Decision) -> Told<Vec<Event>> {
        self.now += TimeDelta::minutes(1);
        let before = self.world.log().len();
        match self.world.submit(&decision, self.now) {
            Ok(_) => Ok(self.world.log().get(before..).unwrap_or_default().to_vec()),
            Err(refusal) => Err(format!("the story stops at {}: {}", self.now, refusal.message).into()),
        }
    }
}

/// The story: the first event of each type, or a later one that shows more, as it is stored.
pub(crate) fn told() -> Told<Vec<Event>> {
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_788_253_200);
    let mut shop = Teller { world: World::new(SHOP), now, told: Vec::new() };

    shop.tells(CreateTenant {
        tenant_id: SHOP,
        slug: Slug::parse("corner-shop")?,
        name: label("Corner shop")?,
    })?;
    shop.tells(MintAccessToken {
        token_id: TokenId::new(id(0x03)),
        subject: OPERATOR,
        roles: vec![Role::Owner],
        expires_at: now + TimeDelta::hours(8),
    })?;
    ledger::tell(&mut shop)?;
    audit::tell(&mut shop)?;
    // What came later is told later, so that nothing of what is told before moves to another minute.
    organisation::tell(&mut shop)?;
    identity::tell(&mut shop)?;
    application::tell(&mut shop)?;
    platform::tell(&mut shop)?;
    federation::tell(&mut shop)?;
    application::tell_of_another(&mut shop)?;
    organisation::tell_of_a_name(&mut shop)?;
    identity::tell_of_halves_of_a_name(&mut shop)?;
    Ok(shop.told.into_iter().map(sealed).collect())
}

/// An event as the store writes it, with something else in the place of each ciphertext.
pub(crate) fn sealed(mut event: Event) -> Event {
    for (_, private) in event.privates() {
        *private = Private::Sealed(Sealed {
            subject: private.subject(),
            key: 1,
            nonce: "SW4gZm9ybSBvbmx5".to_owned(),
            data: "QSB0ZXh0IG9mIHRoaXMgbGVuZ3RoLCBhbmQgaXRzIHRhZy4=".to_owned(),
        });
    }
    event
}

fn label(text: &str) -> Told<Label> {
    Ok(Label::parse(text)?)
}
