//! A thread that waits to be answered.
//!
//! Whoever changes an object does what its sleepers wait for on their behalf, under the object's lock, and
//! answers them: so nobody who comes later gets in between, and a condition that held for a moment is not missed.

use base::sync::{LockClass, SpinLock};
use base::time::Instant;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

/// A sleeper and the place for its answer.
pub struct Sleeper<T> {
    answer: SpinLock<Option<T>>,
    source: WaitSource,
}

impl<T> Sleeper<T> {
    /// A sleeper of object `id`.
    #[must_use]
    pub fn new(kind: WaitKind, id: i32) -> Sleeper<T> {
        let source = WaitSource::new(kind, id.unsigned_abs().into());
        Sleeper { answer: SpinLock::new(LockClass::SysvSleeper, None), source }
    }

    /// Puts the answer in place, under the object's lock; [`Sleeper::wake`] comes after it.
    pub fn answer(&self, answer: T) {
        *self.answer.lock() = Some(answer);
    }

    /// Wakes the sleeper, which has its answer.
    pub fn wake(&self) {
        self.source.wake_all(Events::IN, Reason::Data);
    }

    /// Where the sleeper waits: for the wait graph.
    #[must_use]
    pub fn source(&self) -> &WaitSource {
        &self.source
    }

    /// Takes the answer, if it is there.
    pub fn take(&self) -> Option<T> {
        self.answer.lock().take()
    }

    /// Waits for the answer; `Err` says that a signal or the deadline came first. The sleeper then leaves the
    /// object's queue, and may find its answer after all.
    ///
    /// Dropping the future leaves the answer, if there is one, in its place.
    pub async fn wait(&self, deadline: Option<Instant>) -> core::result::Result<T, Reason> {
        loop {
            let seen = self.source.observe();
            if let Some(answer) = self.take() {
                return Ok(answer);
            }
            match self.source.wait(seen, Wait::interruptible().until(deadline)).await {
                Reason::Data | Reason::Hup | Reason::Close => {}
                reason @ (Reason::Signal | Reason::Timeout) => return Err(reason),
            }
        }
    }
}
