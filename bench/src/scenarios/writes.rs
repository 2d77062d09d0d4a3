//! Transfers over HTTP beside what the same server does without us.

use std::sync::Arc;

use super::Setting;
use crate::figures::{Bound, Figure, ratios};
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::Product;
use crate::references::{ACCOUNTS, References};
use crate::report::note;

const NAME: &str = "writes";
const CONNECTIONS: usize = 64;
const BATCH: u32 = 100;
/// Connections that send batches: each carries as much as a hundred others.
const BATCH_CONNECTIONS: usize = 8;

#[derive(Default)]
struct Rounds {
    inserts: Vec<f64>,
    classic: Vec<f64>,
    single: Vec<f64>,
    hot: Vec<f64>,
    batches: Vec<f64>,
    api_us: Vec<f64>,
    postgres_us: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let references = References::prepare(&setting.server).await?;
    let product = Product::fresh().await?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    let all_out = Load { connections: CONNECTIONS, time: setting.slice, rate: None };
    let few = Load { connections: BATCH_CONNECTIONS, ..all_out };
    let single = |spread| Arc::new(Transfers::single(&product.token, spread));
    let batches = |spread| Arc::new(Transfers::batches(&product.token, spread, BATCH));
    setting.server.settle().await?;
    // The first requests plan statements and load accounts.
    load::run(api.address, all_out, single(Spread::Uniform(ACCOUNTS))).await?;
    let mut rounds = Rounds::default();
    for round in 1..=setting.rounds {
        rounds.inserts.push(references.inserts(setting.slice).await?);
        rounds.classic.push(references.transfers(setting.slice).await?);
        let used = (api.processor_seconds()?, setting.server.processor_seconds().await?);
        let uniform = load::run(api.address, all_out, single(Spread::Uniform(ACCOUNTS))).await?;
        let transfers = uniform.accepted as f64 / 1e6;
        rounds.api_us.push((api.processor_seconds()? - used.0) / transfers);
        rounds.postgres_us.push((setting.server.processor_seconds().await? - used.1) / transfers);
        let uniform = uniform.all_accepted("transfers")?;
        rounds.single.push(uniform.per_second);
        let half = Load { rate: Some(uniform.per_second / 2.0), ..all_out };
        let mut half = load::run(api.address, half, single(Spread::Uniform(ACCOUNTS)))
            .await?
            .all_accepted("transfers")?;
        rounds.p50.push(half.times.percentile_ms(0.5));
        rounds.p99.push(half.times.percentile_ms(0.99));
        let hot = load::run(api.address, all_out, single(Spread::Hot(ACCOUNTS)))
            .await?
            .all_accepted("hot transfers")?;
        rounds.hot.push(hot.per_second);
        let many =
            load::run(api.address, few, batches(Spread::Uniform(ACCOUNTS))).await?.all_accepted("batches")?;
        rounds.batches.push(many.per_second * f64::from(BATCH));
        note(format_args!(
            "round {round}: R {:.0}, S {:.0}, single {:.0}, hot {:.0}, in batches {:.0} a second; half load p50 {:.2} ms, p99 {:.2} ms; processor per transfer {:.1} + {:.1} us",
            rounds.inserts[round - 1],
            rounds.classic[round - 1],
            rounds.single[round - 1],
            rounds.hot[round - 1],
            rounds.batches[round - 1],
            rounds.p50[round - 1],
            rounds.p99[round - 1],
            rounds.api_us[round - 1],
            rounds.postgres_us[round - 1],
        ));
    }
    Ok(rounds.figures())
}

impl Rounds {
    fn figures(self) -> Vec<Figure> {
        let figure = |name: &str, unit, rounds| Figure::new(NAME, name, unit, rounds);
        vec![
            figure("transfers over HTTP / R", "x", ratios(&self.single, &self.inserts))
                .bound(Bound::AtLeast(1.0)),
            figure("transfers over HTTP / S", "x", ratios(&self.single, &self.classic))
                .bound(Bound::AtLeast(2.5)),
            figure("p99 / p50 at half load", "x", ratios(&self.p99, &self.p50)).bound(Bound::AtMost(5.0)),
            figure("hot account / uniform", "x", ratios(&self.hot, &self.single)).bound(Bound::AtLeast(0.9)),
            figure("transfers in batches of 100 / R", "x", ratios(&self.batches, &self.inserts))
                .bound(Bound::AtLeast(2.0)),
            figure("R: bare inserts, 32 clients", "/s", self.inserts),
            figure("S: classic transfers, 64 clients", "/s", self.classic),
            figure("transfers over HTTP, 64 connections", "/s", self.single),
            figure("transfers over HTTP, one hot account", "/s", self.hot),
            figure("transfers in batches of 100", "/s", self.batches),
            figure("processor of command-api per transfer", "us", self.api_us),
            figure("processor of PostgreSQL per transfer", "us", self.postgres_us),
            figure("p50 at half load", "ms", self.p50),
            figure("p99 at half load", "ms", self.p99),
        ]
    }
}
