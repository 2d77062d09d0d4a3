//! An organisation tells itself of each of its names once, with the one before.

use super::*;
use crate::spec::{TENANT, World, given_nothing};

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn rename(before: &str, name: &str) -> RenameOrganisation {
    RenameOrganisation { before: label(before), name: label(name) }
}

fn renamed(verdict: &Verdict) -> (&str, &str) {
    let [Event::Organisation(OrganisationEvent::ProfileRenamed(it))] = verdict.events.as_slice() else {
        unreachable!("an organisation was renamed, once")
    };
    (it.before.as_str(), it.name.as_str())
}

fn called(world: &World) -> (Option<Label>, Option<Label>) {
    let Profile { name, before } = world.state(TENANT.uuid());
    (name, before)
}

#[test]
fn the_first_change_tells_what_it_was_founded_as() {
    let (verdict, world) = given_nothing().when(rename("Acme", "Acme & Sons")).then_accepted();
    assert_eq!(renamed(&verdict), ("Acme", "Acme & Sons"));
    assert_eq!(called(&world), (Some(label("Acme & Sons")), Some(label("Acme"))));
    let event = verdict.events[0].clone();
    assert_eq!(event.streams(), [stream(TENANT)]);
    assert_eq!(Profile::restore(TENANT.uuid(), &event), Some(world.state::<Profile>(TENANT.uuid())));
    assert_eq!(Profile::restore(Uuid::nil(), &event), None, "nobody else's");
}

#[test]
fn the_name_that_it_has_is_already_so() {
    given_nothing().when(rename("Acme", "Acme")).then_already();
    given_nothing().having(rename("Acme", "Bell")).when(rename("Bell", "Bell")).then_already();
}

/// Two who looked at the same dossier: the second to come sees what the first said.
#[test]
fn what_its_own_log_says_counts_before_what_was_looked_at() {
    let given = || given_nothing().having(rename("Acme", "Bell"));
    let (verdict, _) = given().when(rename("Acme", "Core")).then_accepted();
    assert_eq!(renamed(&verdict), ("Bell", "Core"));
    let (verdict, _) = given().when(rename("Acme", "Acme")).then_accepted();
    assert_eq!(renamed(&verdict), ("Bell", "Acme"));
    given().when(rename("Acme", "Bell")).then_already();
}
