//! Each check of journal against log finds what was planted, and accuses no good run.

use domain::metadata::Label;
use domain::organisation::TenantRenamed;
use uuid::Uuid;

use super::*;
use crate::journal::{Line, Told};
use crate::reconcile::sample::*;

fn both(lines: Vec<Line>, image: &Image) -> (Check, Check) {
    let book = book(lines);
    (
        promised_is_in_the_log(&book, image, &tenants()),
        the_log_is_in_the_journal(&book, image, &tenants(), PEOPLE),
    )
}

#[test]
fn a_good_run_is_not_accused() {
    let (lines, image) = (lines(), image());
    let book = book(lines.clone());
    for check in [a_key_has_one_answer(&book), nothing_is_in_doubt(&book), answers_were_expected(&book)] {
        assert!(check.holds(), "{check:?}");
    }
    let (promised, asked) = both(lines, &image);
    assert!(promised.holds() && asked.holds(), "{promised:?} {asked:?}");
    assert_eq!((promised.looked_at, asked.looked_at), (5, 5));
}

#[test]
fn a_promise_that_the_log_lacks_is_lost() {
    let mut image = image();
    image.entries.remove(2);
    let (promised, _) = both(lines(), &image);
    assert_eq!(promised.faults, 1);
    assert!(promised.told[0].starts_with("lost"), "{promised:?}");
}

#[test]
fn a_promise_that_was_carried_out_twice_is_doubled() {
    let mut image = image();
    let again = Entry { position: 6, ..image.entries[2].clone() };
    image.entries.push(again);
    let (promised, _) = both(lines(), &image);
    assert!(promised.told[0].starts_with("doubled"), "{promised:?}");
}

#[test]
fn an_answer_that_names_another_place_is_a_fault() {
    for wrong in [
        answered(3, 201, Some(3), told(201, HELD, 1)),
        answered(3, 201, Some(3), told(201, PAID, 2)),
        answered(3, 201, Some(4), told(201, PAID, 1)),
        answered(3, 201, None, told(201, PAID, 1)),
    ] {
        let mut lines = lines();
        lines[5] = wrong;
        let (promised, _) = both(lines, &image());
        assert_eq!(promised.faults, 1, "{promised:?}");
    }
}

#[test]
fn other_money_than_was_asked_for_is_a_fault() {
    let mut lines = lines();
    lines[4] = sent(3, Ask::Transfer(Move { transfer: PAID, from: BANK, to: SHOP, cents: 101 }));
    let (promised, _) = both(lines, &image());
    assert!(promised.told[0].contains("other than was asked"), "{promised:?}");
}

#[test]
fn what_nobody_asked_for_or_what_was_refused_must_not_be_there() {
    let mut unasked = lines();
    unasked.drain(4..6);
    let mut refused_all_the_same = lines();
    refused_all_the_same[5] = answered(3, 422, Some(2), refused(422, "ledger.insufficient-funds"));
    for lines in [unasked, refused_all_the_same] {
        let (promised, asked) = both(lines, &image());
        assert!(promised.holds());
        assert_eq!(asked.faults, 1, "{asked:?}");
    }
}

#[test]
fn one_event_under_two_keys_was_promised_twice() {
    let mut lines = lines();
    lines.push(sent(17, Ask::Capture { transfer: HELD }));
    lines.push(answered(17, 200, Some(5), told(200, HELD, 2)));
    let (_, asked) = both(lines, &image());
    assert!(asked.told[0].contains("several keys"), "{asked:?}");
}

#[test]
fn what_people_do_is_nobodys_transfer() {
    let mut image = image();
    let mut entry = image.entries.remove(0);
    let at = chrono::DateTime::UNIX_EPOCH;
    let (tenant_id, name) = (PEOPLE, Label::parse("People").unwrap());
    let named = TenantRenamed { tenant_id, before: name.clone(), name, at };
    entry.event = Event::Organisation(OrganisationEvent::TenantRenamed(named));
    let mut lines = lines();
    lines.drain(..2);
    let check = |tenant| {
        let entry = Entry { tenant, ..entry.clone() };
        let mut image = image.clone();
        image.entries.insert(0, entry);
        the_log_is_in_the_journal(&book(lines.clone()), &image, &tenants(), PEOPLE)
    };
    assert!(check(PEOPLE).holds(), "of their organisation it is compared elsewhere");
    assert!(check(TENANT).told[0].contains("nobody asks for"));
}

#[test]
fn what_is_in_doubt_may_be_there_and_is_itself_a_fault() {
    let mut lines = lines();
    lines[5] = Line::Unknown { call: 3, at_us: 35, status: Some(503), why: "timeout".to_owned() };
    let book = book(lines);
    assert!(the_log_is_in_the_journal(&book, &image(), &tenants(), PEOPLE).holds());
    assert_eq!(nothing_is_in_doubt(&book).faults, 1);
    assert!(answers_were_expected(&book).holds(), "503 is an answer that clients know");
}

#[test]
fn a_second_answer_must_be_the_first() {
    let again = |told: Told, position| {
        let mut lines = lines();
        let Line::Sent { at_us, worker, api, tenant, key, hash, asks, .. } = lines[4].clone() else {
            panic!()
        };
        lines.push(Line::Sent { call: 23, at_us, worker, api, tenant, key, hash, asks });
        lines.push(answered(23, told.status, Some(position), told));
        a_key_has_one_answer(&book(lines))
    };
    assert!(again(told(201, PAID, 1), 3).holds());
    for (told, position) in
        [(told(201, PAID, 2), 3), (told(201, PAID, 1), 4), (refused(409, "ledger.transfer-exists"), 3)]
    {
        assert_eq!(again(told, position).faults, 1);
    }
}

#[test]
fn a_key_stands_for_one_request() {
    let with = |other: Told| {
        let mut lines = lines();
        let it = Move { transfer: Uuid::from_u128(99), from: SHOP, to: BANK, cents: 1 };
        let Line::Sent { key, .. } = lines[4] else { panic!() };
        lines.push(Line::Sent {
            call: 31,
            at_us: 310,
            worker: 1,
            api: 1,
            tenant: 0,
            key,
            hash: 2,
            asks: vec![Ask::Transfer(it)],
        });
        lines.push(answered(31, other.status, Some(6), other));
        a_key_has_one_answer(&book(lines))
    };
    assert!(with(refused(422, KEY_REUSED)).holds());
    assert_eq!(with(told(201, Uuid::from_u128(99), 1)).faults, 1);
    assert_eq!(with(refused(422, "ledger.insufficient-funds")).faults, 1);
}

#[test]
fn an_answer_that_no_client_should_see_is_a_fault() {
    let mut lines = lines();
    lines.push(sent(41, Ask::Void { transfer: HELD }));
    lines.push(Line::Unknown { call: 41, at_us: 415, status: Some(500), why: "internal".to_owned() });
    assert_eq!(answers_were_expected(&book(lines)).faults, 1);
}
