//! What a plan promises, whatever the seed.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_same_seed_gives_the_same_plan_and_another_another() {
    assert_eq!(Plan::draw(7, 3), Plan::draw(7, 3));
    assert_ne!(Plan::draw(7, 3), Plan::draw(8, 3));
}

#[test]
fn eight_minutes_hold_more_than_the_budget() {
    for seed in 0..50 {
        let plan = Plan::draw(seed, 8);
        let faults: Vec<Fault> = plan.rounds.iter().flatten().map(|it| it.fault).collect();
        let count = |of: fn(&Fault) -> bool| faults.iter().filter(|it| of(it)).count();
        assert!(faults.len() >= 500, "{}", faults.len());
        assert!(count(Fault::kills) >= 120);
        assert!(count(|it| matches!(it, Fault::Kill(Process::Command0 | Process::Command1))) >= 40);
        assert!(count(|it| matches!(it, Fault::Kill(Process::Projector0 | Process::Projector1))) >= 40);
        assert!(count(|it| matches!(it, Fault::StopPostgres | Fault::KillPostgres)) >= 20);
        assert!(count(|it| matches!(it, Fault::KillNats | Fault::WipeNats | Fault::OlderNats)) >= 20);
        let kinds: BTreeSet<String> = faults.iter().map(Fault::kind).collect();
        assert!(kinds.len() >= 60, "every link is broken in every way: {}", kinds.len());
    }
}

#[test]
fn a_round_ends_with_postgres_and_in_time() {
    for seed in 0..50 {
        for round in Plan::draw(seed, 3).rounds {
            assert!(round.is_sorted_by_key(|it| it.at));
            let last = round.last().unwrap();
            assert_eq!(last.fault, Fault::StopPostgres);
            assert!(last.at + last.lasts < STORMY);
            let frozen = round.iter().find(|it| it.fault == Fault::Freeze(Process::Projector0)).unwrap();
            assert_eq!(frozen.lasts, PAST_THE_LEASE);
            assert!(frozen.at + frozen.lasts < STORMY, "it wakes within the round: {:?}", frozen.at);
            let of_nats = round
                .iter()
                .find(|it| matches!(it.fault, Fault::KillNats | Fault::WipeNats | Fault::OlderNats));
            assert_eq!(of_nats.unwrap().fault, Fault::KillNats, "a copy is taken before one is put back");
        }
    }
}
