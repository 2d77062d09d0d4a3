//! What a question to the log is: the streams that it reads and a pure answer from their states. It is to reading what a
//! [`Decision`](crate::Decision) is to writing.

use std::hash::Hash;

use crate::decision::View;
use crate::ids::TenantId;
use crate::stream::StreamId;

/// Something that streams of one tenant answer. Pure: on the same states the answer is the same.
pub trait Question: Clone + Eq + Hash + Send + Sync + 'static {
    /// What they answer. It must not depend on the time: whoever asks may keep it for as long as the streams stand still.
    type Answer: Send + Sync + 'static;

    /// Whose streams.
    fn tenant(&self) -> TenantId;

    /// The streams that it wants to see. Asked again while the answer grows, as [`Decision::needs`](crate::Decision::needs)
    /// is.
    fn needs(&self, view: &View<'_>) -> Vec<StreamId>;

    /// The answer of their states.
    fn answer(&self, view: &View<'_>) -> Self::Answer;
}
