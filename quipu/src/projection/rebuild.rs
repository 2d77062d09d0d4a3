//! Building, comparing, swapping and taking back.

use std::process::ExitCode;
use std::time::Duration;

use domain::ids::TenantId;
use projector::rebuild::{After, Comparison, Control, Options, Outcome, Progress, RebuildError, Trust};
use serde_json::json;

use super::{NamedArgs, RebuildArgs, SwapArgs, VerifyArgs, rebuilder};
use crate::console;
use crate::progress::Bar;
use crate::stack::layout::Layout;
use crate::stack::stop_signal;
use crate::table::{BAD, GOOD, plain, styled};

pub(super) async fn rebuild(layout: &Layout, args: &RebuildArgs) -> anyhow::Result<ExitCode> {
    let rebuilder = rebuilder(layout, &args.operator, args.parts)?;
    let models: Vec<String> = match &args.model {
        Some(model) => vec![model.clone()],
        None => rebuilder.models().into_iter().map(str::to_owned).collect(),
    };
    if args.no_verify {
        let name = args.model.as_deref().unwrap_or("all");
        let told = format!("{} will go live without a comparison with what is live now.", models.join(", "));
        args.confirm.ask(&told, name)?;
    }
    let options = Options {
        tenant: args.tenant.map(TenantId::new),
        parts: args.parts,
        share: args.share,
        verify: !args.no_verify,
        after: if args.keep { After::Keep } else { After::Swap },
        keep_previous: !args.discard_previous,
        ..Options::default()
    };
    let mut equal = true;
    for model in &models {
        let outcome =
            watched(model, async |control| rebuilder.rebuild(model, &options, control).await).await?;
        equal &= outcome.comparison.as_ref().is_none_or(|it| it.is_equal() || it.skipped.is_some());
        print(&outcome, args.json);
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn verify(layout: &Layout, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        tenant: args.tenant.map(TenantId::new),
        share: args.share,
        after: After::Drop,
        ..Options::default()
    };
    let rebuilder = rebuilder(layout, &args.operator, options.parts)?;
    let model = args.model.as_str();
    let outcome = watched(model, async |control| {
        // Tables that were kept for a swap are what somebody wants to know about.
        match rebuilder.verify(model, control).await {
            Err(RebuildError::NothingBuilt { .. }) => rebuilder.rebuild(model, &options, control).await,
            done => done,
        }
    })
    .await?;
    print(&outcome, args.json);
    let equal = outcome.comparison.is_some_and(|it| it.is_equal());
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn swap(layout: &Layout, args: &SwapArgs) -> anyhow::Result<()> {
    let SwapArgs { anyway, named } = args;
    let rebuilder = rebuilder(layout, &named.operator, 1)?;
    let trust = if *anyway { Trust::Anyway } else { Trust::Compared };
    let doubt = if *anyway { ", whether or not it was found equal" } else { "" };
    let told = format!("The rebuilt tables of {} will answer queries from now on{doubt}.", named.model);
    named.confirm.ask(&told, &named.model)?;
    let outcome =
        watched(&named.model, async |control| rebuilder.swap(&named.model, trust, control).await).await?;
    print(&outcome, named.json);
    Ok(())
}

pub(super) async fn rollback(layout: &Layout, args: &NamedArgs) -> anyhow::Result<()> {
    let rebuilder = rebuilder(layout, &args.operator, 1)?;
    let told =
        format!("The tables of {} that the last rebuild has replaced will answer queries again.", args.model);
    args.confirm.ask(&told, &args.model)?;
    let done = watched(&args.model, async |control| rebuilder.rollback(&args.model, control).await).await?;
    if args.json {
        console::data(serde_json::to_string(&done)?);
        return Ok(());
    }
    console::data(format_args!(
        "{} version {} is live again, at position {}",
        args.model, done.version, done.position
    ));
    if !done.of_this_build {
        console::note(
            "another build wrote these tables: its projector goes on with them, this one's does not",
        );
    }
    Ok(())
}

pub(super) async fn retire(layout: &Layout, args: &NamedArgs) -> anyhow::Result<()> {
    let rebuilder = rebuilder(layout, &args.operator, 1)?;
    args.confirm.ask(
        &format!("The replaced tables of {} will be dropped: no rollback then.", args.model),
        &args.model,
    )?;
    dropped(rebuilder.retire(&args.model).await?, args);
    Ok(())
}

pub(super) async fn cancel(layout: &Layout, args: &NamedArgs) -> anyhow::Result<()> {
    let rebuilder = rebuilder(layout, &args.operator, 1)?;
    args.confirm.ask(
        &format!("The unfinished rebuild of {} will be given up, its tables dropped.", args.model),
        &args.model,
    )?;
    dropped(rebuilder.cancel(&args.model).await?, args);
    Ok(())
}

fn dropped(any: bool, args: &NamedArgs) {
    if args.json {
        console::data(json!({ "model": args.model, "dropped": any }));
    } else {
        console::data(if any { "dropped" } else { "there was nothing to drop" });
    }
}

/// Runs something long with its progress shown. Ctrl-C ends it in an orderly way.
async fn watched<T>(
    model: &str,
    work: impl AsyncFnOnce(&Control) -> Result<T, RebuildError>,
) -> anyhow::Result<T> {
    let control = Control::default();
    let (stop, mut progress) = (control.stop.clone(), control.progress.subscribe());
    let bar = Bar::new("building", 0);
    let done = {
        let show = async {
            while progress.changed().await.is_ok() {
                show(&bar, &progress.borrow_and_update());
            }
            std::future::pending().await
        };
        let interrupted = async {
            stop_signal().await;
            stop.cancel();
            std::future::pending().await
        };
        tokio::select! {
            done = work(&control) => done,
            never = show => never,
            never = interrupted => never,
        }
    };
    bar.end();
    done.map_err(|error| anyhow::anyhow!("{model}: {error} ({})", error.code()))
}

fn show(bar: &Bar, progress: &Progress) {
    let phase = serde_json::to_value(progress.phase).ok();
    let phase = phase.as_ref().and_then(|it| it.as_str()).unwrap_or_default();
    bar.over(format!("{} {phase}", progress.model), progress.target.unwrap_or(progress.done));
    bar.at(progress.done);
}

fn print(outcome: &Outcome, as_json: bool) {
    if as_json {
        console::data(json!(outcome));
        return;
    }
    let Outcome { model, version, state, position, took, pause, parked, .. } = outcome;
    let state = state.name();
    console::data(format_args!(
        "{model} version {version}: {state} at position {position}, in {}",
        seconds(*took)
    ));
    if let Some(pause) = pause {
        console::data(format_args!("  readers waited at most {} ms", pause.as_millis()));
    }
    if *parked > 0 {
        console::data(styled(
            BAD,
            format_args!("  {parked} partitions are parked: see `quipu projection parked`"),
        ));
    }
    if let Some(comparison) = &outcome.comparison {
        compared(comparison);
    }
}

fn compared(it: &Comparison) {
    if let Some(reason) = &it.skipped {
        console::data(format_args!("  not compared: {reason}"));
        return;
    }
    let figures = format!(
        "{} rows compared, {} missing, {} extra, {} differing",
        it.compared, it.missing, it.extra, it.differing
    );
    console::data(format_args!("  {}", styled(if it.is_equal() { GOOD } else { BAD }, figures)));
    for difference in &it.differences {
        let side = |value: &Option<String>| value.as_deref().map_or_else(|| "(not there)".to_owned(), plain);
        let (live, rebuilt) = (side(&difference.live), side(&difference.rebuilt));
        let column = difference.column.as_deref().unwrap_or("(row)");
        console::data(format_args!(
            "  {} {} {column}: live {live}, from the log {rebuilt}",
            difference.table,
            plain(&difference.key)
        ));
    }
}

fn seconds(span: Duration) -> String {
    format!("{}.{:03} s", span.as_secs(), span.subsec_millis())
}
