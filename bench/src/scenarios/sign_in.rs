//! Signing in beside the bare hash of a password, and how soon everybody knows that a session has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use service_kit::config::HashConfig;

use super::Setting;
use crate::figures::{Bound, Figure, Times, median, ratios};
use crate::load::{self, Connection, Load, Requests};
use crate::product::{Process, Product};

const NAME: &str = "sign_in";
const SLUG: &str = "bench";
const PASSWORD: &str = "jade-umpire-quartz-lagoon";
const PERSONS: usize = 24;
const CONNECTIONS: usize = 8;
const REVOCATIONS: u32 = 100;
/// After this somebody who has been signed out must not be let in any more.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// Persons who sign in one after the other.
struct SignIns;

impl Requests for SignIns {
    fn write(&self, connection: usize, number: u64, buffer: &mut Vec<u8>) {
        let number = usize::try_from(number).unwrap_or_default();
        sign_in((connection + number * CONNECTIONS) % PERSONS, buffer);
    }
}

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let product = Product::fresh().await?;
    people(&product).await?;
    let (command, query) = (product.command_api().await?, product.query_api().await?);
    let _projector = product.projector().await?;
    let config = HashConfig::default();
    let all_out = Load { connections: CONNECTIONS, time: setting.slice, rate: None };
    // The first ones plan statements and load states.
    load::run(command.address, all_out, Arc::new(SignIns)).await?.all_accepted("signing in")?;
    let (mut bare, mut rates, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut revoked_p50, mut revoked_p99) = (Vec::new(), Vec::new());
    for _ in 0..setting.rounds {
        bare.push(bare_hashes(&config, setting.slice)?);
        let all = load::run(command.address, all_out, Arc::new(SignIns)).await?.all_accepted("signing in")?;
        rates.push(all.per_second);
        let half = Load { rate: Some(all.per_second / 2.0), ..all_out };
        let mut half =
            load::run(command.address, half, Arc::new(SignIns)).await?.all_accepted("signing in")?;
        p50.push(half.times.percentile_ms(0.5));
        p99.push(half.times.percentile_ms(0.99));
        let mut times = revocations(&command, &query, setting.size(REVOCATIONS)).await?;
        revoked_p50.push(times.percentile_ms(0.5));
        revoked_p99.push(times.percentile_ms(0.99));
    }
    let hash_ms = f64::from(config.threads()) * 1000.0 / median(&bare);
    Ok(vec![
        Figure::new(NAME, "a password hashed", "ms", vec![hash_ms]).bound(Bound::AtMost(100.0)),
        Figure::new(NAME, "bare hashes", "/s", bare.clone()),
        Figure::new(NAME, "people signed in", "/s", rates.clone()),
        Figure::new(NAME, "people signed in / bare hashes", "x", ratios(&rates, &bare)),
        Figure::new(NAME, "signed in at half load, p50", "ms", p50),
        Figure::new(NAME, "signed in at half load, p99", "ms", p99),
        Figure::new(NAME, "session ended, known to the other API, p50", "ms", revoked_p50),
        Figure::new(NAME, "session ended, known to the other API, p99", "ms", revoked_p99)
            .bound(Bound::AtMost(1000.0)),
    ])
}

/// Hashes a second of the library alone, on as many threads as the product uses.
fn bare_hashes(config: &HashConfig, time: Duration) -> anyhow::Result<f64> {
    let params = || Params::new(config.hash_memory_kib, config.hash_passes, 1, None);
    let begun = Instant::now();
    let counts: anyhow::Result<Vec<u32>> = std::thread::scope(|scope| {
        let one = || {
            let params = params()?;
            let mut memory = vec![Block::new(); params.block_count()];
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let (mut hash, mut count) = ([0; 32], 0);
            while begun.elapsed() < time {
                argon.hash_password_into_with_memory(
                    PASSWORD.as_bytes(),
                    b"sixteen bytes ..",
                    &mut hash,
                    &mut memory,
                )?;
                count += 1;
            }
            anyhow::Ok(count)
        };
        let threads: Vec<_> = (0..config.threads()).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|it| it.join().map_err(|_| anyhow::anyhow!("a thread ended"))?).collect()
    });
    Ok(f64::from(counts?.iter().sum::<u32>()) / begun.elapsed().as_secs_f64())
}

/// How long after the answer to a sign-out the other API still believes the access token.
async fn revocations(command: &Process, query: &Process, count: u32) -> anyhow::Result<Times> {
    let (mut asked, mut told) =
        (Connection::open(command.address).await?, Connection::open(query.address).await?);
    let mut times = Times::default();
    for number in 0..count {
        let mut request = Vec::new();
        sign_in(number as usize % PERSONS, &mut request);
        let (status, body) = asked.ask(&request).await?;
        anyhow::ensure!(status == 200, "signing in: {status} {}", String::from_utf8_lossy(&body));
        let tokens: serde_json::Value = serde_json::from_slice(&body)?;
        let access = tokens["access_token"].as_str().context("an access token")?;
        let me =
            format!("GET /v1/permissions HTTP/1.1\r\nhost: quipu\r\nauthorization: Bearer {access}\r\n\r\n");
        let (status, body) = told.ask(me.as_bytes()).await?;
        anyhow::ensure!(status == 200, "asking: {status} {}", String::from_utf8_lossy(&body));
        let mut request = Vec::new();
        let body = serde_json::json!({ "refresh_token": tokens["refresh_token"] }).to_string();
        post("/v1/auth/logout", &body, &mut request);
        let (status, _) = asked.ask(&request).await?;
        anyhow::ensure!(status == 204, "signing out: {status}");
        let ended = Instant::now();
        while told.ask(me.as_bytes()).await?.0 != 401 {
            anyhow::ensure!(ended.elapsed() < REVOKED_WITHIN, "the session is still believed");
        }
        times.push(ended.elapsed());
    }
    Ok(times)
}

fn sign_in(person: usize, buffer: &mut Vec<u8>) {
    let body = format!(
        r#"{{"tenant_slug":"{SLUG}","email":"person-{person}@example.com","password":"{PASSWORD}"}}"#
    );
    post("/v1/auth/login", &body, buffer);
}

fn post(path: &str, body: &str, buffer: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to memory cannot fail.
    let _written = write!(
        buffer,
        "POST {path} HTTP/1.1\r\nhost: quipu\r\nuser-agent: bench\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// An organisation, and those who sign in to it.
async fn people(product: &Product) -> anyhow::Result<()> {
    let tenant = product.operate(&["tenant", "create", "--slug", SLUG, "--name", "Bench"], "").await?;
    for person in 0..PERSONS {
        let email = format!("person-{person}@example.com");
        let arguments = ["user", "add", "--tenant", tenant.trim(), "--email", &email, "--role", "user"];
        product.operate(&arguments, PASSWORD).await?;
    }
    Ok(())
}
