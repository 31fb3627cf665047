//! The states of what others may still hold when it is not to be used any more: kernel objects, nodes of sysfs.
//!
//! ```text
//!   INIT --1--> LIVE --2--> DETACHED --3--> DYING --4--> FREED
//!     \_____________2________^
//! ```
//!
//! 1 [`publish`](Lifecycle::publish): others can find it; 2 [`detach`](Lifecycle::detach): nobody finds it any
//! more, those who have it keep it; 3, 4 [`end`](Lifecycle::end): the last of them let go, and what it owned is
//! released. `end` takes `&mut self`, so that whatever is shared cannot be dying.

use core::marker::PhantomData;

use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where something is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Being made.
    Init = 1,
    /// In use, and found by those who look.
    Live = 2,
    /// Not found any more.
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
            State::Init => "init",
            State::Live => "live",
            State::Detached => "detached",
            State::Dying => "dying",
            State::Freed => "freed",
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

/// Learns of steps that the picture above does not have. They are not taken.
pub trait Refusal {
    /// Something in state `from` was to go to `to`.
    fn refused(from: State, to: State);
}

/// The state of one thing.
pub struct Lifecycle<R: Refusal>(AtomicU8, PhantomData<fn(R)>);

impl<R: Refusal> Lifecycle<R> {
    /// The state of something that is being made.
    #[must_use]
    pub const fn new() -> Self {
        Lifecycle(AtomicU8::new(State::Init as u8), PhantomData)
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        State::from_number(self.0.load(Ordering::Acquire))
    }

    /// True while it is in use.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state() == State::Live
    }

    /// Edge 1. False, and told, when it is not new.
    #[must_use]
    pub fn publish(&self) -> bool {
        self.step(State::Init, State::Live)
    }

    /// Edge 2. False when it is not in use; that somebody else was first is no mistake.
    pub fn detach(&self) -> bool {
        self.step(State::Live, State::Detached)
    }

    /// Edges 3 and 4, and 2 before them; `leave` takes it out of where others find it, if it was still there.
    pub fn end(&mut self, leave: impl FnOnce()) {
        match self.state() {
            State::Init => {
                self.step(State::Init, State::Detached);
            }
            State::Live => {
                self.detach();
                leave();
            }
            _ => {}
        }
        self.step(State::Detached, State::Dying);
        self.step(State::Dying, State::Freed);
    }

    fn step(&self, from: State, to: State) -> bool {
        let found = self.0.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire);
        match found.map_err(State::from_number) {
            Ok(_) => true,
            Err(State::Detached) if to == State::Detached => false,
            Err(other) => {
                R::refused(other, to);
                false
            }
        }
    }
}

impl<R: Refusal> Default for Lifecycle<R> {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts something that should not happen, and says which of the occurrences to tell: the first four, and then
/// each whose number is a power of two, so that what happens all the time does not fill the log.
pub struct Occurrences(AtomicU64);

impl Occurrences {
    /// None yet.
    #[must_use]
    pub const fn new() -> Occurrences {
        Occurrences(AtomicU64::new(0))
    }

    /// How many there were, told or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more: its number, when it is to be told.
    pub fn add(&self) -> Option<u64> {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= 4 || number.is_power_of_two()).then_some(number)
    }
}

impl Default for Occurrences {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count;
    static REFUSED: Occurrences = Occurrences::new();

    impl Refusal for Count {
        fn refused(_from: State, _to: State) {
            REFUSED.add();
        }
    }

    #[test]
    fn each_step_is_taken_once_and_in_order() {
        let mut life = Lifecycle::<Count>::new();
        assert_eq!(life.state(), State::Init);
        assert!(life.publish() && life.is_live());
        let before = REFUSED.count();
        assert!(!life.publish());
        assert_eq!(REFUSED.count(), before + 1, "publishing twice is told");
        assert!(life.detach() && !life.detach());
        assert_eq!(REFUSED.count(), before + 1, "detaching twice is not");
        let mut left = 0;
        life.end(|| left += 1);
        assert_eq!((life.state(), left), (State::Freed, 0), "who detached it has taken it out already");

        let mut unseen = Lifecycle::<Count>::new();
        unseen.end(|| panic!("nobody ever found it"));
        assert_eq!(unseen.state(), State::Freed);
        assert_eq!(REFUSED.count(), before + 1);
    }

    #[test]
    fn rare_things_are_told_and_frequent_ones_seldom() {
        let occurrences = Occurrences::new();
        let told: std::vec::Vec<u64> = (0..40).filter_map(|_| occurrences.add()).collect();
        assert_eq!(told, [1, 2, 3, 4, 8, 16, 32]);
        assert_eq!(occurrences.count(), 40);
    }
}
