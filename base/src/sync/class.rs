//! Lock classes: the order in which locks nest.

/// The class of a lock. A later class may be taken under an earlier one, never the other way round,
/// and two locks of one class only where the code says so
/// ([`lock_nested`](super::SpinLock::lock_nested)).
///
/// To add a class, put it at the place where its locks nest; nothing else has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the subsystems")]
#[repr(u8)]
pub enum LockClass {
    ProcessTable,
    Session,
    Process,
    ThreadGroup,
    Signals,
    SharedSignals,
    AddressSpace,
    PageTable,
    FdTable,
    FsContext,
    Mount,
    MountPlace,
    Rename,
    Dentry,
    DentryPlace,
    DentryCache,
    Inode,
    InodeAttributes,
    PageCache,
    FileLockGraph,
    FileLock,
    File,
    Epoll,
    Followers,
    Tty,
    Pipe,
    InotifyWatches,
    EventSetting,
    Event,
    InFlight,
    Socket,
    SocketNames,
    HandleTable,
    Lineage,
    Object,
    Port,
    ObjectRegistry,
    Registry,
    History,
    SysvUndo,
    SysvIds,
    SysvObject,
    SysvSleeper,
    Poll,
    KernelBytes,
    FutexOwner,
    Futex,
    WaitSource,
    ReadyList,
    WaitNode,
    Task,
    TaskRegistry,
    TimerOwner,
    Timer,
    RunQueue,
    Fault,
    Frames,
    Heap,
    Device,
    Log,
}

impl LockClass {
    /// Number of classes.
    pub const COUNT: usize = LockClass::Log as usize + 1;

    /// This class as a bit of a held-set.
    #[cfg(all(debug_assertions, not(any(loom, shuttle))))]
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

const _: () = assert!(LockClass::COUNT <= 64, "a held-set is one 64-bit word");

// Plain core atomics also under the model checker: a counter is no part of any protocol.
use core::sync::atomic::{AtomicU64, Ordering};

static CONTENDED: [AtomicU64; LockClass::COUNT] = [const { AtomicU64::new(0) }; LockClass::COUNT];

/// How often a lock of `class` was found taken, since boot.
#[must_use]
pub fn contention(class: LockClass) -> u64 {
    CONTENDED.get(class as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

/// Counts one time that a lock of `class` was found taken.
#[cold]
#[cfg_attr(loom, allow(dead_code))]
pub(super) fn count_contention(class: LockClass) {
    if let Some(counter) = CONTENDED.get(class as usize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
