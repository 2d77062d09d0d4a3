//! When a run counts, and when it does not.

use super::*;

fn deeds(faults: u32, kills: u32, slowest_ms: u64) -> Deeds {
    let faults = BTreeMap::from([("cut".to_owned(), faults)]);
    Deeds { faults, kills, left_out: 0, recoveries_ms: vec![100, slowest_ms] }
}

fn rest(check: Check, conflicts: u64) -> Rest {
    let recovery_max = Duration::from_secs(5);
    let people = BTreeMap::from([("sign-in".to_owned(), 250)]);
    Rest { checks: vec![check], conflicts, recovery_max, people, ..Rest::default() }
}

fn good() -> Check {
    Check { looked_at: 1, ..Check::new("something") }
}

fn report(deeds: Deeds, rest: Rest, acknowledged: u64) -> Report {
    let mut report = Report::of(7, 1, &Book::default(), deeds, rest);
    report.acknowledged = acknowledged;
    report
}

#[test]
fn too_little_of_anything_counts_as_not_run() {
    let enough = report(deeds(38, 15, 900), rest(good(), 625), 6_250);
    assert!(enough.missing().is_empty(), "{:?}", enough.missing());
    for little in [
        report(deeds(36, 15, 900), rest(good(), 625), 6_250),
        report(deeds(38, 14, 900), rest(good(), 625), 6_250),
        report(deeds(38, 15, 900), rest(good(), 624), 6_250),
        report(deeds(38, 15, 900), rest(good(), 625), 6_249),
    ] {
        assert_eq!(little.missing().len(), 1);
    }
    let deserted = report(deeds(38, 15, 900), Rest { people: BTreeMap::new(), ..rest(good(), 625) }, 6_250);
    assert_eq!(deserted.missing(), ["0 of 250 told to people"]);
    let silent = Report::of(7, 1, &Book::default(), deeds(38, 15, 900), rest(good(), 625));
    assert_eq!((silent.verdict, silent.verdict.exit_code()), (Verdict::NotRun, 3));
    assert!(silent.line().contains("NOT RUN: only 0 of 6250 acknowledged"), "{}", silent.line());
}

#[test]
fn a_broken_promise_weighs_more_than_a_short_run() {
    let mut bad = good();
    bad.fault("lost".to_owned());
    let report = Report::of(7, 1, &Book::default(), deeds(1, 1, 900), rest(bad, 0));
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Broken, 1));
    assert!(report.line().ends_with("BROKEN: something"), "{}", report.line());
}

#[test]
fn a_check_that_looked_at_nothing_shows_nothing() {
    let report = Report::of(7, 1, &Book::default(), deeds(38, 15, 900), rest(Check::new("empty"), 625));
    assert_eq!(report.verdict, Verdict::Broken);
}

#[test]
fn a_slow_recovery_breaks_a_promise() {
    let report = Report::of(7, 1, &Book::default(), deeds(38, 15, 5_001), rest(good(), 625));
    assert!(report.line().ends_with("BROKEN: API back after PostgreSQL"), "{}", report.line());
    assert!(report.line().contains("slowest-recovery=5001ms"));
}
