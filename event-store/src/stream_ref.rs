//! A stream together with its tenant.

use domain::StreamId;
use domain::ids::TenantId;

/// One stream in the whole log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamRef {
    /// Whose stream.
    pub tenant: TenantId,
    /// Which one.
    pub stream: StreamId,
}
