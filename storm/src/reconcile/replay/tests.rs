//! A log that is damaged in any way is found out.

use super::*;
use crate::reconcile::sample::*;

#[test]
fn a_good_log_is_not_accused() {
    let image = image();
    let whole = the_log_is_whole(&image);
    assert!(whole.holds(), "{whole:?}");
    let (adds_up, standings) = the_log_adds_up(&image);
    assert!(adds_up.holds(), "{adds_up:?}");
    let shop: Vec<Figures> = standings[&(TENANT, SHOP)].iter().map(|it| it.figures).collect();
    assert_eq!(shop, [[0, 100, 0, 0], [0, 100, 0, 100], [0, 200, 0, 0]]);
    let agrees = the_domain_agrees(&image, &standings);
    assert!(agrees.holds(), "{agrees:?}");
}

#[test]
fn holes_doubles_and_a_wrong_head_are_found() {
    let damages: [fn(&mut Image); 6] = [
        |it| drop(it.entries.remove(2)),
        |it| it.entries[3].event_id = it.entries[2].event_id,
        |it| it.entries[4].tenant_seq = 9,
        |it| it.head = 6,
        |it| it.links.truncate(3),
        |it| it.entries[4].version = 7,
    ];
    for damage in damages {
        let mut image = image();
        damage(&mut image);
        assert!(!the_log_is_whole(&image).holds());
    }
}

/// The event at an index, to be damaged.
fn legs(image: &mut Image, at: usize) -> &mut Vec<Leg> {
    match &mut image.entries[at].event {
        Event::Ledger(LedgerEvent::TransferPosted(event)) => &mut event.legs,
        Event::Ledger(LedgerEvent::TransferHeld(event)) => &mut event.legs,
        Event::Ledger(LedgerEvent::HoldPosted(event)) => &mut event.legs,
        other => panic!("{other:?} has no legs"),
    }
}

#[test]
fn figures_versions_and_legs_that_do_not_add_up_are_found() {
    let damages: [fn(&mut Image); 4] = [
        |it| legs(it, 2)[1].after.credits_posted = legs(it, 4)[1].after.credits_posted,
        |it| legs(it, 3)[0].after.version = 9,
        |it| legs(it, 2).truncate(1),
        // A hold that ends without having begun: what it frees was never set aside.
        |it| drop(it.entries.remove(3)),
    ];
    for damage in damages {
        let mut image = image();
        damage(&mut image);
        assert!(!the_log_adds_up(&image).0.holds());
    }
}

#[test]
fn an_account_below_its_limit_is_found() {
    let mut image = image();
    // The bank, which is in the red, may not be.
    legs(&mut image, 2)[0].after.min_balance = Limit::zero();
    let (check, _) = the_log_adds_up(&image);
    assert!(check.told[0].contains("below its limit"), "{check:?}");
}

#[test]
fn a_fold_that_differs_from_the_sum_is_found() {
    let image = image();
    let (_, mut standings) = the_log_adds_up(&image);
    standings.get_mut(&(TENANT, SHOP)).unwrap().pop();
    assert_eq!(the_domain_agrees(&image, &standings).faults, 1);
}
