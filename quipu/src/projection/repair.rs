//! Partitions that cannot take an event: seeing them, trying again, leaving the event out.

use domain::ids::TenantId;
use serde_json::json;

use super::{ListArgs, NamedArgs, RetryArgs, SkipArgs, rebuilder};
use crate::console;
use crate::stack::layout::Layout;
use crate::table::{Table, moment};

pub(super) async fn parked(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let parked = rebuilder(layout, &args.operator, 1)?.parked().await?;
    if args.json {
        parked.iter().for_each(|it| console::data(json!(it)));
        return Ok(());
    }
    if parked.is_empty() {
        console::note("nothing is parked");
        return Ok(());
    }
    let mut table =
        Table::new(["MODEL", "TENANT", "PARTITION", "POSITION", "SINCE (UTC)", "TRIES", "REASON"]);
    for it in parked {
        table.row([
            it.model,
            it.tenant.to_string(),
            it.partition.to_string(),
            it.position.to_string(),
            moment(it.parked_at),
            it.attempts.to_string(),
            it.reason,
        ]);
    }
    console::data(table.text());
    console::note(
        "after the repair they are tried again by themselves, or at once with `quipu projection retry`",
    );
    Ok(())
}

pub(super) async fn retry(layout: &Layout, args: &RetryArgs) -> anyhow::Result<()> {
    let it = &args.partition;
    rebuilder(layout, &it.operator, 1)?.retry(&it.model, TenantId::new(it.tenant), it.partition).await?;
    console::note("it is tried again; see `quipu projection parked`");
    Ok(())
}

pub(super) async fn skip(layout: &Layout, args: &SkipArgs) -> anyhow::Result<()> {
    let it = &args.partition;
    let told = format!(
        "The event that partition {} of {} waits with will be left out. What it shows is wrong from then on, until the \
         model is rebuilt.",
        it.partition, it.model
    );
    args.confirm.ask(&told, &it.model)?;
    let position = rebuilder(layout, &it.operator, 1)?
        .skip(&it.model, TenantId::new(it.tenant), it.partition, &args.reason)
        .await?;
    console::data(format_args!("left out: position {position}"));
    Ok(())
}

pub(super) async fn skipped(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let skipped = rebuilder(layout, &args.operator, 1)?.skipped().await?;
    if args.json {
        skipped.iter().for_each(|it| console::data(json!(it)));
        return Ok(());
    }
    let mut table = Table::new(["MODEL", "TENANT", "PARTITION", "POSITION", "WHEN (UTC)", "REASON"]);
    for it in skipped {
        table.row([
            it.model,
            it.tenant.to_string(),
            it.partition.to_string(),
            it.position.to_string(),
            moment(it.skipped_at),
            it.reason,
        ]);
    }
    console::data(table.text());
    Ok(())
}

pub(super) async fn reset_reactor(layout: &Layout, args: &NamedArgs) -> anyhow::Result<()> {
    let told = format!(
        "{} will forget what it remembers and read the log again. What it has done is not done twice.",
        args.model
    );
    args.confirm.ask(&told, &args.model)?;
    rebuilder(layout, &args.operator, 1)?.reset_reactor(&args.model).await?;
    console::note("it begins again within a second");
    Ok(())
}
