//! The two channels of the command line: data on standard output, talk on standard error. Colour is for terminals alone,
//! and not there if `NO_COLOR` is set.
//!
//! A reader that hangs up (`quipu status | head -1`) is not a fault of ours, so a failed write is dropped here and
//! nowhere else.

use std::io::{IsTerminal as _, Write as _};

/// Writes one line of data to standard output.
pub fn data(line: impl std::fmt::Display) {
    let mut out = anstream::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes bytes to standard output as they are. False if nobody reads them any more.
pub fn bytes(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Writes one line of data. False if nobody reads it any more, so that a command without an end knows when to stop.
pub fn try_data(line: impl std::fmt::Display) -> bool {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// Writes one line of talk to standard error.
pub fn note(line: impl std::fmt::Display) {
    let mut err = anstream::stderr().lock();
    let _ = writeln!(err, "{line}");
}

/// Whether a person reads standard error.
#[must_use]
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
