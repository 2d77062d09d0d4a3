//! Names of streams: a category and an identifier within it.

use std::fmt;
use std::hash::{Hash, Hasher};

use uuid::Uuid;

/// The kind of aggregate a stream belongs to. Code and name are the contract: neither is ever changed or reused.
#[derive(Debug, Clone, Copy)]
pub struct Category {
    /// How the log stores it.
    pub code: i16,
    /// `context.noun`, how people and subjects name it.
    pub name: &'static str,
}

impl PartialEq for Category {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Category {}

impl Hash for Category {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code.hash(state);
    }
}

/// One stream of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// What kind of aggregate it is.
    pub category: Category,
    /// Which one.
    pub id: Uuid,
}

impl StreamId {
    /// Names the stream of `id` in `category`.
    #[must_use]
    pub const fn new(category: Category, id: Uuid) -> Self {
        Self { category, id }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category.name, self.id)
    }
}
