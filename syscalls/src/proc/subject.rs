//! Whom a file of `/proc/<pid>` is about, and who may look into it.
//!
//! A file holds numbers and weak references, so that an open file keeps nothing alive; what it is about is
//! looked up again at every reading, and a reader of a file about somebody who is gone gets `ESRCH`.

use alloc::sync::{Arc, Weak};

use base::caller::{Caller, Capabilities, Credentials};
use base::{Errno, Result};
use fs::vfs::Path;

use crate::mm::AddressSpace;
use crate::process::program::DUMPABLE;
use crate::process::{Process, table};
use crate::thread::Thread;
use crate::thread::name::NAME_BYTES;
use crate::thread::resources::Resources;

/// A process, or one of its threads.
#[derive(Clone)]
pub struct Subject {
    number: u32,
    process: Weak<Process>,
    /// The thread with the number; none for the first one, whose place another may take at exec.
    thread: Option<Weak<Thread>>,
    /// Times and counts are those of the thread alone: below `task`.
    alone: bool,
}

impl Subject {
    /// What goes by `number`: a process, or a thread, which shows its process.
    #[must_use]
    pub fn find(number: u32) -> Option<Subject> {
        let table = table::lock();
        if let Some(node) = table.process(number) {
            let process = Arc::downgrade(&node.payload);
            return Some(Subject { number, process, thread: None, alone: false });
        }
        let thread = table.thread(number)?;
        let process = Arc::downgrade(thread.process());
        Some(Subject { number, process, thread: Some(Arc::downgrade(thread)), alone: false })
    }

    /// The thread `tid` of the process of this subject.
    #[must_use]
    pub fn task(&self, tid: u32) -> Option<Subject> {
        let process = self.process().ok()?;
        let thread = match tid == process.pid() {
            true => None,
            false => Some(Arc::downgrade(&own_thread(&process, tid)?)),
        };
        Some(Subject { number: tid, process: self.process.clone(), thread, alone: true })
    }

    /// The number under which it is found.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// True below `task`: one thread alone.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// The process.
    ///
    /// # Errors
    ///
    /// `ESRCH` when it, or the thread that this is about, is gone.
    pub fn process(&self) -> Result<Arc<Process>> {
        let process = self.process.upgrade().ok_or(Errno::ESRCH)?;
        let known = table::find_process(process.pid()).is_some_and(|found| Arc::ptr_eq(&found, &process));
        let complete = self.thread.is_none() || self.thread().is_some();
        if known && complete { Ok(process) } else { Err(Errno::ESRCH) }
    }

    /// The thread with the subject's number, while it lives.
    #[must_use]
    pub fn thread(&self) -> Option<Arc<Thread>> {
        let process = self.process.upgrade()?;
        let found = own_thread(&process, self.number)?;
        match &self.thread {
            Some(thread) if Weak::as_ptr(thread) != Arc::as_ptr(&found) => None,
            _ => Some(found),
        }
    }

    /// What the thread acts with, until it has exited.
    #[must_use]
    pub fn resources(&self) -> Option<Arc<Resources>> {
        self.thread()?.resources()
    }

    /// Its memory, until it has exited.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.resources().map(|resources| resources.space.clone())
    }

    /// Its ids, which outlive it as long as its parent has not waited for it.
    #[must_use]
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        match self.resources() {
            Some(resources) => Some(resources.caller.credentials.clone()),
            None => Some(self.process.upgrade()?.program().remains()?.credentials),
        }
    }

    /// Its name, up to the first NUL.
    #[must_use]
    pub fn name(&self) -> ([u8; NAME_BYTES], usize) {
        let name = match self.thread() {
            Some(thread) => thread.name().get(),
            None => {
                let remains = self.process.upgrade().and_then(|process| process.program().remains());
                remains.map_or([0; NAME_BYTES], |remains| remains.name)
            }
        };
        let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        (name, length)
    }

    /// Owner and group of its files: root's when its program may not be looked into. The directory itself
    /// belongs to whoever runs the process.
    #[must_use]
    pub fn owner(&self, of_directory: bool) -> (u32, u32) {
        let hidden = self.space().is_none()
            || self.process.upgrade().is_none_or(|process| process.program().dumpable() != DUMPABLE);
        match self.credentials() {
            Some(credentials) if of_directory || !hidden => (credentials.euid, credentials.egid),
            _ => (0, 0),
        }
    }

    /// Checks that `caller` may look into the process: `PTRACE_MODE_READ_FSCREDS` of `ptrace(2)`.
    ///
    /// # Errors
    ///
    /// `EACCES`; `ESRCH` when it is gone.
    pub fn check_access(&self, caller: &Caller) -> Result<()> {
        let process = self.process()?;
        if caller.pid == process.pid() {
            return Ok(());
        }
        let own = &caller.credentials;
        if own.capable(Capabilities::SYS_PTRACE) {
            return Ok(());
        }
        let theirs = self.credentials().ok_or(Errno::ESRCH)?;
        let same = [theirs.uid, theirs.euid, theirs.suid].iter().all(|&uid| uid == own.fsuid)
            && [theirs.gid, theirs.egid, theirs.sgid].iter().all(|&gid| gid == own.fsgid);
        let dumpable = self.space().is_none() || process.program().dumpable() == DUMPABLE;
        if same && dumpable { Ok(()) } else { Err(Errno::EACCES) }
    }
}

fn own_thread(process: &Arc<Process>, tid: u32) -> Option<Arc<Thread>> {
    table::find_thread(tid).filter(|thread| Arc::ptr_eq(thread.process(), process))
}

/// The root directory of whoever reads: paths are shown below it.
#[must_use]
pub fn root_of(caller: &Caller) -> Option<Path> {
    let resources = table::find_thread(caller.tid)?.resources()?;
    Some(resources.place.root())
}
