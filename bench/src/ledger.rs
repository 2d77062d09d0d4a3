//! Accounts with money, and requests that move it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use uuid::Uuid;

use crate::load::{Connection, Requests};

/// Items of a batch that sets accounts up.
const SET_UP_ITEMS: u32 = 500;
/// Where the money of all accounts comes from; it may owe.
const SOURCE: u32 = 0;

/// Opens accounts `1..=count` and gives each a million.
pub(crate) async fn open_accounts(address: SocketAddr, token: &str, count: u32) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    let source = format!(
        r#"{{"open_account":{{"id":"{}","name":"source","currency":"EUR","min_balance":null}}}}"#,
        id(SOURCE)
    );
    run_batch(&mut connection, token, "source", &source).await?;
    let mut first = 1;
    while first <= count {
        let last = count.min(first + SET_UP_ITEMS - 1);
        let opened = (first..=last).map(|n| {
            format!(r#"{{"open_account":{{"id":"{}","name":"account {n}","currency":"EUR"}}}}"#, id(n))
        });
        run_batch(&mut connection, token, &format!("open-{first}"), &opened.collect::<Vec<_>>().join(","))
            .await?;
        let funded =
            (first..=last).map(|n| format!(r#"{{"transfer":{}}}"#, transfer(SOURCE, n, "1000000.00")));
        run_batch(&mut connection, token, &format!("fund-{first}"), &funded.collect::<Vec<_>>().join(","))
            .await?;
        first = last + 1;
    }
    Ok(())
}

async fn run_batch(connection: &mut Connection, token: &str, key: &str, items: &str) -> anyhow::Result<()> {
    let mut request = Vec::new();
    write_request(
        &mut request,
        "/v1/ledger/batches",
        token,
        key,
        &format!(r#"{{"atomic":true,"items":[{items}]}}"#),
    );
    let (status, body) = connection.ask(&request).await.context("setting accounts up")?;
    let body = String::from_utf8_lossy(&body);
    anyhow::ensure!(status == 200 && !body.contains("\"problem\""), "setting accounts up: {status} {body}");
    Ok(())
}

/// Which accounts a transfer touches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spread {
    /// Any two of so many.
    Uniform(u32),
    /// From the first one to any other of so many.
    Hot(u32),
}

impl Spread {
    /// Who pays whom.
    pub(crate) fn pair(self, random: &mut fastrand::Rng) -> (u32, u32) {
        match self {
            Self::Uniform(count) => {
                let from = random.u32(1..=count);
                (from, 1 + (from + random.u32(0..count - 1)) % count)
            }
            Self::Hot(count) => (1, random.u32(2..=count)),
        }
    }
}

/// Transfers, one a request or several in a batch, each request with a key of its own.
pub(crate) struct Transfers {
    token: String,
    spread: Spread,
    batch: u32,
    /// Tells runs apart, so that no key comes twice.
    run: Uuid,
}

impl Transfers {
    /// One a request.
    pub(crate) fn single(token: &str, spread: Spread) -> Self {
        Self { token: token.to_owned(), spread, batch: 1, run: Uuid::now_v7() }
    }

    /// So many a request.
    pub(crate) fn batches(token: &str, spread: Spread, batch: u32) -> Self {
        Self { batch, ..Self::single(token, spread) }
    }
}

impl Requests for Transfers {
    fn write(&self, connection: usize, number: u64, buffer: &mut Vec<u8>) {
        let mut random =
            fastrand::Rng::with_seed(self.run.as_u128() as u64 ^ (connection as u64) << 40 ^ number);
        let key = format!("{}-{connection}-{number}", self.run.simple());
        if self.batch == 1 {
            let (from, to) = self.spread.pair(&mut random);
            write_request(buffer, "/v1/ledger/transfers", &self.token, &key, &transfer(from, to, "0.01"));
            return;
        }
        let mut body = String::from(r#"{"items":["#);
        for item in 0..self.batch {
            let (from, to) = self.spread.pair(&mut random);
            let comma = if item == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _written = write!(body, r#"{comma}{{"transfer":{}}}"#, transfer(from, to, "0.01"));
        }
        body.push_str("]}");
        write_request(buffer, "/v1/ledger/batches", &self.token, &key, &body);
    }
}

fn transfer(from: u32, to: u32, amount: &str) -> String {
    let leg = |account, side| {
        let id = id(account);
        format!(
            r#"{{"account_id":"{id}","side":"{side}","amount":{{"amount":"{amount}","currency":"EUR"}}}}"#
        )
    };
    format!(r#"{{"legs":[{},{}]}}"#, leg(from, "debit"), leg(to, "credit"))
}

/// The account with this number. Numbers of one run lie side by side, as those of a tenant that was set up at once.
pub(crate) fn id(account: u32) -> Uuid {
    Uuid::from_u128(0x0190_a5c4_7c1e_7000_8000_0000_0000_0000 + u128::from(account))
}

fn write_request(buffer: &mut Vec<u8>, path: &str, token: &str, key: &str, body: &str) {
    use std::io::Write as _;
    // Writing to memory cannot fail.
    let _written = write!(
        buffer,
        "POST {path} HTTP/1.1\r\nhost: quipu\r\nuser-agent: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
}

/// The position in an accepted answer.
pub(crate) fn position_of(body: &[u8]) -> anyhow::Result<i64> {
    let body: serde_json::Value = serde_json::from_slice(body)?;
    let position =
        body["position"].as_str().and_then(|it| it.split_once('-')).context("an answer without position")?.1;
    Ok(position.parse()?)
}
