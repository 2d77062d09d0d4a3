//! `quipu demo grocery`: a year of a grocery chain's sales, posted through the HTTP API.
//!
//! Each basket is one balanced transfer at its own time: debit the store's cash with the sales and its discounts with
//! the retail discount, credit its revenue with both. Identifiers and keys follow from the data, so running it again
//! changes nothing, and running it after a stop goes on.

mod baskets;
mod client;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::console;
use crate::stack::layout::Layout;
use crate::stack::run_file::RunFile;
use baskets::{Basket, Book, Totals};
use client::Client;

/// January of the data, in the repository.
const JANUARY: &str = "data/grocery/baskets-2017-01.csv.gz";

/// Baskets of one request.
const BATCH: usize = 250;

/// Requests under way at once.
const IN_FLIGHT: usize = 4;

/// Example data.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Post the baskets of a grocery chain.
    Grocery(GroceryArgs),
}

/// Where the baskets are and where they go.
#[derive(Debug, Args)]
pub struct GroceryArgs {
    /// The file, CSV or gzipped CSV; January from the repository if left out.
    #[arg(long, default_value = JANUARY)]
    baskets: PathBuf,
    /// The command API; the one that `up` runs here if left out.
    #[arg(long)]
    command_url: Option<String>,
    /// The query API, to compare the balances afterwards.
    #[arg(long)]
    query_url: Option<String>,
    /// An owner's access token; one for the demo tenant is issued if left out.
    #[arg(long, env = "QUIPU_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    admin: crate::admin::AdminArgs,
}

/// Runs the command.
///
/// # Errors
/// If the file or the API cannot be used, or the balances differ from the file afterwards.
pub async fn run(layout: &Layout, command: DemoCommand) -> anyhow::Result<()> {
    let DemoCommand::Grocery(args) = command;
    let token = match &args.token {
        Some(token) => token.clone(),
        None => crate::admin::ensure_demo(&args.admin.settings(layout)?).await?.owner_token,
    };
    let run = RunFile::read(layout)?;
    let local = |name: &str| {
        let port = run.as_ref().and_then(|run| run.service(name)).map(|service| service.port);
        port.map(|port| format!("http://127.0.0.1:{port}"))
    };
    let command_url = args.command_url.or_else(|| local("command-api")).context("give --command-url")?;
    let query_url = args.query_url.or_else(|| local("query-api"));
    grocery(&args.baskets, &command_url, query_url.as_deref(), &token).await
}

/// Posts January, as `up --demo grocery` does.
///
/// # Errors
/// See [`run`].
pub async fn grocery_january(command_url: &str, query_url: &str, token: &str) -> anyhow::Result<()> {
    grocery(Path::new(JANUARY), command_url, Some(query_url), token).await
}

/// Posts the baskets of a file and compares the balances with it.
///
/// # Errors
/// See [`run`].
pub async fn grocery(
    file: &Path,
    command_url: &str,
    query_url: Option<&str>,
    token: &str,
) -> anyhow::Result<()> {
    let baskets = baskets::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (posted, empty): (Vec<Basket>, Vec<Basket>) = baskets.into_iter().partition(Basket::has_legs);
    if !empty.is_empty() {
        let names: Vec<String> = empty.iter().map(|basket| basket.number.to_string()).collect();
        console::note(format_args!(
            "{} baskets have no legs and are left out: {}",
            empty.len(),
            names.join(" ")
        ));
    }
    let client = Client::new(command_url, query_url, token)?;
    let begun = Instant::now();
    open_accounts(&client, &posted).await?;
    let outcome = post_all(&client, &posted).await?;
    report(&outcome, begun.elapsed());
    match query_url {
        Some(_) if outcome.posted > 0 => compare(&client, &posted, &outcome.position).await,
        Some(_) => {
            console::note("nothing was new, and the balances may hold further files: they were not compared");
            Ok(())
        }
        None => Ok(()),
    }
}

/// What came of the import.
#[derive(Debug, Default)]
struct Outcome {
    posted: usize,
    there_already: usize,
    position: String,
}

impl Outcome {
    fn and(mut self, other: Self) -> Self {
        self.posted += other.posted;
        self.there_already += other.there_already;
        // Of two positions of one epoch the longer text, or the later one of the same length, is the newer.
        if (other.position.len(), &other.position) > (self.position.len(), &self.position) {
            self.position = other.position;
        }
        self
    }
}

async fn open_accounts(client: &Client, baskets: &[Basket]) -> anyhow::Result<()> {
    let stores: BTreeSet<u32> = baskets.iter().map(|basket| basket.store).collect();
    let items: Vec<Value> = stores
        .iter()
        .flat_map(|store| Book::ALL.map(|book| json!({ "open_account": book.opening(*store) })))
        .collect();
    for (n, chunk) in items.chunks(BATCH * 2).enumerate() {
        let key = format!("grocery-accounts-{}-{n}", stores.len());
        let outcome = client.batch(&key, chunk, "ledger.account-exists").await?;
        drop(outcome);
    }
    Ok(())
}

async fn post_all(client: &Client, baskets: &[Basket]) -> anyhow::Result<Outcome> {
    let bar = progress(baskets.len());
    let posts: Vec<_> = baskets.chunks(BATCH).map(|chunk| post(client, chunk, &bar)).collect();
    let outcome = stream::iter(posts)
        .buffered(IN_FLIGHT)
        .try_fold(Outcome::default(), |sum, one| async move { Ok(sum.and(one)) })
        .await?;
    bar.finish_and_clear();
    Ok(outcome)
}

async fn post(client: &Client, baskets: &[Basket], bar: &ProgressBar) -> anyhow::Result<Outcome> {
    let items: Vec<Value> = baskets.iter().map(|basket| json!({ "transfer": basket.transfer() })).collect();
    let key = format!("grocery-baskets-{}-{}", baskets.first().map_or(0, |it| it.number), baskets.len());
    let outcome = client.batch(&key, &items, "ledger.transfer-exists").await?;
    bar.inc(baskets.len() as u64);
    Ok(outcome)
}

fn progress(baskets: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(baskets as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} baskets, {per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(outcome: &Outcome, took: Duration) {
    let seconds = took.as_millis().max(1);
    let rate = (outcome.posted + outcome.there_already) as u128 * 1000 / seconds;
    console::note(format_args!(
        "{} baskets posted, {} were there already, in {}.{:03} s ({rate} a second)",
        outcome.posted,
        outcome.there_already,
        seconds / 1000,
        seconds % 1000,
    ));
}

/// Reads every store's balances and compares them with the sums of the file.
async fn compare(client: &Client, baskets: &[Basket], position: &str) -> anyhow::Result<()> {
    let expected = Totals::of(baskets);
    let balances: BTreeMap<String, String> = client.balances(position).await?;
    let wrong: Vec<String> = expected
        .accounts()
        .filter_map(|(name, sum)| {
            let actual = balances.get(&name).map_or("nothing", String::as_str);
            (actual != sum).then(|| format!("{name}: {actual}, not {sum}"))
        })
        .collect();
    if !wrong.is_empty() {
        bail!("the balances differ from the file: {}", wrong.join("; "));
    }
    console::note(format_args!("every store agrees with the file; {}", expected.for_people()));
    Ok(())
}
