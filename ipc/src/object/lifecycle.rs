//! The life of an object: published when it enters the registry, ended by its last reference.
//!
//! That an operation meets a dying object cannot be written down, since an operation holds a reference; the
//! counters exist for what types miss.

use base::lifecycle::{Occurrences, Refusal, State};

use crate::stats::{Counter, bump};

/// The state of one object.
pub(crate) type Lifecycle = base::lifecycle::Lifecycle<Objects>;

/// Counts and tells illegal steps.
pub(crate) struct Objects;

static TOLD: Occurrences = Occurrences::new();

impl Refusal for Objects {
    fn refused(from: State, to: State) {
        bump(Counter::LifecycleTransitionWarn);
        if let Some(number) = TOLD.add() {
            log::warn!("object lifecycle: {} to {} refused ({number})", from.name(), to.name());
        }
    }
}
