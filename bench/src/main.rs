//! Measures the product beside the physical limit and its peers.

fn main() {}
