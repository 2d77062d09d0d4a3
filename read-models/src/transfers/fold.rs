//! From events to rows of `transfers`.

use std::collections::{BTreeMap, HashMap};

use domain::Event;
use domain::ids::TransferId;
use domain::ledger::{LedgerEvent, Leg};
use event_store::Recorded;
use rust_decimal::Decimal;
use sqlx::types::Json;

use super::{TransferLeg, TransferRow};
use crate::read_model::{Item, Key, ProjectionError};

/// Folds items into rows; `rows` holds those that existed before. A reversal comes twice: once for the transfer that
/// moves back, once for the one that is moved back.
/// Refuses an event that cannot be read, and one that changes a transfer that was never made.
pub(super) fn fold(rows: &mut HashMap<Key, TransferRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Ledger(event) = item.event()? else { continue };
        let recorded = item.recorded;
        let key = (recorded.tenant.uuid(), item.partition);
        let own = event.transfer_id() == Some(TransferId::new(item.partition));
        if let Some(row) = begun(event, recorded).filter(|_| own) {
            rows.insert(key, row);
            continue;
        }
        let row = rows.get_mut(&key).ok_or_else(|| ProjectionError::Poisoned {
            position: recorded.position,
            reason: "it changes a transfer that was never made".to_owned(),
        })?;
        changed(row, event, recorded);
        row.version += 1;
        row.position = recorded.position;
    }
    Ok(())
}

/// The row of a transfer that an event begins.
fn begun(event: &LedgerEvent, recorded: &Recorded) -> Option<TransferRow> {
    let row = |legs: &[Leg], effective_at, held: bool| TransferRow {
        tenant_id: recorded.tenant.uuid(),
        transfer_id: recorded.stream.id,
        status: if held { "pending" } else { "posted" }.to_owned(),
        expired: false,
        reversed: false,
        reverses: None,
        code: None,
        metadata: Json(BTreeMap::new()),
        legs: Json(legs.iter().map(|leg| leg_of(leg, held)).collect()),
        effective_at,
        recorded_at: recorded.recorded_at,
        expires_at: None,
        version: recorded.version,
        first_position: recorded.position,
        posted_position: (!held).then_some(recorded.position),
        position: recorded.position,
    };
    match event {
        LedgerEvent::TransferPosted(event) => Some(TransferRow {
            code: event.code.as_ref().map(|it| it.as_str().to_owned()),
            metadata: Json(event.metadata.entries().clone()),
            ..row(&event.legs, event.effective_at, false)
        }),
        LedgerEvent::TransferHeld(event) => Some(TransferRow {
            code: event.code.as_ref().map(|it| it.as_str().to_owned()),
            metadata: Json(event.metadata.entries().clone()),
            expires_at: event.expires_at,
            ..row(&event.legs, event.effective_at, true)
        }),
        LedgerEvent::TransferReversed(event) => Some(TransferRow {
            reverses: Some(event.original_id.uuid()),
            ..row(&event.legs, event.effective_at, false)
        }),
        _ => None,
    }
}

fn leg_of(leg: &Leg, held: bool) -> TransferLeg {
    let amount = leg.amount.amount();
    let nothing = Decimal::new(0, amount.scale());
    TransferLeg {
        account_id: leg.account_id.uuid(),
        side: leg.side.as_str().to_owned(),
        currency: leg.amount.currency().code().to_owned(),
        amount,
        held: if held { amount } else { nothing },
        posted: if held { nothing } else { amount },
        reversed: nothing,
    }
}

fn changed(row: &mut TransferRow, event: &LedgerEvent, recorded: &Recorded) {
    match event {
        LedgerEvent::HoldPosted(event) => {
            row.status = "posted".to_owned();
            row.effective_at = event.effective_at;
            row.posted_position = Some(recorded.position);
            freed(row);
            each(row, &event.legs, |leg, amount| leg.posted = amount);
        }
        LedgerEvent::HoldVoided(_) => {
            row.status = "voided".to_owned();
            freed(row);
        }
        LedgerEvent::HoldExpired(_) => {
            row.status = "expired".to_owned();
            freed(row);
        }
        LedgerEvent::TransferReversed(event) => {
            each(row, &event.legs, |leg, amount| leg.reversed += amount);
            row.reversed = row.legs.iter().all(|leg| leg.reversed == leg.posted);
        }
        _ => {}
    }
}

fn freed(row: &mut TransferRow) {
    for leg in &mut row.legs.0 {
        leg.held = Decimal::new(0, leg.amount.scale());
    }
}

/// A transfer touches an account at most once.
fn each(row: &mut TransferRow, legs: &[Leg], change: impl Fn(&mut TransferLeg, Decimal)) {
    for leg in &mut row.legs.0 {
        if let Some(other) = legs.iter().find(|it| it.account_id.uuid() == leg.account_id) {
            change(leg, other.amount.amount());
        }
    }
}
