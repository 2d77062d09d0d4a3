//! Organisations are asked for by one person and decided about by another; each command from each state.

use super::*;
use crate::ids::ActorId;
use crate::organisation::OrganisationError as E;
use crate::private::Private;
use crate::spec::{Given, World};

const FOUNDER: UserId = UserId::new(Uuid::from_u128(0xf0));
const STAFF: ActorId = ActorId::new(Uuid::from_u128(0x57));

fn request(slug: &str) -> RequestTenant {
    RequestTenant {
        tenant_id: ID,
        slug: Slug::parse(slug).unwrap(),
        name: Label::parse("Acme").unwrap(),
        founder: FOUNDER,
    }
}

fn approve(by: ActorId, is: &[UserId]) -> ApproveTenant {
    ApproveTenant { tenant_id: ID, by, is: is.to_vec() }
}

fn reject() -> RejectTenant {
    let reason = Some(Private::new(FOUNDER.uuid(), "Who are you?"));
    RejectTenant { tenant_id: ID, by: STAFF, reason }
}

fn suspend() -> SuspendTenant {
    let reason = Some(Private::new(FOUNDER.uuid(), "You did not pay."));
    SuspendTenant { tenant_id: ID, by: STAFF, because: Word::of("unpaid"), reason }
}

fn close() -> CloseTenant {
    CloseTenant { tenant_id: ID, by: STAFF, because: Word::of("asked") }
}

fn rename(name: &str) -> RenameTenant {
    RenameTenant { tenant_id: ID, name: Label::parse(name).unwrap() }
}

fn tier(tier: &'static str) -> ChangeTier {
    ChangeTier { tenant_id: ID, tier: Word::of(tier), by: STAFF }
}

fn requested() -> Given {
    given_nothing().having(request("acme"))
}

fn approved() -> Given {
    requested().having(approve(STAFF, &[]))
}

fn state(world: &World) -> Tenant {
    world.state(ID.uuid())
}

/// What a command comes to.
#[derive(Debug, PartialEq)]
enum Comes {
    To(&'static str),
    Already,
    Wrong,
    NotFound,
}

fn status(tenant: &Tenant) -> &'static str {
    match tenant {
        Tenant::Absent => "absent",
        Tenant::Pending(_) => "pending",
        Tenant::Active(_) => "active",
        Tenant::Suspended(_) => "suspended",
        Tenant::Rejected(_) => "rejected",
        Tenant::Closed(_) => "closed",
    }
}

/// How an organisation came to stand as it does, and what comes of each command then.
type State = (fn() -> Given, [Comes; 7]);

#[test]
fn every_command_in_every_state() {
    use Comes::{Already, NotFound, To, Wrong};
    let commands: [fn() -> Box<dyn Decision>; 7] = [
        || Box::new(approve(STAFF, &[])),
        || Box::new(reject()),
        || Box::new(suspend()),
        || Box::new(ReactivateTenant { tenant_id: ID, by: STAFF }),
        || Box::new(close()),
        || Box::new(rename("Emca")),
        || Box::new(tier("large")),
    ];
    let states: [State; 6] = [
        (given_nothing, [NotFound, NotFound, NotFound, NotFound, NotFound, NotFound, NotFound]),
        (requested, [To("active"), To("rejected"), Wrong, Wrong, To("closed"), To("pending"), To("pending")]),
        (approved, [Already, Wrong, To("suspended"), Already, To("closed"), To("active"), To("active")]),
        (
            || approved().having(suspend()),
            [Wrong, Wrong, Already, To("active"), To("closed"), Wrong, To("suspended")],
        ),
        (|| requested().having(reject()), [Wrong, Already, Wrong, Wrong, Wrong, Wrong, Wrong]),
        (|| approved().having(close()), [Wrong, Wrong, Wrong, Wrong, Already, Wrong, Wrong]),
    ];
    for (given, expected) in states {
        let from = status(&state(&given().world()));
        for (command, expected) in commands.iter().zip(expected) {
            let (command, mut world) = (command(), given().world());
            let comes = match world.submit(&*command, DateTime::UNIX_EPOCH) {
                Ok(verdict) if verdict.events.is_empty() => Already,
                Ok(_) => To(status(&state(&world))),
                Err(refusal) if refusal.code == "organisation.wrong-state" => Wrong,
                Err(refusal) if refusal.code == "organisation.not-found" => NotFound,
                Err(refusal) => unreachable!("{refusal:?}"),
            };
            assert_eq!(comes, expected, "{} from {from}", command.name());
        }
    }
}

#[test]
fn an_organisation_is_asked_for_once() {
    requested().when(request("acme")).then_already();
    requested().when(request("other")).then_refused_for(TenantError::Exists);
    approved().when(request("acme")).then_refused_for(TenantError::Exists);
    given([created("acme")]).when(request("acme")).then_refused_for(TenantError::Exists);
    requested().when(create(ID, "acme")).then_refused_for(TenantError::Exists);
}

#[test]
fn a_slug_is_held_from_the_request_until_the_rejection() {
    let other = TenantId::new(Uuid::from_u128(2));
    let taken = || RequestTenant { tenant_id: other, ..request("acme") };
    let slug = Slug::parse("acme").unwrap();
    requested().when(taken()).then_refused_for(TenantError::SlugTaken { slug: slug.clone() });
    requested().having(reject()).when(taken()).then_succeeds();
    approved().having(close()).when(taken()).then_refused_for(TenantError::SlugTaken { slug });
}

#[test]
fn the_platforms_own_words_are_nobodys_slug() {
    for slug in SLUGS_RESERVED {
        if let Ok(slug) = Slug::parse(slug) {
            given_nothing().when(RequestTenant { slug, ..request("acme") }).then_refused_for(E::SlugReserved);
        }
    }
    assert!(SLUGS_RESERVED.is_sorted(), "so that people find one");
}

#[test]
fn whoever_asked_does_not_decide() {
    let refused =
        |by, is: &[UserId]| requested().when(approve(by, is)).then_refused_for(E::ApproverIsRequester);
    refused(FOUNDER.actor(), &[]);
    refused(STAFF, &[UserId::new(Uuid::nil()), FOUNDER]);
    requested().when(approve(STAFF, &[UserId::new(Uuid::nil())])).then_succeeds();
}

#[test]
fn what_was_made_before_is_approved() {
    let world = given([created("acme")]).world();
    let Tenant::Active(dossier) = state(&world) else { unreachable!("it is active") };
    assert_eq!((dossier.founder, dossier.tier), (None, None));
    given([created("acme")]).when(approve(STAFF, &[])).then_already();
    given([created("acme")]).when(suspend()).then_succeeds();
}

#[test]
fn names_and_tiers_change_with_what_they_were() {
    approved().when(rename("Acme")).then_already();
    let (_, world) = approved().having(tier("small")).when(rename("Emca")).then_accepted();
    let dossier = state(&world).dossier().cloned().unwrap();
    assert_eq!((dossier.name.as_str(), dossier.tier), ("Emca", Some(Word::of("small"))));
    approved().having(tier("small")).when(tier("small")).then_already();
    let (verdict, _) = approved().having(tier("small")).when(tier("large")).then_accepted();
    let Event::Organisation(OrganisationEvent::TenantTierChanged(event)) = &verdict.events[0] else {
        unreachable!("a tier changed")
    };
    assert_eq!(event.before, Some(Word::of("small")));
}

#[test]
fn reasons_are_private_to_the_founder() {
    for decision in [Box::new(reject()) as Box<dyn Decision>, Box::new(suspend())] {
        assert_eq!(decision.subjects(), [FOUNDER.uuid()]);
    }
    let (mut verdict, _) = requested().when(reject()).then_accepted();
    assert_eq!(verdict.events[0].privates()[0].0, "payload.reason");
}

#[test]
fn the_state_is_one_flat_object() {
    let shown = serde_json::to_value(state(&approved().world())).unwrap();
    let founder = FOUNDER.to_string();
    let expected =
        serde_json::json!({ "status": "active", "slug": "acme", "name": "Acme", "founder": founder });
    assert_eq!(shown, expected);
}
