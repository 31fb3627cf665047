//! listen(2) and accept(2).

use alloc::sync::Arc;

use base::caller::Caller;
use base::{Errno, Result};
use executor::pollwait::Reason;

use super::credentials::PeerCredentials;
use super::options::{Endurance, Waits};
use super::socket::{IN, Phase, ShutDown, Socket};
use crate::file::{OpenFile, OpenFlags};
use crate::vfs::{Attributes, Inode};

/// Most connections that wait to be accepted, less one: `net.core.somaxconn`.
pub const BACKLOG_MAX: u32 = 4096;

impl Socket {
    /// `listen(2)`: takes connections, `backlog` and one more of them waiting.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for datagrams; `EINVAL` without a name, or when it is connected.
    pub fn listen(&self, caller: &Caller, backlog: i32) -> Result<()> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        // A negative number is a large one.
        let backlog = backlog.cast_unsigned().min(BACKLOG_MAX);
        {
            let mut state = self.state.lock();
            if state.address.is_none() || state.phase == Phase::Connected {
                return Err(Errno::EINVAL);
            }
            state.backlog = backlog;
            state.phase = Phase::Listening;
            state.peer_credentials = Some(PeerCredentials::of(caller));
        }
        self.feed_all();
        Ok(())
    }

    /// `accept(2)`: the first connection that waits, as an open file with `O_NONBLOCK` as in `flags`. `waits` is
    /// false on a socket that does not. A drop takes no connection.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` for datagrams; `EINVAL` when it does not listen, or is shut down; `EAGAIN`, `EINTR`; `ENFILE`,
    /// `ENOMEM`, which cost the connection.
    pub async fn accept(&self, caller: &Caller, flags: OpenFlags, waits: bool) -> Result<Arc<OpenFile>> {
        if !self.kind.is_connected() {
            return Err(Errno::EOPNOTSUPP);
        }
        let endurance = Endurance::new(waits, self.options().receive_timeout());
        let mut waiting = Waits::new(endurance);
        let connection = loop {
            let seen = self.input.observe();
            if let Some(connection) = self.take_pending()? {
                break connection;
            }
            waiting.wait(&self.input, seen, IN).await?;
        };
        waiting.succeeded();
        let owner = &caller.credentials;
        let attributes =
            Attributes { uid: Some(owner.fsuid), gid: Some(owner.fsgid), ..Attributes::default() };
        let _ = connection.inode.set_attributes(&attributes);
        connection.into_file(caller, flags)
    }

    /// The first connection that waits.
    fn take_pending(&self) -> Result<Option<Arc<Socket>>> {
        let (connection, remains) = {
            let mut state = self.state.lock();
            if state.phase != Phase::Listening {
                return Err(Errno::EINVAL);
            }
            if !state.pending.is_empty() {
                self.give_out();
            }
            match state.pending.pop_front() {
                Some(connection) => (connection, !state.pending.is_empty()),
                None if state.shut.contains(ShutDown::RECEIVE) => return Err(Errno::EINVAL),
                None => return Ok(None),
            }
        };
        connection.state.lock().embryo = false;
        self.feed_all();
        if remains && self.input.has_waiters() && self.input.waiting() > 0 {
            self.input.wake_one(IN, Reason::Data);
        }
        Ok(Some(connection))
    }
}
