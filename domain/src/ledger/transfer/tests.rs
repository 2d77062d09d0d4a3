//! Transfers: what is refused, in order, and what then is true.

mod holds;
mod posting;
mod reversals;
