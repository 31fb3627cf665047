//! The one way from a handle to a descriptor and back, with the rights mapped both ways.
//!
//! A round trip never adds a right: a descriptor made from a handle remembers the handle's rights, and the
//! handle made from it gets no others. A descriptor that was born as one may be passed on, so its handle gets
//! TRANSFER together with DUPLICATE.

use alloc::sync::Arc;

use base::caller::Caller;
use base::{Errno, Result};
use ipc::capability::OwnerClass;
use ipc::file::{FileNode, FileObject};
use ipc::{Access, Capability, Rights};

use super::{ChannelFile, Origin, PortFile};
use crate::file::{FdEntry, FdRights, OpenFile, OpenFlags};
use crate::vfs;

/// Pairs of a descriptor's right and a handle's, for files and channels.
const DATA: [(FdRights, Rights); 4] = [
    (FdRights::READ, Rights::READ),
    (FdRights::WRITE, Rights::WRITE),
    (FdRights::IOCTL, Rights::MANAGE),
    (FdRights::DUP, Rights::DUPLICATE),
];

/// The same for ports.
const PORT: [(FdRights, Rights); 3] =
    [(FdRights::READ, Rights::WAIT), (FdRights::IOCTL, Rights::MANAGE), (FdRights::DUP, Rights::DUPLICATE)];

fn to_handle(rights: FdRights, pairs: &[(FdRights, Rights)]) -> Rights {
    let granted = pairs.iter().filter(|(fd, _)| rights.contains(*fd));
    granted.fold(Rights::empty(), |sum, (_, right)| sum | *right)
}

fn to_descriptor(rights: Rights, pairs: &[(FdRights, Rights)]) -> FdRights {
    let granted = pairs.iter().filter(|(_, right)| rights.contains(*right));
    granted.fold(FdRights::empty(), |sum, (fd, _)| sum | *fd)
}

/// The capability that a handle made from the descriptor `entry` gets: to the channel or port behind it, or
/// else to its open file. `mask` names the rights wanted; none means all that there are.
///
/// # Errors
///
/// `EACCES` when no right is left, and when the descriptor was revoked meanwhile; `ENOMEM`.
pub fn capability_of(caller: &Caller, entry: &FdEntry, mask: Rights) -> Result<Capability> {
    let rights = |granted: Rights| {
        let left = if mask.is_empty() { granted } else { granted & mask };
        if left.is_empty() { Err(Errno::EACCES) } else { Ok(left) }
    };
    let derive = |parent: &Capability, granted: Rights| {
        let rights = rights(granted & parent.rights())?;
        Capability::derive(caller, parent.node(), rights, OwnerClass::Handle)
    };
    let mut data = to_handle(entry.rights, &DATA);
    data.set(Rights::TRANSFER, entry.rights.contains(FdRights::DUP));
    if let Some(channel) = entry.file.ops_as::<ChannelFile>() {
        return derive(channel.capability(), data - Rights::MANAGE);
    }
    if let Some(port) = entry.file.ops_as::<PortFile>() {
        return derive(port.capability(), to_handle(entry.rights, &PORT));
    }
    match &entry.origin {
        Some(origin) => {
            let rights = rights(data & origin.rights())?;
            Capability::derive(caller, origin.node(), rights, OwnerClass::Handle)
        }
        None => {
            vfs::track(entry.file.path());
            let file: Arc<dyn FileObject> = entry.file.clone();
            FileNode::capability(caller, file, rights(data)?)
        }
    }
}

/// The descriptor that is made from a handle: of `flags`, `O_CLOEXEC` and `O_NONBLOCK` count.
///
/// # Errors
///
/// `EINVAL` for a file with `O_NONBLOCK`, which its open file decides; `EACCES` for a channel that may be
/// neither read nor written, and for a handle that is revoked meanwhile; `ENFILE`, `ENOMEM`.
pub fn descriptor_of(caller: &Caller, access: &Access, flags: OpenFlags) -> Result<FdEntry> {
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let rights = access.rights();
    if let Some(file) = access.object().file() {
        if flags.contains(OpenFlags::NONBLOCK) {
            return Err(Errno::EINVAL);
        }
        let file: Arc<OpenFile> = file.file().clone().as_any().downcast().map_err(|_| Errno::ENOTSUP)?;
        let granted = to_descriptor(rights, &DATA) & FdRights::of(file.access());
        let child = Capability::derive(caller, access.node(), rights, OwnerClass::Descriptor)?;
        return Ok(FdEntry { file, rights: granted, cloexec, origin: Some(Origin::new(child)?) });
    }
    let status = flags & OpenFlags::NONBLOCK;
    if access.object().channel().is_some() {
        let mode = match (rights.contains(Rights::READ), rights.contains(Rights::WRITE)) {
            (true, true) => OpenFlags::RDWR,
            (true, false) => OpenFlags::empty(),
            (false, true) => OpenFlags::WRONLY,
            (false, false) => return Err(Errno::EACCES),
        };
        let child = Capability::derive(caller, access.node(), rights, OwnerClass::Descriptor)?;
        let file =
            OpenFile::anonymous(caller, ChannelFile::new(child)?, "anon_inode:[channel]", status | mode)?;
        // Whether it waits is the descriptor's own affair.
        let granted = to_descriptor(rights, &DATA) | FdRights::IOCTL;
        return Ok(FdEntry { file, rights: granted, cloexec, origin: None });
    }
    let child = Capability::derive(caller, access.node(), rights, OwnerClass::Descriptor)?;
    let file = OpenFile::anonymous(caller, PortFile::new(child)?, "anon_inode:[port]", status)?;
    Ok(FdEntry { file, rights: to_descriptor(rights, &PORT), cloexec, origin: None })
}
