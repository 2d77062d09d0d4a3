//! Makes `data/blocklist.bin` of a list of passwords that stands on standard input, the most common first, one a line:
//! `cargo run -p command-api --example blocklist < passwords.txt`. What it takes and why stands in `data/blocklist.md`.

use std::collections::BTreeSet;
use std::io::Read as _;

use command_api::passwords::blocklist::{Prefix, prefix};

/// No policy asks for less, so shorter ones are refused anyway.
const CODE_POINTS_MIN: usize = 8;
/// From here on a password may be the only factor: all of these are taken, however rare.
const LONG: usize = 15;
const ENTRIES_MAX: usize = 115_000;

fn main() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    // Some lines of such lists are not UTF-8, and nobody can type those.
    let lines =
        || bytes.split(|it| *it == b'\n').filter_map(|it| std::str::from_utf8(it).ok()).map(str::trim_end);
    let length = |it: &str| it.chars().count();
    let mut taken: BTreeSet<Prefix> = lines().filter(|it| length(it) >= LONG).map(prefix).collect();
    for password in lines().filter(|it| (CODE_POINTS_MIN..LONG).contains(&length(it))) {
        if taken.len() == ENTRIES_MAX {
            break;
        }
        taken.insert(prefix(password));
    }
    let whole: Vec<u8> = taken.into_iter().flatten().collect();
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/data/blocklist.bin"), whole)
}
