//! What a process executes, as `/proc` and core-dump rules see it.

use alloc::sync::Arc;

use base::caller::Credentials;
use base::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use base::sync::{LockClass, SpinLock};
use fs::vfs::Path;

use crate::elf::ProgramFile;
use crate::process::exec_file::OpenProgram;
use crate::thread::name::NAME_BYTES;

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

/// What `/proc` shows of a first thread that has exited.
#[derive(Clone)]
pub struct Remains {
    /// Its name.
    pub name: [u8; NAME_BYTES],
    /// Its ids and capabilities.
    pub credentials: Arc<Credentials>,
}

/// How much sooner or later than others it dies when memory is out: `oom_score_adj`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomAdjustment {
    /// In thousandths of memory, from -1000 (never) to 1000 (at once).
    pub value: i32,
    /// The lowest that may be set without privilege.
    pub least: i32,
}

/// The program of a process.
pub struct Program {
    file: SpinLock<Option<Executed>>,
    remains: SpinLock<Option<Remains>>,
    oom: SpinLock<OomAdjustment>,
    dumpable: AtomicU32,
    /// Its user was over `RLIMIT_NPROC` when it took its id: execve(2) answers `EAGAIN`.
    over_limit: AtomicBool,
}

impl Default for Program {
    fn default() -> Self {
        Program {
            file: SpinLock::new(LockClass::Process, None),
            remains: SpinLock::new(LockClass::Process, None),
            oom: SpinLock::new(LockClass::Process, OomAdjustment::default()),
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

    /// What is known of its first thread, once that has exited.
    #[must_use]
    pub fn remains(&self) -> Option<Remains> {
        self.remains.lock().clone()
    }

    /// Its first thread exits.
    pub(crate) fn set_remains(&self, remains: Remains) {
        let before = self.remains.lock().replace(remains);
        drop(before);
    }

    /// `oom_score_adj`.
    #[must_use]
    pub fn oom_adjustment(&self) -> OomAdjustment {
        *self.oom.lock()
    }

    /// Sets `oom_score_adj`.
    pub(crate) fn set_oom_adjustment(&self, adjustment: OomAdjustment) {
        *self.oom.lock() = adjustment;
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
        self.set_oom_adjustment(parent.oom_adjustment());
        self.set_over_limit(parent.is_over_limit());
    }
}
