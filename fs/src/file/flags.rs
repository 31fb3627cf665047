//! The flag words of `open(2)`, `fcntl(2)` and `preadv2(2)`.

use base::{Errno, Result};

bitflags::bitflags! {
    /// The flags of `open(2)`, with the numbers of x86_64.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// Create the file when it is missing.
        const CREAT = 0o100;
        /// With `CREAT`: fail when it is there.
        const EXCL = 0o200;
        /// A terminal opened does not become the controlling one.
        const NOCTTY = 0o400;
        /// Cut the file to length 0.
        const TRUNC = 0o1000;
        /// Each write goes to the end.
        const APPEND = 0o2000;
        /// `EAGAIN` instead of waiting.
        const NONBLOCK = 0o4000;
        /// A write returns when its data is stored.
        const DSYNC = 0o10000;
        /// SIGIO when the file becomes ready.
        const ASYNC = 0o20000;
        /// Past the page cache; packets on a pipe.
        const DIRECT = 0o40000;
        /// Files over 2 GiB: always, on 64 bits.
        const LARGEFILE = 0o100000;
        /// Fail unless it is a directory.
        const DIRECTORY = 0o200000;
        /// Fail when the last component is a symbolic link.
        const NOFOLLOW = 0o400000;
        /// Leave the access time alone.
        const NOATIME = 0o1000000;
        /// Close on exec.
        const CLOEXEC = 0o2000000;
        /// `O_SYNC` is this bit and `DSYNC`.
        const SYNC = 0o4000000;
        /// A place in the tree, without access to the file.
        const PATH = 0o10000000;
        /// The bit of `O_TMPFILE`, which also asks for `DIRECTORY`.
        const TMPFILE = 0o20000000;
    }
}

impl OpenFlags {
    /// Bits that `O_PATH` leaves in force.
    pub const WITH_PATH: OpenFlags = OpenFlags::from_bits_truncate(
        Self::DIRECTORY.bits() | Self::NOFOLLOW.bits() | Self::PATH.bits() | Self::CLOEXEC.bits(),
    );
    /// Bits that stay with the open file and that `F_GETFL` shows beside the access mode.
    pub const STATUS: OpenFlags = OpenFlags::from_bits_truncate(
        !(Self::CREAT.bits()
            | Self::EXCL.bits()
            | Self::NOCTTY.bits()
            | Self::TRUNC.bits()
            | Self::ASYNC.bits()
            | Self::CLOEXEC.bits()),
    );
    /// Bits that `F_SETFL` may change, beside `ASYNC`.
    pub const SETTABLE: OpenFlags = OpenFlags::from_bits_truncate(
        Self::APPEND.bits() | Self::NONBLOCK.bits() | Self::DIRECT.bits() | Self::NOATIME.bits(),
    );

    /// The access that the two lowest bits ask for. 3 is Linux's "only ioctl": neither read nor write,
    /// but both permissions are checked.
    #[must_use]
    pub fn access(self) -> AccessMode {
        if self.contains(OpenFlags::PATH) {
            return AccessMode::empty();
        }
        match self.bits() & 3 {
            0 => AccessMode::READ,
            1 => AccessMode::WRITE,
            2 => AccessMode::READ | AccessMode::WRITE,
            _ => AccessMode::empty(),
        }
    }
}

bitflags::bitflags! {
    /// What an open file allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AccessMode: u8 {
        /// Opened for reading.
        const READ = 1;
        /// Opened for writing.
        const WRITE = 2;
    }
}

bitflags::bitflags! {
    /// How one read or write is to behave: the flags of `preadv2(2)` and `sendmsg(2)` that the file layer
    /// knows, together with what the open file's status flags say.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct IoFlags: u32 {
        /// `EAGAIN` instead of waiting.
        const NONBLOCK = 1;
        /// Write at the end.
        const APPEND = 2;
        /// Data is stored when the call returns.
        const DSYNC = 4;
        /// No SIGPIPE.
        const NOSIGNAL = 8;
    }
}

/// Flags of `preadv2(2)` and `pwritev2(2)` as Linux numbers them.
pub mod rwf {
    /// High priority: a hint for polled devices.
    pub const HIPRI: u32 = 1;
    /// As `O_DSYNC` for this write.
    pub const DSYNC: u32 = 2;
    /// As `O_SYNC` for this write.
    pub const SYNC: u32 = 4;
    /// `EAGAIN` rather than wait.
    pub const NOWAIT: u32 = 8;
    /// As `O_APPEND` for this write.
    pub const APPEND: u32 = 0x10;
    /// Not as `O_APPEND` for this write.
    pub const NOAPPEND: u32 = 0x20;
}

/// The [`IoFlags`] that `flags` of `preadv2(2)` add to and take from those of the open file.
///
/// # Errors
///
/// `EOPNOTSUPP` for a flag that Linux 6.1 does not know; `EINVAL` for both APPEND and NOAPPEND.
pub fn decode_rwf(flags: u32, base: IoFlags) -> Result<IoFlags> {
    use rwf::{APPEND, DSYNC, HIPRI, NOAPPEND, NOWAIT, SYNC};
    if flags & !(HIPRI | DSYNC | SYNC | NOWAIT | APPEND | NOAPPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & APPEND != 0 && flags & NOAPPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let mut result = base;
    result.set(IoFlags::DSYNC, base.contains(IoFlags::DSYNC) || flags & (DSYNC | SYNC) != 0);
    result.set(IoFlags::NONBLOCK, base.contains(IoFlags::NONBLOCK) || flags & NOWAIT != 0);
    if flags & APPEND != 0 {
        result |= IoFlags::APPEND;
    }
    if flags & NOAPPEND != 0 {
        result -= IoFlags::APPEND;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes_follow_the_two_low_bits() {
        assert_eq!(OpenFlags::empty().access(), AccessMode::READ);
        assert_eq!(OpenFlags::from_bits_retain(3).access(), AccessMode::empty());
        assert_eq!((OpenFlags::PATH | OpenFlags::RDWR).access(), AccessMode::empty());
    }

    #[test]
    fn per_call_flags_refuse_what_linux_refuses() {
        assert_eq!(decode_rwf(0x8000, IoFlags::empty()), Err(Errno::EOPNOTSUPP));
        assert_eq!(decode_rwf(rwf::APPEND | rwf::NOAPPEND, IoFlags::empty()), Err(Errno::EINVAL));
        assert_eq!(decode_rwf(rwf::NOAPPEND, IoFlags::APPEND), Ok(IoFlags::empty()));
    }
}
