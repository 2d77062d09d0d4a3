//! Schema `read`: what queries are answered from. One file a read model, with its table's rows and its queries.
//!
//! **Invariant:** everything here is a fold of the log and may be dropped and built again. SQL names the tables
//! unqualified: the search path of the connection says whether it is the live schema or a shadow of it. Every query
//! takes a [`TenantTx`]; every statement names the tenant too, because only then an index gives rows in their order.

pub mod account_entries;
pub mod accounts;
pub mod api_keys;
pub mod audit_trail;
mod by_address;
pub mod consents;
mod copy;
pub mod event_index;
pub mod factors;
mod figures;
#[cfg(test)]
mod given;
pub mod in_epoch;
pub mod invitations;
pub mod members;
pub mod organizations;
pub mod page;
pub mod private_field;
pub mod progress;
pub mod read_model;
pub mod roles;
mod row_per_stream;
pub mod security_feed;
pub mod services;
pub mod sessions;
pub mod sign_ins;
pub mod tenant_tx;
pub mod tenants;
pub mod transfers;
pub mod trial_balance;
pub mod users;

pub use account_entries::AccountEntries;
pub use accounts::Accounts;
pub use api_keys::ApiKeys;
pub use audit_trail::AuditTrail;
pub use by_address::AddressHash;
pub use consents::Consents;
pub use event_index::EventIndex;
pub use factors::Factors;
pub use in_epoch::in_epoch;
pub use invitations::Invitations;
pub use members::Members;
pub use organizations::Organizations;
pub use page::{Asked, CursorInvalid, ListError, Moment, Order, Page};
pub use private_field::{HasPrivate, PrivateField, RequestOrigin};
pub use read_model::{Item, ProjectionError, ReadModel};
pub use roles::Roles;
pub use security_feed::SecurityFeed;
pub use services::Services;
pub use sessions::Sessions;
pub use sign_ins::SignIns;
pub use tenant_tx::TenantTx;
pub use tenants::Tenants;
pub use transfers::Transfers;
pub use trial_balance::TrialBalance;
pub use users::Users;
