//! What the log needs to know of an aggregate: its category and how facts change it.

use uuid::Uuid;

use crate::event::Event;
use crate::stream::Category;

/// State folded from one stream. The fold is the only way in which state changes.
pub trait Aggregate: Clone + Default + Send + Sync + 'static {
    /// Its stream category, stable for ever.
    const CATEGORY: Category;

    /// Applies one fact of the stream `id`. Total: it never fails, whatever was once recorded, and facts that do not
    /// concern this aggregate leave it as it is.
    fn evolve(&mut self, id: Uuid, event: &Event);

    /// The whole state from the newest event alone, for aggregates whose events carry it. `None` means that the
    /// stream must be folded from its beginning.
    ///
    /// Law: for every history, `restore(newest)` equals the fold (up to what [`Aggregate::complete`] adds).
    fn restore(_id: Uuid, _newest: &Event) -> Option<Self> {
        None
    }

    /// Whether streams of this category are loaded from their newest event.
    const RESTORABLE: bool = false;

    /// The scope of claims that a restored state still lacks, if any.
    fn incomplete(&self, _id: Uuid) -> Option<String> {
        None
    }

    /// Adds the values claimed in the scope that [`Aggregate::incomplete`] named, in ascending order.
    fn complete(&mut self, _claimed: &[String]) {}
}
