//! From the log to NATS, beside a bare publish; and how soon an event is seen by others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use projector::{Projector, ProjectorOptions, StreamOptions};
use service_kit::config::NatsConfig;
use tokio_util::sync::CancellationToken;

use super::Setting;
use crate::figures::{Bound, Figure, Times, ratios};
use crate::ledger::{self, Spread, Transfers, open_accounts};
use crate::load::{self, Connection, Load, Requests as _};
use crate::product::Product;
use crate::report::note;

const NAME: &str = "fan_out";
const ACCOUNTS: u32 = 1_000;
/// Messages under way at once in the bare publish.
const IN_FLIGHT: usize = 256;
/// Bytes of its messages: about what an event of a transfer has.
const MESSAGE_BYTES: usize = 1_200;
/// Idle transfers whose way is timed.
const IDLE: u32 = 300;
/// Between two of them, so that everybody is idle again.
const QUIET: Duration = Duration::from_millis(40);
const WAIT: Duration = Duration::from_secs(600);

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let client = service_kit::nats::connect(&NatsConfig::at(&tests::stack::nats_url()?), "bench").await?;
    let product = Product::fresh().await?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=setting.rounds {
        let fill = Load { connections: 4, time: setting.slice, rate: None };
        let batches = Arc::new(Transfers::batches(&product.token, Spread::Uniform(ACCOUNTS), 500));
        load::run(api.address, fill, batches).await?.all_accepted("filling")?;
        bare.push(bare_publish(&client, setting.slice).await?);
        ours.push(publish(&product, &client).await?);
        note(format_args!(
            "round {round}: N {:.0}, publisher {:.0} a second",
            bare[round - 1],
            ours[round - 1]
        ));
    }
    let (to_nats, to_model) = idle(&setting, &product, &client, api.address).await?;
    Ok(vec![
        Figure::new(NAME, "publisher / N", "x", ratios(&ours, &bare)).bound(Bound::AtLeast(0.5)),
        Figure::new(NAME, "answer to message, idle, p50", "ms", to_nats).bound(Bound::AtMost(5.0)),
        Figure::new(NAME, "answer to read model, idle, p50", "ms", to_model).bound(Bound::AtMost(10.0)),
        Figure::new(NAME, "N: bare pipelined publish", "/s", bare),
        Figure::new(NAME, "publisher", "/s", ours),
    ])
}

/// `N`: messages a second into a stream of its own.
async fn bare_publish(client: &async_nats::Client, time: Duration) -> anyhow::Result<f64> {
    let jetstream = async_nats::jetstream::new(client.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "bench".to_owned(),
        subjects: vec!["bench.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(config).await?;
    let payload = bytes::Bytes::from(vec![b'x'; MESSAGE_BYTES]);
    let mut under_way = FuturesUnordered::new();
    let (begun, mut done) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        while under_way.len() < IN_FLIGHT {
            under_way.push(jetstream.publish("bench.message", payload.clone()).await?.into_future());
        }
        under_way.next().await.context("nothing is under way")??;
        done += 1;
    }
    while let Some(acknowledged) = under_way.next().await {
        acknowledged?;
        done += 1;
    }
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    jetstream.delete_stream("bench").await?;
    Ok(rate)
}

/// Messages a second of our publisher, with nothing else at work.
async fn publish(product: &Product, client: &async_nats::Client) -> anyhow::Result<f64> {
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(product.database.options("quipu_projector")?, shutdown.clone());
    let stream = StreamOptions { max_bytes: 8 << 30, ..StreamOptions::default() };
    let (before, head) = (product.published().await?, product.head().await?);
    let begun = Instant::now();
    let projector = Projector::start(ProjectorOptions {
        followers: Vec::new(),
        nats: Some(client.clone()),
        stream,
        ..options
    });
    product.published_reaches(head, WAIT).await?;
    let rate = (head - before) as f64 / begun.elapsed().as_secs_f64();
    shutdown.cancel();
    projector.stopped().await;
    Ok(rate)
}

/// Medians of the time from an answer to the message, and to the read model, one transfer at a time.
async fn idle(
    setting: &Setting,
    product: &Product,
    client: &async_nats::Client,
    address: std::net::SocketAddr,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let _projector = product.projector().await?;
    product.followers_reach(product.head().await?, WAIT).await?;
    let mut messages = client.subscribe("quipu.*.ledger.transfer.posted").await?;
    let transfers = Transfers::single(&product.token, Spread::Uniform(ACCOUNTS));
    let mut connection = Connection::open(address).await?;
    let (mut to_nats, mut to_model) = (Vec::new(), Vec::new());
    for round in 0..setting.rounds {
        let (mut nats, mut model) = (Times::default(), Times::default());
        for number in 0..setting.size(IDLE) {
            tokio::time::sleep(QUIET).await;
            let mut request = Vec::new();
            transfers.write(round, u64::from(number), &mut request);
            let (status, body) = connection.ask(&request).await?;
            anyhow::ensure!(status == 201, "{status}");
            let answered = Instant::now();
            let position = ledger::position_of(&body)?;
            let message = async {
                messages.next().await.context("no message")?;
                anyhow::Ok(answered.elapsed())
            };
            let seen = async {
                product.follower_reaches("accounts", position, WAIT).await?;
                anyhow::Ok(answered.elapsed())
            };
            let (message, seen) = tokio::try_join!(message, seen)?;
            nats.push(message);
            model.push(seen);
        }
        to_nats.push(nats.percentile_ms(0.5));
        to_model.push(model.percentile_ms(0.5));
    }
    Ok((to_nats, to_model))
}
