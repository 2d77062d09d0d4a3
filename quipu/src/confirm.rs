//! Before something that cannot simply be taken back: say what will happen, and have its name typed.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::bail;
use clap::Args;

use crate::console;

/// How a script agrees to what a person would be asked.
#[derive(Debug, Clone, Args)]
pub struct ConfirmArgs {
    /// Agree beforehand by the name that would be asked for.
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

impl ConfirmArgs {
    /// Says what will happen and asks for the name, unless it was given.
    ///
    /// # Errors
    /// If another name was given, or nobody is there to ask.
    pub fn ask(&self, consequences: &str, name: &str) -> anyhow::Result<()> {
        console::note(consequences);
        let given = match &self.confirm {
            Some(given) => given.clone(),
            None if std::io::stdin().is_terminal() => {
                console::note(format_args!("Type {name} to go on:"));
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line)?;
                line
            }
            None => bail!("nothing was done: give --confirm {name}"),
        };
        if given.trim() != name {
            bail!("nothing was done: that is not {name}");
        }
        Ok(())
    }
}
