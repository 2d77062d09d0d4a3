//! Random commands of random people: whatever is refused and whatever is not, somebody owns the organisation, the roster
//! is what the memberships add up to, and every state is whole again from its newest event.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decision::Decision;
use crate::organisation::{DefineRole, Role};
use crate::sample::at;
use crate::spec::World;

const PEOPLE: u128 = 5;

#[derive(Debug, Clone)]
enum Command {
    Add { user: u128, roles: Vec<RoleRef>, by: Granter },
    Assign { user: u128, roles: Vec<RoleRef>, by: Granter },
    Remove { user: u128, by: Granter },
    Hand { from: u128, to: u128 },
    Define { role: RoleId, by: Granter },
    Delete { role: RoleId, by: Granter },
}

fn person(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

fn command() -> impl Strategy<Value = Command> {
    use Command::*;
    let user = || 1..=PEOPLE;
    let by = || {
        prop_oneof![
            1 => Just(Granter::Platform),
            9 => user().prop_map(|it| Granter::Member(person(it))),
        ]
    };
    let all = vec![RoleRef::OWNER, RoleRef::ADMIN, RoleRef::USER, own(CLERK), own(AUDITOR)];
    let roles = move || proptest::sample::subsequence(all.clone(), 0..=3);
    let role = || prop_oneof![Just(CLERK), Just(AUDITOR)];
    prop_oneof![
        5 => (user(), roles(), by()).prop_map(|(user, roles, by)| Add { user, roles, by }),
        5 => (user(), roles(), by()).prop_map(|(user, roles, by)| Assign { user, roles, by }),
        4 => (user(), by()).prop_map(|(user, by)| Remove { user, by }),
        2 => (user(), user()).prop_map(|(from, to)| Hand { from, to }),
        2 => (role(), by()).prop_map(|(role, by)| Define { role, by }),
        1 => (role(), by()).prop_map(|(role, by)| Delete { role, by }),
    ]
}

fn decision(command: &Command) -> Box<dyn Decision> {
    match command.clone() {
        Command::Add { user, roles, by } => Box::new(add(person(user), &roles, by)),
        Command::Assign { user, roles, by } => Box::new(assign(person(user), &roles, by)),
        Command::Remove { user, by } => Box::new(remove(person(user), by)),
        Command::Hand { from, to } => Box::new(TransferOwnership { from: person(from), to: person(to) }),
        Command::Define { role, by } => {
            Box::new(DefineRole { by, ..define(role, &role.to_string(), &["a.b"], by) })
        }
        Command::Delete { role, by } => Box::new(delete(role, by)),
    }
}

fn check(world: &World, had_owner: &mut bool) -> Result<(), TestCaseError> {
    let roster = world.state::<Roster>(TENANT.uuid());
    let members: BTreeMap<_, _> = (1..=PEOPLE)
        .map(|it| (person(it), world.state::<Membership>(person(it).uuid())))
        .filter(|(_, member)| member.is_member())
        .collect();
    let owners: Vec<_> = members
        .iter()
        .filter(|(_, it)| it.roles().contains(&RoleRef::OWNER))
        .map(|(user, _)| *user)
        .collect();
    prop_assert_eq!(&roster.owners, &owners);
    *had_owner |= !owners.is_empty();
    prop_assert!(!*had_owner || !owners.is_empty(), "somebody owns it");
    prop_assert_eq!(usize::try_from(roster.members).unwrap(), members.len());
    for role in [CLERK, AUDITOR] {
        let holders = members.values().filter(|it| it.roles().contains(&own(role))).count();
        prop_assert_eq!(usize::try_from(roster.holders(role)).unwrap(), holders);
        let defined = world.state::<Role>(role.uuid()).is_defined();
        prop_assert_eq!(roster.roles.iter().any(|it| it.role_id == role), defined);
    }
    Ok(())
}

/// The state of a stream is the one that its newest event gives.
fn restored<A: Aggregate + PartialEq + std::fmt::Debug>(
    world: &World,
    id: Uuid,
) -> Result<(), TestCaseError> {
    let newest = world.history(StreamId::new(A::CATEGORY, id)).last().cloned();
    if let Some(newest) = newest {
        prop_assert_eq!(A::restore(id, &newest), Some(world.state::<A>(id)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn somebody_owns_it_and_the_roster_adds_up(commands in prop::collection::vec(command(), 1..60)) {
        let mut world = given_nothing().having(clerk()).world();
        let mut had_owner = false;
        for (second, command) in (0..).zip(&commands) {
            let before = world.log().len();
            let judged = world.submit(&*decision(command), at(second));
            prop_assert!(judged.is_ok() || world.log().len() == before, "a refusal changes nothing");
            check(&world, &mut had_owner)?;
        }
        for user in 1..=PEOPLE {
            restored::<Membership>(&world, person(user).uuid())?;
        }
        restored::<Roster>(&world, TENANT.uuid())?;
        restored::<Role>(&world, CLERK.uuid())?;
    }
}
