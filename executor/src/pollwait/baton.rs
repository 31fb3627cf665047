//! The baton: a wake that was meant for one waiter, from the end of its wait until it has used what it was woken for.
//!
//! ```text
//!             wait: a wake for one                    used: it took what was there
//!   empty ----------------------------->  in hand  ------------------------------------> empty
//!     ^                                    |    |
//!     +---- wait: there was nothing left --+    | drop: an error, a kill, whatever it awaited
//!                                               v
//!                                     the next waiter is woken
//! ```
//!
//! A waker that wakes one counts on it to take what is there: nobody else is told. Whoever is woken and then awaits
//! something else first (a page of its program's buffer, its turn on the CPU) can be killed there, or find that it
//! cannot take it after all. What it was woken for would lie there with others asleep.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::events::{Events, Reason};
use super::source::{Seq, WaitSource};
use super::wait::{Plain, Wait, WaitFuture, Waiting};

/// A wake for one waiter, in the hands of who got it: see the [module](self). It is made empty before the loop that
/// looks and waits.
#[derive(Default)]
pub struct Baton<'a> {
    held: Option<(&'a WaitSource, Events)>,
}

impl<'a> Baton<'a> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Baton<'a> {
        Baton { held: None }
    }

    /// As [`WaitSource::wait`], and takes the wake that ends the wait, if that was meant for one waiter. The caller has
    /// looked since the last wait and found nothing: what that brought is void.
    ///
    /// Not for sources whose waiters are requeued.
    ///
    /// Dropped midway: as for a plain wait.
    #[inline]
    pub fn wait<'b>(&'b mut self, source: &'a WaitSource, seen: Seq, wait: Wait) -> BatonWait<'b, 'a> {
        self.held = None;
        BatonWait { baton: self, waiting: Waiting::new(Plain::new(source, seen), wait) }
    }

    /// Takes the wake that ended `wait`, if that was meant for one waiter: for hand-written futures, which poll their
    /// wait themselves.
    #[inline]
    pub fn take_from(&mut self, wait: &WaitFuture<'a>) {
        self.held = wait.wake_for_one();
    }

    /// What it was woken for has been taken, or whoever comes next has been told of what is left.
    #[inline]
    pub fn used(&mut self) {
        self.held = None;
    }
}

impl Drop for Baton<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((source, events)) = self.held.take() {
            source.pass_on(events);
        }
    }
}

/// The future of [`Baton::wait`].
#[must_use = "nothing is waited for unless it is awaited"]
pub struct BatonWait<'b, 'a> {
    baton: &'b mut Baton<'a>,
    waiting: Waiting<Plain<'a>>,
}

impl Future for BatonWait<'_, '_> {
    type Output = Reason;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reason> {
        // SAFETY: `waiting` is pinned with the whole and never moved out; the others are never pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let waiting = unsafe { Pin::new_unchecked(&mut this.waiting) };
        let polled = waiting.poll(context);
        if polled.is_ready() {
            this.baton.held = this.waiting.wake_for_one();
        }
        polled
    }
}
