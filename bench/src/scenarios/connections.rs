//! Throughput and latency against the number of connections, for the plot.

use std::sync::Arc;

use super::Setting;
use crate::figures::Figure;
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::Product;
use crate::references::ACCOUNTS;

const NAME: &str = "connections";
/// What is tried.
pub(crate) const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 128, 256];

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let product = Product::fresh().await?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    let load = Load { connections: 64, time: setting.slice, rate: None };
    let transfers = || Arc::new(Transfers::single(&product.token, Spread::Uniform(ACCOUNTS)));
    load::run(api.address, load, transfers()).await?;
    let mut rates = CONNECTIONS.map(|_| Vec::new());
    let mut middles = CONNECTIONS.map(|_| Vec::new());
    let mut tails = CONNECTIONS.map(|_| Vec::new());
    for _ in 0..setting.rounds {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            let load = Load { connections, ..load };
            let mut answers = load::run(api.address, load, transfers()).await?.all_accepted(NAME)?;
            rates[at].push(answers.per_second);
            middles[at].push(answers.times.percentile_ms(0.5));
            tails[at].push(answers.times.percentile_ms(0.99));
        }
    }
    let figures = CONNECTIONS.into_iter().zip(rates.into_iter().zip(middles.into_iter().zip(tails)));
    Ok(figures
        .flat_map(|(connections, (rates, (middles, tails)))| {
            let figure = |what: &str, unit, rounds| {
                Figure::new(NAME, format!("{what} at {connections} connections"), unit, rounds)
            };
            [figure("transfers", "/s", rates), figure("p50", "ms", middles), figure("p99", "ms", tails)]
        })
        .collect())
}
