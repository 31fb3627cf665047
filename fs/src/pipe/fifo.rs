//! Opening a FIFO: each side waits for the other. Source: `fifo(7)`.

use alloc::sync::Arc;

use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use super::Pipe;
use super::end::PipeEnd;
use crate::file::{AccessMode, FileOps};
use crate::vfs::Inode;

/// An open that has been counted and not been given to an open file yet. Dropped, it is taken back.
struct Joined<'a> {
    pipe: &'a Arc<Pipe>,
    access: AccessMode,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.pipe.leave(self.access);
    }
}

/// Opens the FIFO at `inode`: for one direction it waits until the other is open, unless `nonblocking`
/// or it is an anonymous pipe, reached through /proc. A
/// drop takes the open back.
///
/// # Errors
///
/// `ENXIO` when it is opened for writing without waiting and nobody reads; `EINTR`; `ENOMEM`.
pub(crate) async fn open_fifo(
    inode: &Arc<dyn Inode>,
    access: AccessMode,
    nonblocking: bool,
) -> Result<Arc<dyn FileOps>> {
    if access.is_empty() {
        return Err(Errno::EINVAL);
    }
    let ino = inode.metadata().ino;
    let pipe = inode.state().fifo(|| Ok(Pipe::new(ino, false)))?;
    let waits = !pipe.is_anonymous;
    if waits && access == AccessMode::WRITE && nonblocking && pipe.inner.lock().readers == 0 {
        return Err(Errno::ENXIO);
    }
    pipe.join(access);
    let joined = Joined { pipe: &pipe, access };
    pipe.opened.wake_all(Events::empty(), Reason::Data);
    let mut before_writers = false;
    if !waits {
        // Both sides are there already, or have been.
    } else if access == AccessMode::READ && nonblocking {
        before_writers = pipe.inner.lock().writers == 0;
    } else if access != AccessMode::READ | AccessMode::WRITE {
        wait_for_partner(&pipe, access).await?;
    }
    core::mem::forget(joined);
    let end: Arc<dyn FileOps> = PipeEnd::joined(&pipe, access, before_writers);
    Ok(end)
}

/// Waits until the other direction is open, or has been opened since.
async fn wait_for_partner(pipe: &Pipe, access: AccessMode) -> Result<()> {
    let reading = access == AccessMode::READ;
    let opens = || {
        let inner = pipe.inner.lock();
        if reading { (inner.writers, inner.write_opens) } else { (inner.readers, inner.read_opens) }
    };
    let (_, opens_before) = opens();
    let mut interrupted = false;
    loop {
        let seen = pipe.opened.observe();
        let (partners, opens_now) = opens();
        if partners > 0 || opens_now != opens_before {
            return Ok(());
        }
        if interrupted {
            return Err(Errno::EINTR);
        }
        interrupted = pipe.opened.wait(seen, Wait::interruptible()).await == Reason::Signal;
    }
}
