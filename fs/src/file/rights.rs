//! Rights of a descriptor: what may be done through it, beside what the open file allows.

use base::{Errno, Result};

use super::flags::AccessMode;

bitflags::bitflags! {
    /// The rights of one descriptor. They only ever shrink.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FdRights: u8 {
        /// Reading: read, recv, a readable mapping.
        const READ = 1;
        /// Writing: write, send, truncation, chmod, a writable shared mapping.
        const WRITE = 2;
        /// `ioctl(2)` and `F_SETFL`.
        const IOCTL = 4;
        /// Duplication and passing on.
        const DUP = 8;
    }
}

impl FdRights {
    /// What a new descriptor of a file opened with `access` gets.
    #[must_use]
    pub fn of(access: AccessMode) -> FdRights {
        let mut rights = FdRights::IOCTL | FdRights::DUP;
        rights.set(FdRights::READ, access.contains(AccessMode::READ));
        rights.set(FdRights::WRITE, access.contains(AccessMode::WRITE));
        rights
    }

    /// Checks that these rights include `required`.
    ///
    /// # Errors
    ///
    /// `EPERM` when only DUP is missing, `EBADF` for any other.
    pub fn require(self, required: FdRights) -> Result<()> {
        match required.difference(self) {
            missing if missing.is_empty() => Ok(()),
            FdRights::DUP => Err(Errno::EPERM),
            _ => Err(Errno::EBADF),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_to_duplicate_is_eperm_and_any_other_ebadf() {
        let rights = FdRights::of(AccessMode::READ);
        assert_eq!(rights.require(FdRights::READ | FdRights::DUP), Ok(()));
        assert_eq!(rights.require(FdRights::WRITE), Err(Errno::EBADF));
        assert_eq!(FdRights::READ.require(FdRights::DUP), Err(Errno::EPERM));
        assert_eq!(FdRights::READ.require(FdRights::DUP | FdRights::IOCTL), Err(Errno::EBADF));
    }
}
