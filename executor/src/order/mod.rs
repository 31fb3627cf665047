//! The order policy: which ready task runs next, and for how long.
//!
//! The default is fair and costs nothing: first in, first out, with slices of one length. A policy may let a task
//! that becomes ready overtake others, and cut slices short. What it decides is named by the task's stable key and
//! by the number of the slice in that task, and does not depend on what other tasks do, so that each decision can
//! be repeated alone ([`base::decision`]). With one CPU and instruction counting a run is then a pure function of
//! image, arguments and decisions.
//!
//! | module | subject |
//! |---|---|
//! | [`seeded`] | decisions at random, from a seed |
//! | [`scripted`] | the decisions of a list |

pub mod scripted;
pub mod seeded;

use core::time::Duration;

pub use scripted::ScriptedOrder;
pub use seeded::{Schedule, SeededOrder};

/// A slice of a task: from one of its turns on a CPU to the next. The slices of a program's thread are those in which
/// it gets to user mode; what the kernel does for it between two of them does not count. A task that never goes there
/// has a slice in each of its polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Stable key of the task.
    pub key: u64,
    /// Which slice of the task, from 0.
    pub nth: u64,
}

/// See [`OrderPolicy::place`].
pub type Position<'a> = &'a dyn Fn(&dyn Fn(Slice) -> bool) -> Option<usize>;

/// Decides the order of tasks in place of the default.
pub trait OrderPolicy: Send + Sync {
    /// Behind how many of those in line for its CPU a task goes that was woken or preempted and now stands in line
    /// for `slice`; `None` for all of them. `position` gives the number of tasks before the first one in line for
    /// which its argument holds. Who gave the CPU back is not asked about: it goes last, or one that waits for others
    /// in a loop would stop them.
    fn place(&self, slice: Slice, position: Position<'_>) -> Option<usize>;

    /// The length of `slice`, when it is to be cut short of the `default`.
    fn length(&self, slice: Slice, default: Duration) -> Option<Duration>;

    /// True when the task that was woken for a slice of its own ends `running` at once.
    fn outranks(&self, _woken: Slice, _running: Slice) -> bool {
        false
    }
}

/// A bijective hash of 64 bits in which every input bit moves every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
