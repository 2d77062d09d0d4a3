//! Holds whose time is over: a command that meets them records that first.

use std::collections::BTreeSet;

use super::account::{self, Account};
use super::transfer::{self, ExpireHold, Transfer};
use crate::decision::{Decision, View};
use crate::ids::{AccountId, TransferId};
use crate::stream::StreamId;

/// How many holds one command records as expired before its own turn; more wait for the next command or the reactor.
const DUE_MAX: usize = 64;

/// The holds on `accounts` that are open though their time is over, the earliest first.
fn due(view: &View<'_>, accounts: &[AccountId]) -> Vec<TransferId> {
    let mut due = BTreeSet::new();
    for account in accounts {
        let Some(Account::Open(live)) = view.find::<Account>(account.uuid()).map(|seen| seen.state) else {
            continue;
        };
        due.extend(live.holds().iter().take_while(|(at, _)| *at <= view.now).take(DUE_MAX));
    }
    due.into_iter().take(DUE_MAX).map(|(_, id)| id).collect()
}

/// The streams that expiring the due holds on `accounts` reads: the holds, and once they are known, their accounts.
pub(super) fn streams(view: &View<'_>, accounts: &[AccountId]) -> Vec<StreamId> {
    let mut streams = Vec::new();
    for id in due(view, accounts) {
        streams.push(transfer::stream(id));
        if let Some(seen) = view.find::<Transfer>(id.uuid()) {
            streams.extend(seen.state.accounts().map(account::stream));
        }
    }
    streams
}

/// The commands that record the due holds on `accounts` as expired, as far as everything that they read is at hand.
pub(super) fn decisions(view: &View<'_>, accounts: &[AccountId]) -> Vec<Box<dyn Decision>> {
    due(view, accounts)
        .into_iter()
        .filter(|id| {
            view.find::<Transfer>(id.uuid()).is_some_and(|seen| {
                seen.state.accounts().all(|account| view.find::<Account>(account.uuid()).is_some())
            })
        })
        .map(|transfer_id| Box::new(ExpireHold { transfer_id }) as Box<dyn Decision>)
        .collect()
}
