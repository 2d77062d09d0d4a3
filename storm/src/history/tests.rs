//! The checker finds every planted anomaly, accuses no good history, and agrees with trying every order.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Kind, Operation, Report, check};

mod exhaustive;
mod planted;
mod serial;

#[test]
fn a_thousand_good_histories_are_not_accused() {
    let mut conflicts = 0;
    for seed in 0..1_200 {
        let report = check(&serial::history(seed, 120));
        assert_eq!(report.anomalies, [], "seed {seed}");
        conflicts += report.conflicts;
    }
    assert!(conflicts > 50_000, "histories without conflicts prove nothing: {conflicts}");
}

#[test]
fn every_kind_is_found_in_fifty_histories_and_named() {
    for (kind, plant) in planted::KINDS {
        for seed in 0..50 {
            let mut history = serial::history(seed, 120);
            let mut rng = fastrand::Rng::with_seed(seed);
            let planted = plant(&mut history, &mut rng);
            let report = check(&history);
            let named = |it: &super::Anomaly| {
                it.kind == *kind && planted.iter().all(|index| it.operations.contains(index))
            };
            assert!(
                report.anomalies.iter().any(named),
                "{} of {planted:?} with seed {seed}, but {:#?}",
                kind.name(),
                report.anomalies
            );
        }
    }
    let kinds: HashSet<Kind> = planted::KINDS.iter().map(|it| it.0).collect();
    assert_eq!(kinds.len(), 17, "each kind has somebody who plants it");
}

#[test]
fn a_cycle_is_told_in_its_order() {
    let history = planted::write_skew();
    let report = check(&history);
    let told: Vec<String> = report.anomalies.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["G2: #0 (process 1) read a@0, replaced by #1 (process 2) read b@0, replaced by #0"]);
}

#[test]
fn the_checker_agrees_with_trying_every_order() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..20_000 {
        let history = exhaustive::history(seed);
        let report = check(&history);
        let possible = exhaustive::is_strictly_serializable(&history);
        assert_eq!(report.anomalies.is_empty(), possible, "seed {seed}: {history:#?} {report:#?}");
        if possible { good += 1 } else { bad += 1 }
    }
    assert!(good > 4_000 && bad > 4_000, "both verdicts are met: {good} good, {bad} bad");
}

/// The quickest of three checks: the others on the machine have their turns too.
fn quickest(history: &[Operation]) -> (Report, Duration) {
    let checks = (0..3).map(|_| {
        let began = Instant::now();
        (check(history), began.elapsed())
    });
    checks.min_by_key(|it| it.1).expect("three of them")
}

#[test]
fn sixty_thousand_operations_take_less_than_five_seconds() {
    let mut history = serial::history(7, 60_000);
    let (report, taken) = quickest(&history);
    assert_eq!(report.anomalies, []);
    assert!(taken < Duration::from_secs(5), "good: {taken:?}");

    // Everything depends on everything: the name of one great component must not cost more.
    history.iter_mut().filter(|it| it.returned_us.is_some()).for_each(|it| {
        it.called_us %= 1_000;
        it.returned_us = Some(it.called_us + 10);
    });
    let (report, taken) = quickest(&history);
    assert!(!report.anomalies.is_empty());
    assert!(taken < Duration::from_secs(5), "bad: {taken:?}");
}
