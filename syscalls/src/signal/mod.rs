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
//! | [`handler`] | into a handler, and back out of it |
//! | [`state`] | the part of a thread and of a process that signals need |
//! | [`child`] | telling a parent of stops |
//! | [`permission`] | who may signal whom |
//! | [`send`] | sending: who is concerned, who is woken |
//! | [`sink`] | signals that files send |
//! | [`signalfd`], [`record`] | signals as a descriptor, and what it hands out |
//! | [`deliver`] | delivering on the way back to ring 3 |

pub mod action;
pub mod altstack;
pub mod child;
pub mod deliver;
pub mod frame;
pub mod handler;
pub mod info;
#[cfg(all(test, shuttle))]
mod models;
pub mod pending;
pub mod permission;
pub mod record;
pub mod send;
pub mod set;
pub mod signalfd;
pub mod sink;
pub mod state;
pub mod stop;

pub use action::{Action, Actions};
pub use deliver::{Interrupted, deliver};
pub use info::SigInfo;
pub use send::{
    borrow_mask, force, recompute, return_mask_unless_interrupted, send_to_process, send_to_thread, set_mask,
};
pub use set::{Signal, SignalSet};
pub use state::{SharedSignals, ThreadSignals};
