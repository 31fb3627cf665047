//! pollwait: every wait is a wait on a [`WaitSource`], and ends with a [`Reason`].
//!
//! ```text
//! let seen = source.observe();                  // before looking at the condition
//! if let Some(value) = try_it()? { return Ok(value) }
//! match source.wait(seen, Wait::interruptible().until(deadline)).await {
//!     Reason::Data | Reason::Hup | Reason::Close => look again,
//!     Reason::Signal  => EINTR, or restart,
//!     Reason::Timeout => ETIMEDOUT, or the call's own answer,
//! }
//! ```
//!
//! A waker changes the object first and wakes then. It fires wakers and watchers outside the
//! source's lock, never polls anything and never takes an object's lock.
//!
//! A wake-one is consumed by the waiter whose wait it ends. A waiter that then finds that it cannot
//! use what is there (a buffer that is too small) calls [`WaitSource::pass_on`]; a waiter that is
//! dropped does so by itself.

mod census;
#[cfg(not(loom))]
mod counters;
mod events;
mod kind;
mod link;
pub(crate) mod node;
mod source;
#[cfg(not(loom))]
pub(crate) mod wait;
mod wake;
mod watch;

#[cfg(not(loom))]
pub use census::linked_nodes;
pub use events::{Events, Reason};
pub use kind::WaitKind;
pub use source::{Seq, SourceId, WaitSource};
#[cfg(not(loom))]
pub use wait::{Suspend, Wait, WaitFuture, suspend};
pub use watch::{WATCHERS_SEEN, Watch, Watcher};
