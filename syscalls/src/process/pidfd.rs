//! A process as a file descriptor. Source: `pidfd_open(2)`.
//!
//! It names the process for ever: a number that is used again is another process, and this one stays dead.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::charge::Account;
use base::sync::Once;
use base::{Errno, Result};
use executor::pollwait::Events;
use fs::file::{FileOps, OpenFile, OpenFlags, Sources};

use crate::process::{Process, table};

/// The descriptor's side of a process. It becomes readable when the process ends.
#[derive(Default)]
pub struct PidFd {
    /// Empty only while clone(2) makes the process.
    process: Once<Arc<Process>>,
}

/// The process with this number, if `account` is its own or not known: not a later one with the same number.
///
/// # Errors
///
/// `ESRCH` when it is gone.
pub fn process_still(pid: u32, account: Option<&Arc<Account>>) -> Result<Arc<Process>> {
    let process = table::find_process(pid).ok_or(Errno::ESRCH)?;
    let same = account.is_none_or(|account| Arc::ptr_eq(account, process.account()));
    if same { Ok(process) } else { Err(Errno::ESRCH) }
}

/// What `/proc/<pid>/fd` shows.
const NAME: &str = "anon_inode:[pidfd]";

impl PidFd {
    /// An open file for `process`, or for one that [`PidFd::fill`] names later.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, process: Option<Arc<Process>>, nonblocking: bool) -> Result<Arc<OpenFile>> {
        let ops = PidFd::default();
        if let Some(process) = process {
            ops.fill(process);
        }
        let mut flags = OpenFlags::RDWR;
        flags.set(OpenFlags::NONBLOCK, nonblocking);
        OpenFile::anonymous(caller, Arc::new(ops), NAME, flags)
    }

    /// Says which process it is. The first call wins.
    pub fn fill(&self, process: Arc<Process>) {
        self.process.call_once(|| process);
    }

    /// The process behind a descriptor's file.
    ///
    /// # Errors
    ///
    /// `EBADF` when the file is no process descriptor.
    pub fn process_of(file: &OpenFile) -> Result<Arc<Process>> {
        file.ops_as::<PidFd>().and_then(|pidfd| pidfd.process.get()).cloned().ok_or(Errno::EBADF)
    }
}

impl FileOps for PidFd {
    fn poll(&self, _file: &OpenFile) -> Events {
        match self.process.get() {
            Some(process) if process.has_ended() => Events::IN | Events::RDNORM,
            _ => Events::empty(),
        }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: self.process.get().map(|process| process.threads_source()), output: None }
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        // One that was waited for has no number any more.
        let living = |process: &&Arc<Process>| {
            table::find_process(process.pid()).is_some_and(|now| Arc::ptr_eq(&now, process))
        };
        let pid = self.process.get().filter(living).map_or(-1, |process| i64::from(process.pid()));
        writeln!(out, "Pid:\t{pid}\nNSpid:\t{pid}")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
