//! The two channels of the command line: data on standard output, talk on standard error.
//!
//! A reader that hangs up (`quipu status | head -1`) is not a fault of ours, so a failed write is dropped here and
//! nowhere else.

use std::io::Write as _;

/// Writes one line of data to standard output.
pub fn data(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes one line of talk to standard error.
pub fn note(line: impl std::fmt::Display) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{line}");
}
