//! Something that happens once.

use base::sync::atomic::{AtomicBool, Ordering};

use crate::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};

/// Something that happens once, and that many may wait for.
pub struct Completion {
    done: AtomicBool,
    source: WaitSource,
}

impl Completion {
    /// A completion that has not happened.
    #[must_use]
    pub const fn new() -> Completion {
        Completion { done: AtomicBool::new(false), source: WaitSource::new(WaitKind::Completion, 0) }
    }

    /// It has happened: everybody who waits, and everybody who comes later, goes on.
    pub fn complete(&self) {
        self.done.store(true, Ordering::Release);
        self.source.wake_all(Events::empty(), Reason::Data);
    }

    /// True when it has happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Where those wait who wait for it: for the wait graph.
    #[must_use]
    pub fn source(&self) -> &WaitSource {
        &self.source
    }

    /// Waits until it has happened.
    ///
    /// Dropped midway: nothing is left behind.
    pub async fn wait(&self) {
        while self.wait_with(Wait::uninterruptible()).await.is_err() {}
    }

    /// Waits until it has happened, or `wait` ends otherwise.
    ///
    /// Dropped midway: nothing is left behind.
    ///
    /// # Errors
    ///
    /// The reason, `Signal` or `Timeout`, when it has not happened.
    pub async fn wait_with(&self, wait: Wait) -> Result<(), Reason> {
        loop {
            let seen = self.source.observe();
            if self.is_done() {
                return Ok(());
            }
            match self.source.wait(seen, wait).await {
                Reason::Data | Reason::Hup | Reason::Close => {}
                reason if self.is_done() => {
                    let _ = reason;
                    return Ok(());
                }
                reason => return Err(reason),
            }
        }
    }
}

impl Default for Completion {
    fn default() -> Self {
        Completion::new()
    }
}
