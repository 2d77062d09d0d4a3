//! Progress of something long: a bar on a terminal, nothing anywhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console;

/// A bar with rate and remaining time.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar of so many steps; hidden if nobody watches.
    #[must_use]
    pub(crate) fn new(what: &'static str, steps: i64) -> Self {
        let target =
            if console::is_watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(u64::try_from(steps).unwrap_or_default()), target);
        let style = "{msg:<20} {wide_bar} {human_pos} of {human_len}  {per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// Sets how many steps are done.
    pub(crate) fn at(&self, done: i64) {
        self.0.set_position(u64::try_from(done).unwrap_or_default());
    }

    /// Sets how many steps there are, and what is being done.
    pub(crate) fn over(&self, what: impl Into<String>, steps: i64) {
        self.0.set_message(what.into());
        self.0.set_length(u64::try_from(steps).unwrap_or_default());
    }

    /// Takes it away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
