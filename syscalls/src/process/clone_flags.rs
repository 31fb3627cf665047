//! The flags of clone(2) and clone3(2), and which of them go together. Source: `clone(2)`.

use base::caller::Capabilities;
use base::{Errno, Result};

bitflags::bitflags! {
    /// What a new task shares with its maker, and what is written where.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// Share the memory.
        const VM = 0x100;
        /// Share root, working directory and umask.
        const FS = 0x200;
        /// Share the descriptors.
        const FILES = 0x400;
        /// Share the signal actions.
        const SIGHAND = 0x800;
        /// Answer a descriptor for the process.
        const PIDFD = 0x1000;
        /// Be traced like the maker: nothing is traced here.
        const PTRACE = 0x2000;
        /// The maker waits until the task has let go of the memory.
        const VFORK = 0x4000;
        /// The maker's parent becomes the parent.
        const PARENT = 0x8000;
        /// A thread of the same process.
        const THREAD = 0x1_0000;
        /// New mount namespace.
        const NEWNS = 0x2_0000;
        /// Share what the end takes back from System V semaphores.
        const SYSVSEM = 0x4_0000;
        /// Set the thread pointer.
        const SETTLS = 0x8_0000;
        /// Write the id into the maker's memory.
        const PARENT_SETTID = 0x10_0000;
        /// Clear the word in the task's memory at its end.
        const CHILD_CLEARTID = 0x20_0000;
        /// Without effect, as on Linux.
        const DETACHED = 0x40_0000;
        /// Not to be traced: nothing is.
        const UNTRACED = 0x80_0000;
        /// Write the id into the task's memory.
        const CHILD_SETTID = 0x100_0000;
        /// New control-group namespace.
        const NEWCGROUP = 0x200_0000;
        /// New host-name namespace.
        const NEWUTS = 0x400_0000;
        /// New System V namespace.
        const NEWIPC = 0x800_0000;
        /// New user namespace.
        const NEWUSER = 0x1000_0000;
        /// New process-id namespace.
        const NEWPID = 0x2000_0000;
        /// New network namespace.
        const NEWNET = 0x4000_0000;
        /// Share the I/O scheduling context: there is one.
        const IO = 0x8000_0000;
        /// Signal handlers become defaults.
        const CLEAR_SIGHAND = 0x1_0000_0000;
        /// Start in another control group.
        const INTO_CGROUP = 0x2_0000_0000;
        /// A bit of the exit signal for clone(2), so only clone3(2) and unshare(2) can say it.
        const NEWTIME = 0x80;
    }
}

/// The namespaces that unshare and clone could make anew. There is one of each.
pub const NAMESPACES: CloneFlags = CloneFlags::NEWNS
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWUSER)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET)
    .union(CloneFlags::NEWTIME);

/// A request for a new task, as the three calls make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneRequest {
    /// The flags, without the exit signal.
    pub flags: CloneFlags,
    /// Signal to the parent at the end, 0 for none.
    pub exit_signal: u32,
    /// New stack pointer, 0 for the maker's.
    pub stack: u64,
    /// Where the maker finds the descriptor (`CLONE_PIDFD`).
    pub pidfd: u64,
    /// Where the maker finds the id (`CLONE_PARENT_SETTID`).
    pub parent_tid: u64,
    /// Where the new task finds it, and what its end clears.
    pub child_tid: u64,
    /// Thread pointer (`CLONE_SETTLS`).
    pub tls: u64,
    /// The number that the new task is to have (`set_tid`), 0 for any.
    pub wanted: u32,
}

impl Default for CloneFlags {
    fn default() -> Self {
        CloneFlags::empty()
    }
}

/// Bits of the exit signal in the flags of clone(2).
const EXIT_SIGNAL: u64 = 0xff;

impl CloneRequest {
    /// The request of clone(2).
    #[must_use]
    pub fn legacy(flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> CloneRequest {
        CloneRequest {
            // Linux reads 32 bits, and clears what it does not know.
            flags: CloneFlags::from_bits_truncate(flags & 0xffff_ffff & !EXIT_SIGNAL),
            exit_signal: u32::try_from(flags & EXIT_SIGNAL).unwrap_or(0),
            stack,
            pidfd: parent_tid,
            parent_tid,
            child_tid,
            tls,
            wanted: 0,
        }
    }

    /// Checks what does not go together, in Linux's order.
    ///
    /// # Errors
    ///
    /// `EINVAL`; `EPERM` for namespaces without `CAP_SYS_ADMIN`.
    pub fn check(&self, effective: Capabilities, maker_is_first: bool) -> Result<()> {
        let has = |flags| self.flags.contains(flags);
        let impossible = has(CloneFlags::NEWNS | CloneFlags::FS)
            || has(CloneFlags::NEWUSER | CloneFlags::FS)
            || has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND)
            || has(CloneFlags::SIGHAND) && !has(CloneFlags::VM)
            || has(CloneFlags::PARENT) && maker_is_first
            || has(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND)
            || has(CloneFlags::PIDFD) && self.flags.intersects(CloneFlags::THREAD | CloneFlags::DETACHED)
            || has(CloneFlags::PIDFD | CloneFlags::PARENT_SETTID) && self.pidfd == self.parent_tid
            || has(CloneFlags::INTO_CGROUP);
        if impossible {
            return Err(Errno::EINVAL);
        }
        if self.flags.intersects(NAMESPACES) {
            let may = effective.contains(Capabilities::SYS_ADMIN) || has(CloneFlags::NEWUSER);
            return Err(if may { Errno::EINVAL } else { Errno::EPERM });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: CloneFlags) -> Result<()> {
        CloneRequest { flags, ..CloneRequest::default() }.check(Capabilities::all(), false)
    }

    #[test]
    fn what_pthreads_and_vfork_ask_for_goes_together() {
        let pthread = CloneFlags::VM
            | CloneFlags::FS
            | CloneFlags::FILES
            | CloneFlags::SIGHAND
            | CloneFlags::THREAD
            | CloneFlags::SYSVSEM
            | CloneFlags::SETTLS
            | CloneFlags::PARENT_SETTID
            | CloneFlags::CHILD_CLEARTID;
        assert_eq!(check(pthread), Ok(()));
        assert_eq!(check(CloneFlags::VM | CloneFlags::VFORK), Ok(()));
        assert_eq!(check(CloneFlags::CHILD_SETTID | CloneFlags::CHILD_CLEARTID), Ok(()));
    }

    #[test]
    fn threads_need_shared_handlers_and_those_need_shared_memory() {
        assert_eq!(check(CloneFlags::THREAD), Err(Errno::EINVAL));
        assert_eq!(check(CloneFlags::THREAD | CloneFlags::VM), Err(Errno::EINVAL));
        assert_eq!(check(CloneFlags::SIGHAND), Err(Errno::EINVAL));
    }

    #[test]
    fn namespaces_are_refused() {
        assert_eq!(check(CloneFlags::NEWPID), Err(Errno::EINVAL));
        let request = CloneRequest { flags: CloneFlags::NEWUTS, ..CloneRequest::default() };
        assert_eq!(request.check(Capabilities::empty(), false), Err(Errno::EPERM));
    }

    #[test]
    fn the_exit_signal_is_the_low_byte() {
        let request = CloneRequest::legacy(0x0120_0011, 0, 0, 0, 0);
        assert_eq!(request.exit_signal, 17);
        assert_eq!(request.flags, CloneFlags::CHILD_SETTID | CloneFlags::CHILD_CLEARTID);
    }
}
