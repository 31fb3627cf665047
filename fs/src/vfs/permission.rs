//! Who may do what: permission bits and the capabilities that pass them. Source: `path_resolution(7)`,
//! `capabilities(7)`.

use base::caller::{Caller, Capabilities, Credentials};
use base::{Errno, Result};

use super::metadata::{FileType, Metadata, mode};

bitflags::bitflags! {
    /// What is wanted of a file, with the bits of `access(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Permission: u32 {
        /// Execute it, or search the directory.
        const EXECUTE = 1;
        /// Write it, or change the directory's entries.
        const WRITE = 2;
        /// Read it, or list the directory.
        const READ = 4;
    }
}

/// Checks the permission bits of a file, and the capabilities that pass them, for the ids `fsuid` and `fsgid`.
///
/// # Errors
///
/// `EACCES`.
pub fn permission(credentials: &Credentials, file: &Metadata, wanted: Permission) -> Result<()> {
    let shift = if credentials.fsuid == file.uid {
        6
    } else if credentials.in_group(file.gid) {
        3
    } else {
        0
    };
    if Permission::from_bits_truncate(file.mode >> shift).contains(wanted) {
        return Ok(());
    }
    let directory = file.kind == FileType::Directory;
    let reading = !wanted.contains(Permission::WRITE) && (directory || !wanted.contains(Permission::EXECUTE));
    let overridable = directory || !wanted.contains(Permission::EXECUTE) || file.mode & 0o111 != 0;
    if overridable && credentials.capable(Capabilities::DAC_OVERRIDE)
        || reading && credentials.capable(Capabilities::DAC_READ_SEARCH)
    {
        return Ok(());
    }
    Err(Errno::EACCES)
}

/// True when the caller owns the file or may act as if it did.
#[must_use]
pub fn owner_or_capable(caller: &Caller, file: &Metadata) -> bool {
    caller.credentials.fsuid == file.uid || caller.credentials.capable(Capabilities::FOWNER)
}

/// Checks that an entry of `directory` may be removed or renamed: write and search permission, and in a sticky
/// directory the ownership of the entry or of the directory.
///
/// # Errors
///
/// `EACCES`; `EPERM` for the sticky bit.
pub(super) fn may_delete(caller: &Caller, directory: &Metadata, victim: &Metadata) -> Result<()> {
    permission(&caller.credentials, directory, Permission::WRITE | Permission::EXECUTE)?;
    let credentials = &caller.credentials;
    let protected = directory.mode & mode::STICKY != 0
        && credentials.fsuid != victim.uid
        && credentials.fsuid != directory.uid
        && !credentials.capable(Capabilities::FOWNER);
    if protected { Err(Errno::EPERM) } else { Ok(()) }
}

/// Group and mode of a new inode in `directory`: a directory with the set-group-id bit gives its group on,
/// and the bit to directories. An unprivileged maker outside that group loses the bit on an executable.
#[must_use]
pub(super) fn inherit(caller: &Caller, directory: &Metadata, kind: FileType, mode: u32) -> (u32, u32) {
    let credentials = &caller.credentials;
    if directory.mode & mode::SETGID == 0 {
        return (credentials.fsgid, mode);
    }
    let executable = mode::SETGID | mode::GROUP_EXECUTE;
    let mode = if kind == FileType::Directory {
        mode | mode::SETGID
    } else if mode & executable == executable
        && !credentials.in_group(directory.gid)
        && !credentials.capable(Capabilities::FSETID)
    {
        mode & !mode::SETGID
    } else {
        mode
    };
    (directory.gid, mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{DeviceNumber, Timestamp};

    fn file(kind: FileType, mode: u32) -> Metadata {
        let time = Timestamp::default();
        Metadata {
            device: DeviceNumber::default(),
            ino: 1,
            kind,
            mode,
            links: 1,
            uid: 10,
            gid: 20,
            rdev: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: time,
            modified: time,
            changed: time,
            born: None,
        }
    }

    fn user(uid: u32, gid: u32) -> Credentials {
        let none = Capabilities::empty();
        Credentials { fsuid: uid, fsgid: gid, effective: none, ..Credentials::root() }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let file = file(FileType::Regular, 0o074);
        assert_eq!(permission(&user(10, 20), &file, Permission::READ), Err(Errno::EACCES));
        assert_eq!(permission(&user(11, 20), &file, Permission::all()), Ok(()));
        assert_eq!(permission(&user(11, 21), &file, Permission::READ), Ok(()));
        assert_eq!(permission(&user(11, 21), &file, Permission::WRITE), Err(Errno::EACCES));
    }

    #[test]
    fn root_executes_only_what_somebody_may() {
        let root = Credentials::root();
        let script = file(FileType::Regular, 0o644);
        assert_eq!(permission(&root, &script, Permission::EXECUTE), Err(Errno::EACCES));
        assert_eq!(permission(&root, &script, Permission::WRITE | Permission::READ), Ok(()));
        assert_eq!(permission(&root, &file(FileType::Directory, 0), Permission::all()), Ok(()));
    }
}
