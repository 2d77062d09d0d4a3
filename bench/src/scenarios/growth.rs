//! One log that grows: what a follower and a rebuild take of it, what memory the writer keeps, and whether an append
//! costs the same at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use projector::rebuild::{Control, Options, Rebuilder};
use projector::{Projector, ProjectorOptions};
use sqlx::postgres::PgPoolCopyExt as _;
use tokio_util::sync::CancellationToken;

use super::Setting;
use crate::figures::{Bound, Figure, median, ratios};
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::{Process, Product};
use crate::references::References;
use crate::report::note;

const NAME: &str = "growth";
const ACCOUNTS: u32 = 100_000;
/// The sizes at which things are measured.
const SMALL: u32 = 100_000;
const MIDDLE: u32 = 1_000_000;
const LARGE: u32 = 5_000_000;
const WAIT: Duration = Duration::from_secs(1_200);

/// An append at one size of the log, relative to a bare insert of the same minute.
struct Cost {
    transfers: Vec<f64>,
    relative: Vec<f64>,
}

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let references = References::prepare(&setting.server).await?;
    let product = Product::fresh().await?;
    let api = product.command_api().await?;
    let accounts = setting.size(ACCOUNTS);
    open_accounts(api.address, &product.token, accounts).await?;
    let fill = Fill { setting: &setting, product: &product, api: &api, accounts };
    fill.up_to(setting.size(SMALL) + 2 * accounts).await?;
    let small = fill.cost(&references).await?;
    fill.up_to(setting.size(MIDDLE) + 2 * accounts).await?;
    let memory = api.memory_mib()?;
    let middle_sized = fill.cost(&references).await?;
    let mut figures = vec![
        Figure::new(NAME, "command-api after a million transfers", "MiB", vec![memory])
            .bound(Bound::AtMost(256.0)),
    ];
    figures.extend(reading(&setting, &product).await?);
    fill.up_to(setting.size(LARGE)).await?;
    let large = fill.cost(&references).await?;
    let middle = median(&large.relative);
    let cost = small.relative.iter().map(|it| it / middle).collect();
    let inverse = |values: &[f64]| values.iter().map(|it| 1.0 / it).collect::<Vec<_>>();
    for (name, at) in [("100,000", &small), ("1,000,000", &middle_sized), ("5,000,000", &large)] {
        figures.push(Figure::new(
            NAME,
            format!("cost of an append with {name} events"),
            "R",
            inverse(&at.relative),
        ));
    }
    figures.push(
        Figure::new(NAME, "cost of an append, 5,000,000 / 100,000", "x", cost).bound(Bound::AtMost(1.2)),
    );
    figures.push(Figure::new(NAME, "transfers with 100,000 events", "/s", small.transfers));
    figures.push(Figure::new(NAME, "transfers with 5,000,000 events", "/s", large.transfers));
    Ok(figures)
}

struct Fill<'a> {
    setting: &'a Setting,
    product: &'a Product,
    api: &'a Process,
    accounts: u32,
}

impl Fill<'_> {
    async fn up_to(&self, events: u32) -> anyhow::Result<()> {
        let slice = Load { connections: 4, time: Duration::from_secs(10), rate: None };
        loop {
            let head = self.product.head().await?;
            note(format_args!("{head} of {events} events"));
            if head >= i64::from(events) {
                return Ok(());
            }
            let batches = Transfers::batches(&self.product.token, Spread::Uniform(self.accounts), 500);
            // Short of the end, so that sizes are about what they are called.
            let time = if i64::from(events) - head < 200_000 { Duration::from_secs(2) } else { slice.time };
            load::run(self.api.address, Load { time, ..slice }, Arc::new(batches))
                .await?
                .all_accepted("filling")?;
        }
    }

    async fn cost(&self, references: &References) -> anyhow::Result<Cost> {
        let load = Load { connections: 64, time: self.setting.slice, rate: None };
        let transfers = || Arc::new(Transfers::single(&self.product.token, Spread::Uniform(10_000)));
        load::run(self.api.address, load, transfers()).await?;
        let (mut rates, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.setting.rounds {
            bare.push(references.inserts(self.setting.slice).await?);
            rates.push(load::run(self.api.address, load, transfers()).await?.all_accepted(NAME)?.per_second);
        }
        Ok(Cost { relative: ratios(&rates, &bare), transfers: rates })
    }
}

/// What one read model takes in page by page, and when it is built anew, beside a plain copy of the events.
async fn reading(setting: &Setting, product: &Product) -> anyhow::Result<Vec<Figure>> {
    let options = product.database.options("quipu_projector")?;
    let head = product.head().await?;
    let followers = projector::registry::read_models();
    let (mut copied, mut kept_up, mut rebuilt) = (Vec::new(), Vec::new(), Vec::new());
    copied.push(copy(product).await?);
    for model in ["accounts", "transfers"] {
        let one = followers.iter().filter(|it| it.name() == model).cloned().collect();
        let shutdown = CancellationToken::new();
        let options = ProjectorOptions::new(options.clone(), shutdown.clone());
        let begun = Instant::now();
        let projector = Projector::start(ProjectorOptions { followers: one, ..options });
        product.follower_reaches(model, head, WAIT).await?;
        kept_up.push(head as f64 / begun.elapsed().as_secs_f64());
        shutdown.cancel();
        projector.stopped().await;
        copied.push(copy(product).await?);
    }
    let c = median(&copied);
    let rebuilder = Rebuilder::new(options, 2);
    for model in ["accounts", "transfers"] {
        let unverified = Options { verify: false, ..Options::default() };
        let outcome = rebuilder.rebuild(model, &unverified, &Control::default()).await?;
        rebuilt.push(head as f64 / outcome.took.as_secs_f64());
    }
    note(format_args!(
        "C {c:.0}, keeping up {kept_up:.0?}, rebuild {rebuilt:.0?} events a second ({})",
        setting.rounds
    ));
    let figure = |name: &str, unit, rounds| Figure::new(NAME, name, unit, rounds);
    let of_c = |values: &[f64]| values.iter().map(|it| it / c).collect::<Vec<_>>();
    Ok(vec![
        figure("accounts keeping up", "ev/s", vec![kept_up[0]]).bound(Bound::AtLeast(60_000.0)),
        figure("accounts keeping up / C", "x", of_c(&kept_up[..1])).bound(Bound::AtLeast(0.15)),
        figure("accounts built anew / C", "x", of_c(&rebuilt[..1])).bound(Bound::AtLeast(0.5)),
        figure("transfers keeping up", "ev/s", vec![kept_up[1]]),
        figure("transfers built anew / C", "x", of_c(&rebuilt[1..])),
        figure("C: the events copied out", "ev/s", copied),
    ])
}

/// `C`: events a second that a plain copy reads out.
async fn copy(product: &Product) -> anyhow::Result<f64> {
    let head = product.head().await?;
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(product.database.options("quipu_projector")?)
        .await?;
    let begun = Instant::now();
    let mut rows = pool.copy_out_raw("copy (select * from store.events) to stdout").await?;
    while rows.try_next().await?.is_some() {}
    Ok(head as f64 / begun.elapsed().as_secs_f64())
}
