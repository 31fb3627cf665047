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
//! A wake for one waiter is consumed by the waiter whose wait it ends; one that is dropped before that
//! passes it on to the next. A waiter that may find that it cannot use what is there (a buffer that is
//! too small), or that awaits anything else before it has used it (a page of its buffer), waits with a
//! [`Baton`], which passes the wake on unless it is told that it was used.

#[cfg(not(loom))]
mod baton;
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
pub use baton::{Baton, BatonWait};
#[cfg(not(loom))]
pub use census::linked_nodes;
pub use events::{Events, Reason};
pub use kind::WaitKind;
pub use source::{Seq, SourceId, WaitSource};
#[cfg(not(loom))]
pub use wait::{Suspend, Wait, WaitFuture, suspend};
pub use watch::{WATCHERS_SEEN, Watch, Watcher};
