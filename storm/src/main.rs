//! Breaks the product on purpose and reconciles what is left.

fn main() {}
