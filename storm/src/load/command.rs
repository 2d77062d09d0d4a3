//! Commands as clients make them: a path, a body, a key, and what they ask for.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use fastrand::Rng;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::journal::{Ask, Move};

/// One command.
#[derive(Debug, Clone)]
pub struct Command {
    /// The number of the tenant.
    pub tenant: usize,
    /// Its idempotency key.
    pub key: Uuid,
    /// Stands for path and body.
    pub hash: u64,
    /// What it asks for.
    pub asks: Vec<Ask>,
    path: String,
    body: Value,
}

impl Command {
    fn new(tenant: usize, asks: Vec<Ask>, path: String, body: Value) -> Self {
        let mut hasher = DefaultHasher::new();
        (&path, body.to_string()).hash(&mut hasher);
        Self { tenant, key: Uuid::now_v7(), hash: hasher.finish(), asks, path, body }
    }

    /// Opens an account; `unbounded` lets it go to any depth.
    #[must_use]
    pub fn open(tenant: usize, account: Uuid, unbounded: bool) -> Self {
        let path = "/v1/ledger/accounts".to_owned();
        Self::new(tenant, vec![Ask::Open { account }], path, opening(account, unbounded))
    }

    /// Moves cents.
    #[must_use]
    pub fn transfer(tenant: usize, from: Uuid, to: Uuid, cents: u32) -> Self {
        let it = Move { transfer: Uuid::now_v7(), from, to, cents };
        Self::new(tenant, vec![Ask::Transfer(it)], "/v1/ledger/transfers".to_owned(), moving(it))
    }

    /// Sets cents aside, for some seconds or without an end.
    #[must_use]
    pub fn hold(tenant: usize, from: Uuid, to: Uuid, cents: u32, seconds: Option<u32>) -> Self {
        let it = Move { transfer: Uuid::now_v7(), from, to, cents };
        let mut body = moving(it);
        if let Some(body) = body.as_object_mut() {
            let hold = seconds.map_or_else(|| json!({}), |it| json!({ "expires_in": it }));
            body.insert("hold".to_owned(), hold);
        }
        Self::new(tenant, vec![Ask::Hold(it)], "/v1/ledger/transfers".to_owned(), body)
    }

    /// Posts a hold, whole.
    #[must_use]
    pub fn capture(tenant: usize, transfer: Uuid) -> Self {
        let path = format!("/v1/ledger/transfers/{transfer}/post");
        Self::new(tenant, vec![Ask::Capture { transfer }], path, json!({}))
    }

    /// Voids a hold.
    #[must_use]
    pub fn void(tenant: usize, transfer: Uuid) -> Self {
        let path = format!("/v1/ledger/transfers/{transfer}/void");
        Self::new(tenant, vec![Ask::Void { transfer }], path, Value::Null)
    }

    /// Opens an account and moves money around, in one transaction; in an atomic one all happens or nothing.
    #[must_use]
    pub fn batch(tenant: usize, rng: &mut Rng, accounts: &[(Uuid, Uuid)], atomic: bool) -> Self {
        let account = Uuid::now_v7();
        let mut asks = vec![Ask::Open { account }];
        let mut items = vec![json!({ "open_account": opening(account, false) })];
        for (from, to) in accounts {
            let it = Move { transfer: Uuid::now_v7(), from: *from, to: *to, cents: rng.u32(1..2_000) };
            asks.push(Ask::Transfer(it));
            items.push(json!({ "transfer": moving(it) }));
        }
        let body = json!({ "atomic": atomic, "items": items });
        Self::new(tenant, asks, "/v1/ledger/batches".to_owned(), body)
    }

    /// Another transfer under the key of this one: at most one of the two may ever be carried out.
    #[must_use]
    pub fn impostor(&self, from: Uuid, to: Uuid) -> Self {
        Self { key: self.key, ..Self::transfer(self.tenant, from, to, 1) }
    }

    /// The request to a server.
    pub fn request(&self, http: &reqwest::Client, base: &str, token: &str) -> RequestBuilder {
        let request = http.post(format!("{base}{}", self.path)).bearer_auth(token);
        let request = request.header("Idempotency-Key", self.key.to_string());
        if self.body.is_null() { request } else { request.json(&self.body) }
    }
}

fn opening(account: Uuid, unbounded: bool) -> Value {
    let mut body = json!({ "id": account, "name": format!("storm {account}"), "currency": "EUR" });
    if let Some(body) = body.as_object_mut() {
        body.insert("min_balance".to_owned(), if unbounded { Value::Null } else { json!("0") });
    }
    body
}

fn moving(it: Move) -> Value {
    let leg = |account: Uuid, side: &str| {
        let amount = format!("{}.{:02}", it.cents / 100, it.cents % 100);
        json!({ "account_id": account, "side": side, "amount": { "amount": amount, "currency": "EUR" } })
    };
    json!({ "id": it.transfer, "legs": [leg(it.from, "debit"), leg(it.to, "credit")] })
}
