//! Who is asking: what `fs` and `ipc` may know about the thread whose syscall they serve.

use alloc::sync::Arc;

use crate::charge::Account;
use crate::memory::UserMemory;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::{Errno, Result};

/// The thread on whose behalf an operation runs. Cheap to build, passed as `&Caller`.
#[derive(Clone)]
pub struct Caller {
    /// Stable key of the task: the same in every run of one seed.
    pub key: u64,
    /// Process id (thread group id).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Ids and capabilities at the time of the call.
    pub credentials: Arc<Credentials>,
    /// The process's resource limits.
    pub limits: Arc<Limits>,
    /// Who pays for kernel memory.
    pub account: Arc<Account>,
    /// The caller's memory, for the few operations (ioctl) that take a bare pointer.
    pub memory: Arc<dyn UserMemory>,
}

/// Ids and capabilities of a process; immutable, replaced as a whole. Source: `credentials(7)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Saved user id.
    pub suid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Group id for file access.
    pub fsgid: u32,
    /// Supplementary groups, sorted.
    pub groups: Arc<[u32]>,
    /// Effective capabilities.
    pub effective: Capabilities,
    /// Permitted capabilities.
    pub permitted: Capabilities,
    /// Inheritable capabilities.
    pub inheritable: Capabilities,
    /// Bounding set.
    pub bounding: Capabilities,
    /// Ambient set.
    pub ambient: Capabilities,
    /// `prctl(PR_SET_SECUREBITS)`.
    pub securebits: u32,
}

bitflags::bitflags! {
    /// Linux capabilities, bit N for capability number N. Source: `capabilities(7)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Capabilities: u64 {
        /// Change owners at will.
        const CHOWN = 1 << 0;
        /// Pass read, write and execute checks.
        const DAC_OVERRIDE = 1 << 1;
        /// Pass read checks and directory search.
        const DAC_READ_SEARCH = 1 << 2;
        /// Pass checks that ask for the file's owner.
        const FOWNER = 1 << 3;
        /// Keep set-id bits.
        const FSETID = 1 << 4;
        /// Signal any process.
        const KILL = 1 << 5;
        /// Set any group id.
        const SETGID = 1 << 6;
        /// Set any user id.
        const SETUID = 1 << 7;
        /// Change the capability sets.
        const SETPCAP = 1 << 8;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Pass permission checks of System V objects.
        const IPC_OWNER = 1 << 15;
        /// Raw memory and ports; mappings at the lowest addresses.
        const SYS_RAWIO = 1 << 17;
        /// chroot(2).
        const SYS_CHROOT = 1 << 18;
        /// Look into any process.
        const SYS_PTRACE = 1 << 19;
        /// Administration: mounts, host name and the like.
        const SYS_ADMIN = 1 << 21;
        /// reboot(2).
        const SYS_BOOT = 1 << 22;
        /// Raise priorities.
        const SYS_NICE = 1 << 23;
        /// Raise limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set clocks.
        const SYS_TIME = 1 << 25;
        /// Configure terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// mknod(2).
        const MKNOD = 1 << 27;
        /// Leases.
        const LEASE = 1 << 28;
        /// Alarms that wake the machine.
        const WAKE_ALARM = 1 << 35;
        const _ = (1 << 41) - 1;
    }
}

impl Credentials {
    /// Root with every capability: the first process.
    #[must_use]
    pub fn root() -> Credentials {
        let all = Capabilities::from_bits_retain((1 << 41) - 1);
        Credentials {
            uid: 0,
            euid: 0,
            suid: 0,
            fsuid: 0,
            gid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: Arc::from([]),
            effective: all,
            permitted: all,
            inheritable: Capabilities::empty(),
            bounding: all,
            ambient: Capabilities::empty(),
            securebits: 0,
        }
    }

    /// True when the effective set holds `capability`.
    #[must_use]
    pub fn capable(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }

    /// True when `gid` is the file-access group or a supplementary one.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }
}

/// A resource of `getrlimit(2)`, with Linux's numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// CPU time, seconds.
    Cpu = 0,
    /// File size, bytes.
    FileSize = 1,
    /// Data segment, bytes.
    Data = 2,
    /// Stack, bytes.
    Stack = 3,
    /// Core file, bytes.
    Core = 4,
    /// Resident set, bytes; without effect, as on Linux.
    Rss = 5,
    /// Processes of the user.
    Processes = 6,
    /// One more than the highest descriptor.
    OpenFiles = 7,
    /// Locked memory, bytes.
    LockedMemory = 8,
    /// Address space, bytes.
    AddressSpace = 9,
    /// File locks.
    Locks = 10,
    /// Queued signals of the user.
    PendingSignals = 11,
    /// POSIX message queues, bytes.
    MessageQueues = 12,
    /// Ceiling of the nice value.
    Nice = 13,
    /// Ceiling of the real-time priority.
    RealtimePriority = 14,
    /// Real-time CPU time without a blocking call, microseconds.
    RealtimeTime = 15,
}

impl Resource {
    /// Number of resources.
    pub const COUNT: usize = 16;

    /// The resource with Linux's number `raw`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that Linux does not know.
    pub fn from_raw(raw: u32) -> Result<Resource> {
        use Resource::*;
        const ALL: [Resource; Resource::COUNT] = [
            Cpu,
            FileSize,
            Data,
            Stack,
            Core,
            Rss,
            Processes,
            OpenFiles,
            LockedMemory,
            AddressSpace,
            Locks,
            PendingSignals,
            MessageQueues,
            Nice,
            RealtimePriority,
            RealtimeTime,
        ];
        ALL.get(raw as usize).copied().ok_or(Errno::EINVAL)
    }
}

/// Soft and hard limits of one process.
#[derive(Debug)]
pub struct Limits {
    soft: [AtomicU64; Resource::COUNT],
    hard: [AtomicU64; Resource::COUNT],
}

impl Limits {
    /// `RLIM_INFINITY`.
    pub const INFINITY: u64 = u64::MAX;

    /// The limits Linux gives its first process, with `processes` for `RLIMIT_NPROC` and pending signals.
    #[must_use]
    pub fn initial(processes: u64) -> Limits {
        let limits = Limits {
            soft: core::array::from_fn(|_| AtomicU64::new(Self::INFINITY)),
            hard: core::array::from_fn(|_| AtomicU64::new(Self::INFINITY)),
        };
        limits.set(Resource::Stack, 8 << 20, Self::INFINITY);
        limits.set(Resource::Core, 0, Self::INFINITY);
        limits.set(Resource::Processes, processes, processes);
        limits.set(Resource::OpenFiles, 1024, 1 << 20);
        limits.set(Resource::LockedMemory, 8 << 20, 8 << 20);
        limits.set(Resource::PendingSignals, processes, processes);
        limits.set(Resource::MessageQueues, 819_200, 819_200);
        limits.set(Resource::Nice, 0, 0);
        limits.set(Resource::RealtimePriority, 0, 0);
        limits
    }

    /// The soft limit.
    #[must_use]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.soft[resource as usize].load(Ordering::Relaxed)
    }

    /// The hard limit.
    #[must_use]
    pub fn hard(&self, resource: Resource) -> u64 {
        self.hard[resource as usize].load(Ordering::Relaxed)
    }

    /// Sets both; the caller has checked permission and order.
    pub fn set(&self, resource: Resource, soft: u64, hard: u64) {
        self.soft[resource as usize].store(soft, Ordering::Relaxed);
        self.hard[resource as usize].store(hard, Ordering::Relaxed);
    }
}

impl Clone for Limits {
    /// A copy for a new process.
    fn clone(&self) -> Limits {
        Limits {
            soft: core::array::from_fn(|i| AtomicU64::new(self.soft[i].load(Ordering::Relaxed))),
            hard: core::array::from_fn(|i| AtomicU64::new(self.hard[i].load(Ordering::Relaxed))),
        }
    }
}
