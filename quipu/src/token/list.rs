//! `quipu token list`: what the log of a tenant says of the tokens that operators were issued.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use clap::Args;
use domain::identity::{AccessToken, AccessTokenMinted, AccessTokenRevoked, IdentityEvent, Role};
use domain::ids::{TenantId, TokenId};
use domain::{Aggregate as _, Event};
use event_store::log;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use crate::admin::AdminArgs;
use crate::console;
use crate::stack::layout::Layout;
use crate::table::{Table, moment};

/// Which tokens.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The id of the tenant that they act in.
    #[arg(long)]
    tenant: Uuid,
    /// Those too that expired or were revoked.
    #[arg(long)]
    all: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A token that was issued, and whether it was revoked.
struct Issued {
    minted: AccessTokenMinted,
    revoked: Option<AccessTokenRevoked>,
}

impl Issued {
    /// `live`, `revoked` or `expired`: in which of these it ended first is what it stays.
    fn status(&self, now: DateTime<Utc>) -> &'static str {
        match &self.revoked {
            Some(revoked) if revoked.at < self.minted.expires_at => "revoked",
            _ if self.minted.expires_at <= now => "expired",
            _ => "live",
        }
    }

    fn json(&self, status: &str) -> Value {
        let AccessTokenMinted { token_id, subject, roles, expires_at, at } = &self.minted;
        json!({
            "token_id": token_id, "status": status, "subject": subject, "roles": roles, "minted_at": at,
            "expires_at": expires_at, "revoked_at": self.revoked.as_ref().map(|it| it.at),
            "revoked_by": self.revoked.as_ref().map(|it| it.by),
        })
    }

    fn cells(&self, status: &str) -> [String; 6] {
        let it = &self.minted;
        let roles: Vec<_> = it.roles.iter().map(|it| word(*it)).collect();
        [
            it.token_id.to_string(),
            status.to_owned(),
            roles.join(", "),
            it.subject.to_string(),
            moment(it.at),
            moment(it.expires_at),
        ]
    }
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Member => "member",
    }
}

/// Runs `quipu token list`.
///
/// # Errors
/// If the log cannot be read.
pub(super) async fn run(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let database_url = args.admin.settings(layout)?.database_url;
    let (now, all) = (Utc::now(), of(&database_url, TenantId::new(args.tenant)).await?);
    let told = all.iter().map(|it| (it, it.status(now))).filter(|(_, it)| args.all || *it == "live");
    let told: Vec<_> = told.collect();
    if args.json {
        told.iter().for_each(|(it, status)| console::data(it.json(status)));
    } else if told.is_empty() {
        console::note("no tokens");
    } else {
        let mut table = Table::new(["TOKEN", "STATE", "ROLE", "SUBJECT", "MINTED (UTC)", "EXPIRES (UTC)"]);
        told.iter().for_each(|(it, status)| table.row(it.cells(status)));
        console::data(table.text());
    }
    Ok(())
}

/// The tokens that operators were issued in a tenant, the oldest first.
async fn of(database_url: &str, tenant: TenantId) -> anyhow::Result<Vec<Issued>> {
    let options = PgConnectOptions::from_str(database_url)
        .map_err(|_| anyhow!("the database URL is not postgres://user:password@host:port/database"))?;
    let mut conn = options.connect().await.context("the database does not answer")?;
    let mut tx = conn.begin().await?;
    sqlx::query!("select set_config('app.tenants', $1::uuid[]::text, true) as served", &[tenant.uuid()])
        .fetch_one(&mut *tx)
        .await?;
    // By the key of the table: a log of millions of events has a handful of these.
    let places = "select position from store.stream_events where tenant_id = $1 and category = $2";
    let places: Vec<i64> = sqlx::query_scalar(places)
        .bind(tenant.uuid())
        .bind(AccessToken::CATEGORY.code)
        .fetch_all(&mut *tx)
        .await?;
    let events = log::at(&mut tx, &places).await?;
    let mut tokens = BTreeMap::new();
    for recorded in events {
        note(&mut tokens, recorded.decode()?);
    }
    Ok(tokens.into_values().collect())
}

/// Identifiers are in the order in which they were given. What a service gives back was issued to no operator.
fn note(tokens: &mut BTreeMap<TokenId, Issued>, event: Event) {
    match event {
        Event::Identity(IdentityEvent::AccessTokenMinted(minted)) => {
            tokens.insert(minted.token_id, Issued { minted, revoked: None });
        }
        Event::Identity(IdentityEvent::AccessTokenRevoked(revoked)) => {
            if let Some(token) = tokens.get_mut(&revoked.token_id) {
                token.revoked = Some(revoked);
            }
        }
        _ => {}
    }
}
