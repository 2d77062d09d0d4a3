//! From an HTTP answer to what a client knows then.

use reqwest::RequestBuilder;
use serde::Deserialize;
use uuid::Uuid;

use crate::journal::Told;

/// What a client knows.
pub(super) enum Reply {
    /// The outcome.
    Final { status: u16, position: Option<i64>, replayed: bool, told: Vec<Told> },
    /// Nothing: it may have happened, or may still happen.
    Unknown { status: Option<u16>, why: String },
}

#[derive(Deserialize)]
struct Accepted {
    id: Uuid,
    version: i64,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    id: Option<Uuid>,
    version: Option<i64>,
    problem: Option<Problem>,
}

/// Sends a request for so many things and reads the whole answer.
pub(super) async fn of(request: RequestBuilder, asks: usize) -> Reply {
    match read(request, asks).await {
        Ok(reply) => reply,
        Err(error) => Reply::Unknown { status: None, why: why(&error) },
    }
}

fn why(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else if error.is_body() || error.is_decode() {
        "cut in the answer"
    } else {
        "cut"
    };
    kind.to_owned()
}

async fn read(request: RequestBuilder, asks: usize) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let position = header("quipu-position").and_then(|it| it.split_once('-')?.1.parse().ok());
    let replayed = header("idempotent-replayed").is_some();
    let body = response.bytes().await?;
    let told = match status {
        200 | 201 if asks > 1 => serde_json::from_slice(&body).map(|it: Batch| items(it)),
        200 | 201 => serde_json::from_slice(&body).map(|Accepted { id, version }| {
            vec![Told { status, id: Some(id), version: Some(version), code: String::new() }]
        }),
        // An overload, a timeout, a fault: the outcome is not known.
        408 | 429 | 500.. => {
            let why = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Ok(Reply::Unknown { status: Some(status), why });
        }
        _ => serde_json::from_slice(&body)
            .map(|Problem { code }| vec![Told { status, id: None, version: None, code }]),
    };
    Ok(match told {
        Ok(told) => Reply::Final { status, position, replayed, told },
        Err(error) => Reply::Unknown { status: Some(status), why: format!("the body is none: {error}") },
    })
}

fn items(batch: Batch) -> Vec<Told> {
    let told = |it: Item| Told {
        status: it.status,
        id: it.id,
        version: it.version,
        code: it.problem.map(|it| it.code).unwrap_or_default(),
    };
    batch.results.into_iter().map(told).collect()
}
