//! What a process executes, as `/proc` and core-dump rules see it.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use base::sync::{LockClass, SpinLock};
use fs::vfs::Path;

use crate::elf::ProgramFile;
use crate::process::exec_file::OpenProgram;

/// `SUID_DUMP_USER`: the process may be looked into by its user.
pub const DUMPABLE: u32 = 1;
/// `SUID_DUMP_DISABLE`: only by the privileged.
pub const NOT_DUMPABLE: u32 = 0;

/// The file that a process executes. While it lives, nobody can write the file.
#[derive(Clone)]
pub struct Executed {
    /// Its place.
    pub path: Path,
    _program: Arc<dyn ProgramFile>,
}

impl Executed {
    /// The file behind a loaded program.
    #[must_use]
    pub fn of(program: &Arc<dyn ProgramFile>) -> Option<Executed> {
        let open = program.as_any().downcast_ref::<OpenProgram>()?;
        Some(Executed { path: open.path().clone(), _program: program.clone() })
    }
}

/// The program of a process.
pub struct Program {
    file: SpinLock<Option<Executed>>,
    dumpable: AtomicU32,
    /// Its user was over `RLIMIT_NPROC` when it took its id: execve(2) answers `EAGAIN`.
    over_limit: AtomicBool,
}

impl Default for Program {
    fn default() -> Self {
        Program {
            file: SpinLock::new(LockClass::Process, None),
            dumpable: AtomicU32::new(DUMPABLE),
            over_limit: AtomicBool::new(false),
        }
    }
}

impl Program {
    /// The file it executes: `/proc/<pid>/exe`.
    #[must_use]
    pub fn file(&self) -> Option<Executed> {
        self.file.lock().clone()
    }

    /// It executes another file now.
    pub(crate) fn set_file(&self, file: Option<Executed>) {
        let before = core::mem::replace(&mut *self.file.lock(), file);
        drop(before);
    }

    /// `PR_GET_DUMPABLE`.
    #[must_use]
    pub fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// `PR_SET_DUMPABLE`, and what exec and changes of credentials make of it.
    pub(crate) fn set_dumpable(&self, dumpable: u32) {
        self.dumpable.store(dumpable, Ordering::Relaxed);
    }

    /// Notes whether the user has more threads than allowed.
    pub(crate) fn set_over_limit(&self, over: bool) {
        self.over_limit.store(over, Ordering::Relaxed);
    }

    /// Whether it was noted.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.over_limit.load(Ordering::Relaxed)
    }

    /// What a forked process starts with.
    pub(super) fn inherit(&self, parent: &Program) {
        self.set_file(parent.file());
        self.set_dumpable(parent.dumpable());
        self.set_over_limit(parent.is_over_limit());
    }
}
