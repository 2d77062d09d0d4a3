//! Schema `read`: what queries are answered from. One file a read model, with its table's rows and its queries.
//!
//! **Invariant:** everything here is a fold of the log and may be dropped and built again. SQL names the tables
//! unqualified: the search path of the connection says whether it is the live schema or a shadow of it. Every query
//! takes a [`TenantTx`]; every statement names the tenant too, because only then an index gives rows in their order.

pub mod account_entries;
pub mod accounts;
pub mod audit_trail;
mod copy;
pub mod event_index;
mod figures;
pub mod members;
pub mod organizations;
pub mod page;
pub mod private_field;
pub mod progress;
pub mod read_model;
pub mod roles;
pub mod sessions;
pub mod tenant_tx;
pub mod tenants;
pub mod transfers;
pub mod trial_balance;
pub mod users;

pub use account_entries::AccountEntries;
pub use accounts::Accounts;
pub use audit_trail::AuditTrail;
pub use event_index::EventIndex;
pub use members::Members;
pub use organizations::Organizations;
pub use page::{CursorInvalid, ListError, Moment, Page};
pub use private_field::{HasPrivate, PrivateField};
pub use read_model::{Item, ProjectionError, ReadModel};
pub use roles::Roles;
pub use sessions::Sessions;
pub use tenant_tx::TenantTx;
pub use tenants::Tenants;
pub use transfers::Transfers;
pub use trial_balance::TrialBalance;
pub use users::Users;
