//! Trace points: what happens in the kernel, as events in rings that can be read at any time, also from outside
//! and after a crash.
//!
//! | module | subject |
//! |---|---|
//! | [`ring`] | one ring: written without a lock, read without tearing |
//! | [`area`] | the memory of all rings, and where in it each one is |
//! | [`event`] | the kinds of events, their classes and their words |
//! | [`channel`], [`capability`] | the versioned flags of two kinds |
//! | [`follow`] | reading every event once |
//! | [`rows`] | events as text |
//! | [`wait_core`] | counters of waits and wakes |
//!
//! A trace point is one line, [`event()`]. One of a frequent class costs one instruction without effect until the first such
//! class is switched on since boot ([`points`](crate::points)); any other a load and a predicted branch.

#[cfg(not(loom))]
pub mod area;
#[cfg(not(loom))]
pub mod capability;
#[cfg(not(loom))]
pub mod channel;
#[cfg(not(loom))]
pub mod event;
#[cfg(not(loom))]
pub mod follow;
#[cfg(not(loom))]
mod record;
pub mod ring;
#[cfg(not(loom))]
pub mod rows;
#[cfg(not(loom))]
pub mod wait_core;

#[cfg(not(loom))]
mod surface {
    pub use super::area::Area;
    pub use super::event::{Classes, Event, EventKind, Identity, halves, pair};
    pub use super::record::{
        COMPILED_IN, Vocabulary, area, classes, define, event, install, is_on, message_number, name_task,
        set_classes,
    };
}

#[cfg(not(loom))]
pub use surface::*;
