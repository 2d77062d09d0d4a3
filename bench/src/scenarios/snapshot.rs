//! Appends while somebody else holds a snapshot, as a dump or a report does.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor as _;

use super::Setting;
use crate::figures::{Bound, Figure, ratios};
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::Product;
use crate::references::{ACCOUNTS, References};
use crate::report::note;

const NAME: &str = "snapshot";
/// How long it is held.
const HELD_SECONDS: u32 = 600;
/// The load while it is held: enough batches that a row which moved with each of them would have become slow.
const RATE: f64 = 2_000.0;

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let references = References::prepare(&setting.server).await?;
    let product = Product::fresh().await?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    let all_out = Load { connections: 64, time: setting.slice, rate: None };
    let transfers = || Arc::new(Transfers::single(&product.token, Spread::Uniform(ACCOUNTS)));
    load::run(api.address, all_out, transfers()).await?;
    let (mut without, mut with, mut bare_without, mut bare_with) = (vec![], vec![], vec![], vec![]);
    for _ in 0..setting.rounds {
        bare_without.push(references.inserts(setting.slice).await?);
        without.push(load::run(api.address, all_out, transfers()).await?.all_accepted(NAME)?.per_second);
    }
    let mut reader = product.database.superuser().await?;
    reader.execute("begin isolation level repeatable read").await?;
    reader.execute("select count(*) from store.log_marks").await?;
    let held = Duration::from_secs(u64::from(setting.size(HELD_SECONDS)));
    note(format_args!("a snapshot is held for {} s under {RATE} transfers a second", held.as_secs()));
    let meanwhile = Load { connections: 64, time: held, rate: Some(RATE) };
    load::run(api.address, meanwhile, transfers()).await?.all_accepted(NAME)?;
    for _ in 0..setting.rounds {
        bare_with.push(references.inserts(setting.slice).await?);
        with.push(load::run(api.address, all_out, transfers()).await?.all_accepted(NAME)?.per_second);
    }
    reader.execute("commit").await?;
    // The machine may have become slower or quicker in ten minutes: each side is taken relative to bare inserts beside it.
    let relative = ratios(&ratios(&with, &bare_with), &ratios(&without, &bare_without));
    Ok(vec![
        Figure::new(NAME, "appends under a long snapshot / without", "x", relative)
            .bound(Bound::AtLeast(0.9)),
        Figure::new(NAME, "transfers without a snapshot", "/s", without),
        Figure::new(NAME, "transfers under a snapshot", "/s", with),
    ])
}
