//! Tokens in memory, and queries over HTTP on a year of a chain's sales.

use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};

use super::Setting;
use crate::figures::{Bound, Figure, Times};
use crate::ledger::{Spread, Transfers, id, open_accounts};
use crate::load::{self, Connection, Load};
use crate::product::{Product, claims};
use service_kit::token::Verifier;

const NAME: &str = "edges";
const TOKENS: u32 = 2_000;
const ACCOUNTS: u32 = 1_000;
/// Transfers that the queries are asked of: as many as a grocery chain has baskets in a year.
const TRANSFERS: u32 = 156_000;
const QUERIES: u32 = 500;

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let product = Product::fresh().await?;
    let mut figures = tokens(&setting, &product)?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    while product.head().await? < i64::from(setting.size(TRANSFERS)) {
        let fill = Load { connections: 4, time: setting.slice, rate: None };
        let batches = Arc::new(Transfers::batches(&product.token, Spread::Uniform(ACCOUNTS), 500));
        load::run(api.address, fill, batches).await?.all_accepted("filling")?;
    }
    let projector = product.projector().await?;
    product.followers_reach(product.head().await?, std::time::Duration::from_secs(600)).await?;
    let query = product.query_api().await?;
    let account = id(1);
    let simple = [format!("/v1/ledger/accounts/{account}"), format!("/v1/ledger/accounts/{account}/balance")];
    let (from, to) = ((Utc::now() - TimeDelta::days(1)).format("%FT%TZ"), Utc::now().format("%FT%TZ"));
    let complex = [
        format!("/v1/ledger/accounts/{account}/statement?from={from}&to={to}&limit=50"),
        "/v1/ledger/trial-balance?limit=100".to_owned(),
        "/v1/ledger/transfers?limit=50".to_owned(),
        "/v1/events?limit=50".to_owned(),
    ];
    for (name, paths, most) in
        [("simple query, p99", &simple[..], 10.0), ("complex query, p99", &complex[..], 50.0)]
    {
        let mut rounds = Vec::new();
        for _ in 0..setting.rounds {
            rounds.push(ask(&setting, &product, query.address, paths).await?);
        }
        figures.push(Figure::new(NAME, name, "ms", rounds).bound(Bound::AtMost(most)));
    }
    drop(projector);
    Ok(figures)
}

async fn ask(
    setting: &Setting,
    product: &Product,
    address: std::net::SocketAddr,
    paths: &[String],
) -> anyhow::Result<f64> {
    let mut connection = Connection::open(address).await?;
    let mut times = Times::default();
    for number in 0..setting.size(QUERIES) {
        for path in paths {
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: quipu\r\nauthorization: Bearer {}\r\n\r\n",
                product.token
            );
            let begun = Instant::now();
            let (status, body) = connection.ask(request.as_bytes()).await?;
            anyhow::ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
            // The first of each plans its statements.
            if number > 0 {
                times.push(begun.elapsed());
            }
        }
    }
    Ok(times.percentile_ms(0.99))
}

fn tokens(setting: &Setting, product: &Product) -> anyhow::Result<Vec<Figure>> {
    let (mut sign, mut verify, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.rounds {
        let verifier: Verifier = product.verifier()?;
        let (mut signing, mut first, mut second) = (Times::default(), Times::default(), Times::default());
        for _ in 0..setting.size(TOKENS) {
            let begun = Instant::now();
            let token = product.signer.mint(&claims())?;
            signing.push(begun.elapsed());
            for times in [&mut first, &mut second] {
                let begun = Instant::now();
                verifier.verify(&token)?;
                times.push(begun.elapsed());
            }
        }
        sign.push(signing.percentile_ms(0.99));
        verify.push(first.percentile_ms(0.99));
        again.push(second.percentile_ms(0.99));
    }
    Ok(vec![
        Figure::new(NAME, "token signed, p99", "ms", sign).bound(Bound::AtMost(1.0)),
        Figure::new(NAME, "token verified, p99", "ms", verify).bound(Bound::AtMost(0.5)),
        Figure::new(NAME, "token verified again, p99", "ms", again),
    ])
}
