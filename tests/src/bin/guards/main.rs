//! `./dev sabotage`: takes every guard away, one at a time, and demands that the tests notice.
//!
//! First every named test runs with all guards standing, and must pass: a test that is red anyway proves nothing. Then
//! each runs again without its guard, and must fail. What comes out is a table, and exit code 1 if a guard is not caught.

mod run;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use run::{Outcome, Programs};
use table::{Case, SABOTAGES, Sabotage};

#[derive(Debug, Parser)]
#[command(name = "./dev sabotage", about = "Takes guards away and demands that tests notice")]
struct Asked {
    /// Guards to take away; all of them, if none is named.
    names: Vec<String>,
    /// Only say which guards there are, what they promise and which tests must notice.
    #[arg(long)]
    list: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let asked = Asked::parse();
    let known = |name: &String| SABOTAGES.iter().any(|it| it.guard.name() == name);
    if let Some(unknown) = asked.names.iter().find(|it| !known(it)) {
        anyhow::bail!("there is no guard {unknown}: see ./dev sabotage --list");
    }
    let wanted =
        |it: &&Sabotage| asked.names.is_empty() || asked.names.iter().any(|name| name == it.guard.name());
    let wanted: Vec<&Sabotage> = SABOTAGES.iter().filter(wanted).collect();
    if asked.list {
        for it in wanted {
            say(format_args!("{}: {}", it.guard.name(), it.promise))?;
            it.cases.iter().try_for_each(|case| say(format_args!("    {case}")))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let programs = Programs::build().await?;
    let all_caught = sabotage(&programs, &wanted).await?;
    Ok(if all_caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs everything and says what comes out, line by line. True if every guard is caught.
async fn sabotage(programs: &Programs, wanted: &[&Sabotage]) -> anyhow::Result<bool> {
    let cases: BTreeSet<Case> = wanted.iter().flat_map(|it| it.cases).copied().collect();
    say(format_args!("{} tests with all guards standing", cases.len()))?;
    let mut broken = BTreeSet::new();
    for case in &cases {
        let outcome = programs.run(*case, None).await?;
        if outcome != Outcome::Passed {
            say(format_args!("  {case}: {outcome}"))?;
            broken.insert(*case);
        }
    }
    say(format_args!("{:<20} {:<12} {:>4}  promise", "guard", "verdict", "s"))?;
    let (mut caught, mut skipped) = (0, 0);
    for it in wanted {
        let began = Instant::now();
        let usable: Vec<Case> = it.cases.iter().copied().filter(|case| !broken.contains(case)).collect();
        let mut reasons = Vec::new();
        let mut passed = Vec::new();
        for case in &usable {
            match programs.run(*case, Some(it.guard)).await? {
                Outcome::Failed(reason) => reasons.push(reason),
                other => passed.push(format!("{case}: {other}")),
            }
        }
        let verdict = if usable.len() < it.cases.len() {
            skipped += 1;
            "skipped"
        } else if passed.is_empty() {
            caught += 1;
            "caught"
        } else {
            "NOT CAUGHT"
        };
        let seconds = began.elapsed().as_secs();
        say(format_args!("{:<20} {verdict:<12} {seconds:>4}  {}", it.guard.name(), it.promise))?;
        reasons.iter().try_for_each(|it| say(format_args!("{:<34} red: {it}", "")))?;
        passed.iter().try_for_each(|it| say(format_args!("{:<34} {it}", "")))?;
    }
    let missed = wanted.len() - caught - skipped;
    say(format_args!("{caught} caught, {missed} not caught, {skipped} skipped of {}", wanted.len()))?;
    Ok(caught == wanted.len())
}

fn say(line: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
