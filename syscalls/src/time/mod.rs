//! Time as programs see it.
//!
//! | module | subject |
//! |---|---|
//! | [`clock`] | the clocks: what they are called and what they show |
//! | [`timespec`] | `timespec` and `timeval` in user memory |
//! | [`interval`] | a timer that sends a signal |
//! | [`timers`] | the timers of a process, its limit on CPU time |

pub mod clock;
pub mod interval;
pub mod timers;
pub mod timespec;
