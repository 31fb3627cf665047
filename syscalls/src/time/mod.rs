//! Time as programs see it.
//!
//! | module | subject |
//! |---|---|
//! | [`clock`] | the clocks: what they are called and what they show |
//! | [`timespec`] | `timespec` and `timeval` in user memory |

pub mod clock;
pub mod timespec;
