//! Codes for devices (RFC 8628): how many are given out beside bare inserts, each with a commit of its own.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Setting;
use crate::figures::{Figure, ratios};
use crate::load::{self, Connection, Load, Requests};
use crate::product::{Process, Product};
use crate::references::References;

const NAME: &str = "device_codes";
const CONNECTIONS: usize = 64;

/// Devices of one service that ask.
struct Asking {
    client: String,
}

impl Requests for Asking {
    fn write(&self, _connection: usize, _number: u64, buffer: &mut Vec<u8>) {
        use std::io::Write as _;
        let body = format!("client_id={}", self.client);
        // Writing to memory cannot fail.
        let _written = write!(
            buffer,
            "POST /oauth2/device_authorization HTTP/1.1\r\nhost: quipu\r\nuser-agent: bench\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
}

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let references = References::prepare(&setting.server).await?;
    let product = Product::fresh().await?;
    let command = product.command_api().await?;
    let asking = Arc::new(Asking { client: service(&product, &command).await? });
    let all_out = Load { connections: CONNECTIONS, time: setting.slice, rate: None };
    let ask = async |load| {
        load::run(command.address, load, asking.clone()).await?.all_accepted("asking for a code")
    };
    // The first ones plan statements and load states.
    ask(all_out).await?;
    let (mut bare, mut rates, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.rounds {
        bare.push(references.inserts(setting.slice).await?);
        let all = ask(all_out).await?;
        rates.push(all.per_second);
        let mut half = ask(Load { rate: Some(all.per_second / 2.0), ..all_out }).await?;
        p50.push(half.times.percentile_ms(0.5));
        p99.push(half.times.percentile_ms(0.99));
    }
    Ok(vec![
        Figure::new(NAME, "bare inserts", "/s", bare.clone()),
        Figure::new(NAME, "device codes", "/s", rates.clone()),
        Figure::new(NAME, "device codes / bare inserts", "x", ratios(&rates, &bare)),
        Figure::new(NAME, "a code at half load, p50", "ms", p50),
        Figure::new(NAME, "a code at half load, p99", "ms", p99),
    ])
}

/// A service without a secret, whose devices may ask: its client id.
async fn service(product: &Product, command: &Process) -> anyhow::Result<String> {
    let body =
        json!({ "name": "Bench", "confidential": false, "grants": ["device-code"], "scopes": ["openid"] });
    let (body, token) = (body.to_string(), &product.token);
    let request = format!(
        "POST /v1/services HTTP/1.1\r\nhost: quipu\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, answer) = Connection::open(command.address).await?.ask(request.as_bytes()).await?;
    anyhow::ensure!(status == 201, "a service: {status} {}", String::from_utf8_lossy(&answer));
    let made: Value = serde_json::from_slice(&answer)?;
    Ok(made["client_id"].as_str().context("a client id")?.to_owned())
}
