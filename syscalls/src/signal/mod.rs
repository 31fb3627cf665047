//! Signals: numbers and sets, what each carries, what a process does about it, and where it waits.
//!
//! | module | subject |
//! |---|---|
//! | [`set`] | numbers, default actions, sets |
//! | [`info`] | `siginfo_t` |
//! | [`action`] | the table that sigaction(2) changes |
//! | [`pending`] | the queues |
//! | [`altstack`] | the alternate stack |
//! | [`stop`] | stopping and continuing a process |
//! | [`frame`] | the frame that a handler runs on |

pub mod action;
pub mod altstack;
pub mod frame;
pub mod info;
pub mod pending;
pub mod set;
pub mod stop;

pub use action::{Action, Actions};
pub use info::SigInfo;
pub use set::{Signal, SignalSet};
