//! Several processes on one store: two command APIs that write the same accounts, and three projectors that share the
//! work of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Setting;
use crate::figures::{Bound, Figure, ratios};
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::{Process, Product};
use crate::references::ACCOUNTS;
use crate::report::note;

const NAME: &str = "processes";
/// Transfers in each batch by which the log is filled for the projectors.
const BATCH: u32 = 500;

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let product = Product::fresh().await?;
    let (first, second) = (product.command_api().await?, product.command_api().await?);
    open_accounts(first.address, &product.token, ACCOUNTS).await?;
    let transfers = || Arc::new(Transfers::single(&product.token, Spread::Uniform(ACCOUNTS)));
    let whole = Load { connections: 64, time: setting.slice, rate: None };
    let half = Load { connections: 32, ..whole };
    load::run(first.address, whole, transfers()).await?;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..setting.rounds {
        alone.push(
            load::run(first.address, whole, transfers()).await?.all_accepted("one process")?.per_second,
        );
        let both = tokio::try_join!(
            load::run(first.address, half, transfers()),
            load::run(second.address, half, transfers())
        )?;
        together.push(both.0.all_accepted("two")?.per_second + both.1.all_accepted("two")?.per_second);
    }
    drop(second);
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for round in 0..setting.rounds.min(3) {
        one.push(catch_up(&setting, &product, &first, 1).await?);
        three.push(catch_up(&setting, &product, &first, 3).await?);
        note(format_args!(
            "round {}: one projector {:.0}, three {:.0} events a second",
            round + 1,
            one[round],
            three[round]
        ));
    }
    Ok(vec![
        Figure::new(NAME, "two command-apis / one", "x", ratios(&together, &alone))
            .bound(Bound::AtLeast(0.6)),
        Figure::new(NAME, "three projectors / one", "x", ratios(&three, &one)).bound(Bound::AtLeast(1.0)),
        Figure::new(NAME, "transfers, one command-api", "/s", alone),
        Figure::new(NAME, "transfers, two command-apis", "/s", together),
        Figure::new(NAME, "all followers, one projector", "ev/s", one),
        Figure::new(NAME, "all followers, three projectors", "ev/s", three),
    ])
}

/// Events a second that all read models and the publisher together take in, with so many projectors.
async fn catch_up(
    setting: &Setting,
    product: &Product,
    api: &Process,
    projectors: usize,
) -> anyhow::Result<f64> {
    let fill = Load { connections: 4, time: setting.slice, rate: None };
    let batches = Arc::new(Transfers::batches(&product.token, Spread::Uniform(ACCOUNTS), BATCH));
    load::run(api.address, fill, batches).await?.all_accepted("filling")?;
    let mut running = Vec::new();
    let (before, head) = (product.slowest_follower().await?, product.head().await?);
    let begun = Instant::now();
    for _ in 0..projectors {
        running.push(product.projector().await?);
    }
    product.followers_reach(head, Duration::from_secs(600)).await?;
    let rate = (head - before) as f64 / begun.elapsed().as_secs_f64();
    for projector in running {
        projector.stop().await?;
    }
    Ok(rate)
}
