//! The states of an object.
//!
//! ```text
//!   INIT --1--> LIVE --2--> DETACHED --3--> DYING --4--> FREED
//!     \_____________2________^
//! ```
//!
//! 1 publish: the object enters the registry; 2 the last reference goes, and it leaves the registry;
//! 3, 4 follow at once, before what the object owned is released. That an operation meets a dying object
//! cannot be written down, since an operation holds a reference; the counters exist for what types miss.

use base::sync::atomic::{AtomicU8, Ordering};

use crate::stats::{Counter, bump};

/// Where an object is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Being made.
    Init = 1,
    /// In the registry.
    Live = 2,
    /// Its last reference is gone.
    Detached = 3,
    /// Being taken apart.
    Dying = 4,
    /// Gone.
    Freed = 5,
}

impl State {
    /// The name that text files show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Init => "INIT",
            State::Live => "LIVE",
            State::Detached => "DETACHED",
            State::Dying => "DYING",
            State::Freed => "FREED",
        }
    }

    const fn from_number(number: u8) -> State {
        match number {
            1 => State::Init,
            2 => State::Live,
            3 => State::Detached,
            4 => State::Dying,
            _ => State::Freed,
        }
    }
}

/// The state of one object.
pub(crate) struct Lifecycle(AtomicU8);

impl Lifecycle {
    pub(crate) const fn new() -> Lifecycle {
        Lifecycle(AtomicU8::new(State::Init as u8))
    }

    pub(crate) fn state(&self) -> State {
        State::from_number(self.0.load(Ordering::Acquire))
    }

    /// Edge 1. False, and counted, when the object is not new.
    #[must_use]
    pub(crate) fn publish(&self) -> bool {
        self.step(State::Init, State::Live)
    }

    /// Edges 2 to 4; `leave` takes the object out of the registry if it was in it.
    pub(crate) fn end(&self, leave: impl FnOnce()) {
        let live = self.state() == State::Live;
        let from = if live { State::Live } else { State::Init };
        self.step(from, State::Detached);
        if live {
            leave();
        }
        self.step(State::Detached, State::Dying);
        self.step(State::Dying, State::Freed);
    }

    fn step(&self, from: State, to: State) -> bool {
        let done = self.0.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !done {
            bump(Counter::LifecycleTransitionWarn);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_published_once_and_ends_once() {
        let life = Lifecycle::new();
        assert!(life.publish());
        assert!(!life.publish());
        let mut left = 0;
        life.end(|| left += 1);
        assert_eq!((life.state(), left), (State::Freed, 1));
    }

    #[test]
    fn an_object_that_never_lived_has_no_place_to_leave() {
        let life = Lifecycle::new();
        life.end(|| panic!("it is in no registry"));
        assert_eq!(life.state(), State::Freed);
    }
}
