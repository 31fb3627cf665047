//! The pipe's side of `splice(2)`, `tee(2)` and `vmsplice(2)`.
//!
//! A splice with a file on the other side takes time, so it sets aside what it is about to use and holds no lock:
//! [`Room`] is space that no writer fills meanwhile, [`Front`] the head of the queue that no reader takes. Both
//! give back what was not used when they are dropped.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Caller;
use base::{Errno, Result};
use executor::pollwait::{Reason, Seq, Wait, WaitSource};

use super::{IN, Inner, OUT, Pipe};
use crate::signal::{SIGPIPE, signal_caller};

/// Waits for one side of a pipe.
async fn wait(source: &WaitSource, seen: Seq, nonblocking: bool) -> Result<()> {
    if nonblocking {
        return Err(Errno::EAGAIN);
    }
    match source.wait(seen, Wait::interruptible()).await {
        Reason::Signal => Err(Errno::EINTR),
        _ => Ok(()),
    }
}

fn no_readers(caller: &Caller) -> Errno {
    signal_caller(caller, SIGPIPE);
    Errno::EPIPE
}

/// Room in a pipe, set aside.
pub struct Room<'a> {
    pipe: &'a Pipe,
    bytes: usize,
}

impl Room<'_> {
    /// How much it is, at least 1.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts `bytes` into the pipe; what does not fit the room is left out.
    ///
    /// # Errors
    ///
    /// `EPIPE` (with SIGPIPE) when the readers have gone meanwhile; `ENOMEM`.
    pub fn fill(self, caller: &Caller, bytes: Vec<u8>) -> Result<usize> {
        let length = bytes.len().min(self.bytes);
        let memory = base::memory::KernelBytes::new(bytes);
        let mut buffer = base::memory::UserBuffer::new(&memory, 0, length, base::memory::Access::Read);
        {
            let mut inner = self.pipe.inner.lock();
            if inner.readers == 0 {
                drop(inner);
                return Err(no_readers(caller));
            }
            inner.ring.reserve(&caller.account, length)?;
            let (copied, _) = inner.ring.copy_in(&mut buffer, length);
            inner.ring.publish(copied, false);
        }
        self.pipe.input.wake_one(IN, Reason::Data);
        Ok(length)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let writable = {
            let mut inner = self.pipe.inner.lock();
            inner.ring.release(self.bytes);
            inner.ring.is_writable()
        };
        if writable {
            self.pipe.output.wake_one(OUT, Reason::Data);
        }
    }
}

/// The front of a pipe, which nobody else reads while this lives.
pub struct Front<'a> {
    pipe: &'a Pipe,
}

impl Front<'_> {
    /// Up to `length` bytes from the front, at least one; they stay in the pipe.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn bytes(&self, length: usize) -> Result<Vec<u8>> {
        self.pipe.inner.lock().ring.front(length)
    }

    /// Takes `length` bytes out of the pipe.
    pub fn advance(&self, length: usize) {
        let freed = {
            let mut inner = self.pipe.inner.lock();
            take(&mut inner, length)
        };
        if length > 0 {
            self.pipe.tell_taken(freed);
        }
    }
}

impl Drop for Front<'_> {
    fn drop(&mut self) {
        self.pipe.inner.lock().front_taken = false;
        // Whoever found it taken looks again.
        self.pipe.input.wake_all(IN, Reason::Data);
    }
}

/// Takes bytes out; true when writers find room that was not there.
fn take(inner: &mut Inner, length: usize) -> bool {
    let before = inner.ring.is_writable();
    inner.ring.advance(length);
    !before && inner.ring.is_writable()
}

impl Pipe {
    /// Sets up to `wanted` bytes of room aside, after waiting for some.
    ///
    /// Dropped midway: nothing is set aside.
    ///
    /// # Errors
    ///
    /// `EPIPE` (with SIGPIPE) when nobody reads, `EAGAIN` instead of waiting, `EINTR`.
    pub async fn room(&self, caller: &Caller, wanted: usize, nonblocking: bool) -> Result<Room<'_>> {
        loop {
            let seen = self.output.observe();
            {
                let mut inner = self.inner.lock();
                if inner.readers == 0 {
                    drop(inner);
                    return Err(no_readers(caller));
                }
                let bytes = inner.ring.promise(wanted);
                if bytes > 0 {
                    return Ok(Room { pipe: self, bytes });
                }
            }
            wait(&self.output, seen, nonblocking).await?;
        }
    }

    /// Takes the front of the pipe, after waiting for something to be there; `None` at the end of the file.
    ///
    /// Dropped midway: the front is not taken.
    ///
    /// # Errors
    ///
    /// `EAGAIN` instead of waiting, `EINTR`.
    pub async fn front(&self, nonblocking: bool) -> Result<Option<Front<'_>>> {
        loop {
            let seen = self.input.observe();
            {
                let mut inner = self.inner.lock();
                if !inner.front_taken && !inner.ring.is_empty() {
                    inner.front_taken = true;
                    return Ok(Some(Front { pipe: self }));
                }
                if inner.ring.is_empty() && inner.writers == 0 {
                    return Ok(None);
                }
            }
            wait(&self.input, seen, nonblocking).await?;
        }
    }
}

/// Whether what goes from pipe to pipe stays in the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It goes: `splice(2)`.
    No,
    /// It stays: `tee(2)`.
    Yes,
}

/// What an attempt between two pipes met.
enum Attempt {
    Moved(usize),
    Ended,
    Empty,
    Full,
    NoReaders,
}

/// Moves or copies up to `length` bytes from one pipe to another; 0 at the end of the first.
///
/// Dropped midway: nothing has moved.
///
/// # Errors
///
/// `EINVAL` when both are the same pipe; `EPIPE` (with SIGPIPE); `EAGAIN` instead of waiting; `EINTR`; `ENOMEM`.
pub async fn between(
    caller: &Caller,
    from: &Arc<Pipe>,
    to: &Arc<Pipe>,
    length: usize,
    keep: Keep,
    nonblocking: bool,
) -> Result<usize> {
    if Arc::ptr_eq(from, to) {
        return Err(Errno::EINVAL);
    }
    loop {
        let (readable, writable) = (from.input.observe(), to.output.observe());
        let outcome = attempt(caller, from, to, length, keep);
        hand_over(from, to);
        match outcome? {
            Attempt::Moved(moved) => {
                to.input.wake_one(IN, Reason::Data);
                return Ok(moved);
            }
            Attempt::Ended => return Ok(0),
            Attempt::NoReaders => return Err(no_readers(caller)),
            Attempt::Empty => wait(&from.input, readable, nonblocking).await?,
            Attempt::Full => wait(&to.output, writable, nonblocking).await?,
        }
    }
}

/// Whoever waits next for what is left goes on: the wake that led here may have been meant for one waiter of the
/// other pipe.
fn hand_over(from: &Pipe, to: &Pipe) {
    let readable = {
        let inner = from.inner.lock();
        !inner.ring.is_empty() && !inner.front_taken
    };
    if readable && from.input.has_waiters() && from.input.waiting() > 0 {
        from.input.wake_one(IN, Reason::Data);
    }
    let writable = to.inner.lock().ring.is_writable();
    if writable && to.output.has_waiters() && to.output.waiting() > 0 {
        to.output.wake_one(OUT, Reason::Data);
    }
}

/// One attempt, under both locks: the one at the lower address first.
fn attempt(caller: &Caller, from: &Arc<Pipe>, to: &Arc<Pipe>, length: usize, keep: Keep) -> Result<Attempt> {
    let (mut source, mut target);
    if Arc::as_ptr(from) < Arc::as_ptr(to) {
        source = from.inner.lock();
        target = to.inner.lock_nested();
    } else {
        target = to.inner.lock();
        source = from.inner.lock_nested();
    }
    if source.ring.is_empty() && source.writers == 0 {
        return Ok(Attempt::Ended);
    }
    if source.ring.is_empty() || source.front_taken {
        return Ok(Attempt::Empty);
    }
    if target.readers == 0 {
        return Ok(Attempt::NoReaders);
    }
    let mut moved = 0;
    while moved < length {
        let room = target.ring.free().min(length - moved);
        let available = source.ring.run(moved).0;
        if room == 0 || available == 0 {
            break;
        }
        match source.ring.copy_run(moved, room, &mut target.ring, &caller.account) {
            Ok(step) => moved += step,
            Err(error) if moved == 0 => return Err(error),
            Err(_) => break,
        }
    }
    if moved == 0 {
        return Ok(Attempt::Full);
    }
    let freed = keep == Keep::No && take(&mut source, moved);
    drop((source, target));
    if keep == Keep::No {
        from.tell_taken(freed);
    }
    Ok(Attempt::Moved(moved))
}
