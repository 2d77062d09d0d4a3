//! Clients that read while everything breaks. They ask for everything that anybody was told to have happened, so their
//! answers have to be the newest there are; what an answer itself shows to be wrong is noted at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tests::sse::{Event, Parser};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Load;
use crate::journal::{BalanceRead, Line};

/// How many clients read balances.
pub const READERS: u32 = 6;
/// The first number of theirs.
const FIRST: u32 = 2_000;
/// A live stream says something each second, so this long without a byte is a dead one.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Faults that are told; the rest is only counted.
const FAULTS_MAX: usize = 20;

/// What readers have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers with a trial balance.
    pub trial_balances: AtomicU64,
    /// Answers with a list.
    pub lists: AtomicU64,
    /// Reads that were refused because the read model was not there yet, or that had no answer.
    pub without_answer: AtomicU64,
    /// What was wrong.
    pub faults: Mutex<Vec<String>>,
    /// The events that the live stream of the first tenant gave, as their positions, in order.
    pub live: Mutex<Vec<i64>>,
    /// How often the live stream was resumed.
    pub resumed: AtomicU64,
}

impl Seen {
    fn fault(&self, what: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < FAULTS_MAX {
            faults.push(what);
        }
    }
}

#[derive(Deserialize)]
struct Balance {
    version: Option<i64>,
    debits_posted: String,
    credits_posted: String,
    debits_pending: Option<String>,
    credits_pending: Option<String>,
}

#[derive(Deserialize)]
struct TrialBalance {
    totals: Vec<Totals>,
}

#[derive(Deserialize)]
struct Totals {
    currency: String,
    debits_posted: String,
    credits_posted: String,
    debits_pending: String,
    credits_pending: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    transfer_id: Uuid,
}

/// Reads balances, and now and then a trial balance or a list, until told to stop.
///
/// # Errors
/// If the journal cannot be written.
pub async fn read(
    load: Arc<Load>,
    seen: Arc<Seen>,
    number: u32,
    seed: u64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(seed ^ (u64::from(number) << 40));
    let tenant = number as usize % load.tenants.len();
    while !stop.is_cancelled() {
        match rng.u8(0..20) {
            0 => load.trial_balance(&seen, tenant).await?,
            1 => load.list(&seen, tenant).await?,
            _ => {
                let account = rng.choice(&load.tenant(tenant)?.accounts).copied().unwrap_or_default();
                load.balance(&seen, FIRST + number, tenant, account).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// An answer, when it was asked for, the position that was wanted, and the one that it has.
struct Answer<T> {
    content: T,
    called_us: u64,
    wanted: i64,
    served: i64,
}

impl Load {
    /// Reads something as of the newest position that anybody knows of.
    async fn get<T: DeserializeOwned>(
        &self,
        seen: &Seen,
        tenant: usize,
        path: &str,
    ) -> anyhow::Result<Option<Answer<T>>> {
        let (called_us, wanted) = self.journal.asking();
        let request = self.http.get(format!("{}{path}", self.query)).bearer_auth(&self.tenant(tenant)?.token);
        let sent = request.header("Quipu-Position", format!("1-{wanted}")).send().await;
        let answered = match sent {
            Ok(response) => {
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                response.bytes().await.ok().map(|body| (status, headers, body))
            }
            Err(_) => None,
        };
        let Some((status, headers, body)) = answered else {
            seen.without_answer.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        };
        match status {
            200 => {}
            503 if headers.contains_key("retry-after") => {
                seen.without_answer.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
            _ => {
                seen.fault(format!("{path} as of {wanted}: {status} {}", String::from_utf8_lossy(&body)));
                return Ok(None);
            }
        }
        let served =
            headers.get("quipu-position").and_then(|it| it.to_str().ok()?.split_once('-')?.1.parse().ok());
        let (Some(served), Ok(content)) = (served, serde_json::from_slice(&body)) else {
            seen.fault(format!("{path}: an answer of another form: {}", String::from_utf8_lossy(&body)));
            return Ok(None);
        };
        if served < wanted {
            seen.fault(format!("{path}: {wanted} was wanted, {served} was served"));
        }
        Ok(Some(Answer { content, called_us, wanted, served }))
    }

    async fn balance(&self, seen: &Seen, worker: u32, tenant: usize, account: Uuid) -> anyhow::Result<()> {
        let path = format!("/v1/ledger/accounts/{account}/balance");
        let Some(answer) = self.get::<Balance>(seen, tenant, &path).await? else { return Ok(()) };
        let it = &answer.content;
        let figures = [
            Some(&it.debits_posted),
            Some(&it.credits_posted),
            it.debits_pending.as_ref(),
            it.credits_pending.as_ref(),
        ]
        .map(|figure| figure.and_then(|it| cents(it)));
        let [Some(a), Some(b), Some(c), Some(d)] = figures else {
            seen.fault(format!("{path}: a balance without its figures"));
            return Ok(());
        };
        // Before the first movement there is nothing to compare.
        let Some(version) = it.version else { return Ok(()) };
        self.journal.write(&Line::Read(BalanceRead {
            worker,
            tenant,
            account,
            called_us: answer.called_us,
            returned_us: self.journal.now_us(),
            wanted: answer.wanted,
            served: answer.served,
            version,
            figures: [a, b, c, d],
        }))
    }

    async fn trial_balance(&self, seen: &Seen, tenant: usize) -> anyhow::Result<()> {
        let path = "/v1/ledger/trial-balance?limit=1";
        let Some(answer) = self.get::<TrialBalance>(seen, tenant, path).await? else { return Ok(()) };
        seen.trial_balances.fetch_add(1, Ordering::Relaxed);
        for it in answer.content.totals {
            if it.debits_posted != it.credits_posted || it.debits_pending != it.credits_pending {
                seen.fault(format!(
                    "the trial balance at {} does not add up in {}: {} {} {} {}",
                    answer.served,
                    it.currency,
                    it.debits_posted,
                    it.credits_posted,
                    it.debits_pending,
                    it.credits_pending
                ));
            }
        }
        Ok(())
    }

    async fn list(&self, seen: &Seen, tenant: usize) -> anyhow::Result<()> {
        let Some(answer) = self.get::<Page>(seen, tenant, "/v1/ledger/transfers?limit=200").await? else {
            return Ok(());
        };
        seen.lists.fetch_add(1, Ordering::Relaxed);
        let mut ids: Vec<Uuid> = answer.content.items.iter().map(|it| it.transfer_id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != count {
            seen.fault(format!("the list at {} has a transfer twice", answer.served));
        }
        Ok(())
    }
}

/// Cents of a figure with two digits behind the point.
fn cents(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    (part.len() == 2).then(|| format!("{whole}{part}").parse().ok())?
}

/// Follows the live stream of the first tenant, from the first event on, and resumes it wherever it breaks.
///
/// # Errors
/// If there is no tenant.
pub async fn follow(load: Arc<Load>, seen: Arc<Seen>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut last = "1-0".to_owned();
    // A stream may live long, so it has no limit of time as a whole.
    let http = reqwest::Client::builder().connect_timeout(SILENCE_MAX).build()?;
    while !stop.is_cancelled() {
        let request = http
            .get(format!("{}/v1/events/stream", load.query))
            .bearer_auth(&load.tenant(0)?.token)
            .header("Last-Event-ID", &last);
        stop.run_until_cancelled(one_stream(request, &seen, &mut last)).await;
        seen.resumed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Reads one stream until it breaks.
async fn one_stream(request: reqwest::RequestBuilder, seen: &Seen, last: &mut String) {
    let Ok(Ok(mut response)) = tokio::time::timeout(SILENCE_MAX, request.send()).await else { return };
    if !response.status().is_success() {
        return;
    }
    let mut parser = Parser::default();
    while let Ok(Ok(Some(bytes))) = tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
        for event in parser.push(&bytes) {
            take(&event, seen);
        }
        if !parser.last_id.is_empty() {
            last.clone_from(&parser.last_id);
        }
    }
}

fn take(event: &Event, seen: &Seen) {
    // The server's own last words have no dot in their names.
    if !event.name.contains('.') {
        return;
    }
    match event.id.split_once('-').and_then(|(_, position)| position.parse().ok()) {
        Some(position) => seen.live.lock().unwrap_or_else(PoisonError::into_inner).push(position),
        None => seen.fault(format!("a live event without a position: {}", event.id)),
    }
}
