//! memfd_create(2) and file seals.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::caller::Caller;
use base::sync::Lazy;
use base::{Errno, Result};

use super::TmpFs;
use super::file::{TmpFile, inode_of};
use super::inode::TmpInode;
use super::pages::Seals;
use crate::file::{AccessMode, FileOps, OpenFile, OpenFlags};
use crate::vfs::{Inode, NewInode, NewKind, anonymous_place};

bitflags::bitflags! {
    /// Flags of `memfd_create(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MemfdFlags: u32 {
        /// Close on exec.
        const CLOEXEC = 1;
        /// Seals may be added.
        const ALLOW_SEALING = 2;
    }
}

/// Longest name: what is left of `NAME_MAX` behind `memfd:`.
const NAME_MAX: usize = 249;

/// The instance that memfds live in; it is mounted nowhere.
static INSTANCE: Lazy<Result<Arc<TmpFs>>> = Lazy::new(|| TmpFs::new(b"size=0,nr_inodes=0"));

/// A new file without a name; `name` is only shown.
///
/// # Errors
///
/// `EINVAL` for a name that is too long; `ENFILE`, `ENOMEM`.
pub fn memfd_create(caller: &Caller, name: &[u8], flags: MemfdFlags) -> Result<Arc<OpenFile>> {
    if name.len() > NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let seals = if flags.contains(MemfdFlags::ALLOW_SEALING) { Seals::empty() } else { Seals::SEAL };
    let mut title = Vec::from(b"/memfd:".as_slice());
    title.extend_from_slice(name);
    title.extend_from_slice(b" (deleted)");
    unnamed(caller, &title, seals)
}

/// A file without a name for the pages of a System V segment of `size` bytes; `title` is only shown.
///
/// # Errors
///
/// `EINVAL` for a size that no file has; `ENFILE`, `ENOMEM`.
pub fn segment_file(caller: &Caller, title: &[u8], size: u64) -> Result<Arc<OpenFile>> {
    let file = unnamed(caller, title, Seals::SEAL)?;
    file.inode().truncate(size).map_err(|_| Errno::EINVAL)?;
    Ok(file)
}

fn unnamed(caller: &Caller, title: &[u8], seals: Seals) -> Result<Arc<OpenFile>> {
    let credentials = &caller.credentials;
    let new =
        NewInode { kind: NewKind::Regular, mode: 0o777, uid: credentials.fsuid, gid: credentials.fsgid };
    let inode = TmpInode::new(&INSTANCE.as_ref().map_err(|error| *error)?.pool, &new, Weak::new(), seals)?;
    inode.forget_name();
    let ops: Arc<dyn FileOps> = Arc::new(TmpFile(inode.clone()));
    let inode: Arc<dyn Inode> = inode;
    inode.state().get_writer()?;
    let place = anonymous_place(inode, title);
    let flags = OpenFlags::RDWR | OpenFlags::LARGEFILE;
    OpenFile::with_access(caller, ops, place, flags, AccessMode::READ | AccessMode::WRITE, true)
}

/// The seals of a file: `F_GET_SEALS`.
///
/// # Errors
///
/// `EINVAL` when the kind of file has none.
pub fn seals(file: &OpenFile) -> Result<Seals> {
    let inode = inode_of(file).ok_or(Errno::EINVAL)?;
    Ok(inode.content()?.seals())
}

/// Adds seals: `F_ADD_SEALS`.
///
/// # Errors
///
/// `EINVAL` when the kind of file has none, or for an unknown seal; `EPERM` when it is not open for writing or
/// sealed against seals; `EBUSY` to seal writing while it is mapped for that.
pub fn add_seals(file: &OpenFile, bits: u32) -> Result<()> {
    let inode = inode_of(file).ok_or(Errno::EINVAL)?;
    if !file.access().contains(AccessMode::WRITE) {
        return Err(Errno::EPERM);
    }
    let seals = Seals::from_bits(bits).ok_or(Errno::EINVAL)?;
    inode.content()?.add_seals(seals)
}
