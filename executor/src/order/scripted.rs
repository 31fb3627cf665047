//! The decisions of a list: a run is repeated, or a part of what happened in it.

use core::time::Duration;

use base::decision::Script;

use super::{OrderPolicy, Position, Slice};

/// Decides what a list says, and leaves the rest to the default.
pub struct ScriptedOrder(
    /// The list.
    pub &'static Script,
);

impl OrderPolicy for ScriptedOrder {
    fn place(&self, slice: Slice, _position: Position<'_>) -> Option<usize> {
        self.0.behind(slice.key, slice.nth).map(|others| usize::try_from(others).unwrap_or(usize::MAX))
    }

    fn length(&self, slice: Slice, default: Duration) -> Option<Duration> {
        self.0.preempt(slice.key, slice.nth).map(Duration::from_nanos).filter(|length| *length < default)
    }
}
