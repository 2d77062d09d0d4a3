//! `quipu explain CODE`: what a refusal means and what to do, from the same tables as docs/errors.md.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::console;
use crate::docs::errors::{Told, all};
use crate::table::{BOLD, styled};

/// Options of `quipu explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu explain ledger.insufficient-funds
  quipu explain ledger                      every code of a context")]
pub struct ExplainArgs {
    /// A code, or the beginning of one.
    code: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there is no such code.
pub fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let exact: Vec<Told> = all().filter(|it| it.code == args.code).collect();
    let found =
        if exact.is_empty() { all().filter(|it| it.code.starts_with(&args.code)).collect() } else { exact };
    if found.is_empty() {
        match nearest(&args.code) {
            Some(code) => bail!("there is no code {}; did you mean {code}?", args.code),
            None => bail!("there is no code {}", args.code),
        }
    }
    for Told { code, status, title, hint } in found {
        if args.json {
            console::data(json!({ "code": code, "status": status, "title": title, "hint": hint }));
        } else {
            console::data(format_args!(
                "{}  (HTTP {status})\n  {title}\n  What to do: {hint}",
                styled(BOLD, code)
            ));
        }
    }
    Ok(())
}

/// The code with the most in common, if that is much.
fn nearest(code: &str) -> Option<&'static str> {
    let (distance, nearest) = all().map(|it| (strsim::damerau_levenshtein(code, it.code), it.code)).min()?;
    (distance <= code.len() / 3 + 1).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_code_that_was_meant() {
        assert_eq!(nearest("ledger.insuficient-fund"), Some("ledger.insufficient-funds"));
        assert_eq!(nearest("something-else-entirely"), None);
    }
}
