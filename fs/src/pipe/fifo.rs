//! Opening a FIFO: each side waits for the other. Source: `fifo(7)`.

use alloc::sync::Arc;

use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use super::end::PipeEnd;
use super::{Partners, Pipe};
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
    let partners = pipe.join(access);
    let joined = Joined { pipe: &pipe, access };
    pipe.opened.wake_all(Events::empty(), Reason::Data);
    let mut before_writers = false;
    if !waits {
        // Both sides are there already, or have been.
    } else if access == AccessMode::READ && nonblocking {
        before_writers = pipe.inner.lock().writers == 0;
    } else if access != AccessMode::READ | AccessMode::WRITE {
        wait_for_partner(&pipe, access, partners).await?;
    }
    core::mem::forget(joined);
    let end: Arc<dyn FileOps> = PipeEnd::joined(&pipe, access, before_writers);
    Ok(end)
}

/// Waits for somebody at the other side, of which `then` is how it was when this side was counted: a partner that was
/// there, or came, may be gone before this looks for the first time.
async fn wait_for_partner(pipe: &Pipe, access: AccessMode, then: Partners) -> Result<()> {
    let has_come = || then.now > 0 || pipe.inner.lock().partners(access).ever != then.ever;
    let mut interrupted = false;
    loop {
        let seen = pipe.opened.observe();
        if has_come() {
            return Ok(());
        }
        if interrupted {
            return Err(Errno::EINTR);
        }
        interrupted = pipe.opened.wait(seen, Wait::interruptible()).await == Reason::Signal;
    }
}
