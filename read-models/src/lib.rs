//! Schema `read`: what queries are answered from. One file a read model, with its table's rows and its queries.
//!
//! **Invariant:** everything here is a fold of the log and may be dropped and built again. SQL names the tables
//! unqualified: the search path of the connection says whether it is the live schema or a shadow of it.

pub mod read_model;

pub use read_model::{Item, ProjectionError, ReadModel};
