//! mount(2) and umount2(2), chroot(2) and the working directory.

use alloc::sync::Arc;

use base::caller::Capabilities;
use base::{Errno, Result};

use super::mount::{Mount, MountFlags};
use super::path::Path;
use super::permission::{Permission, permission};
use super::registry::file_system_type;
use super::walk::{Start, Subject, WalkFlags, resolve};

/// Flags of `mount(2)` beside those that stay with the mount.
pub mod ms {
    /// Writes are synchronous.
    pub const SYNCHRONOUS: u64 = 16;
    /// Change the flags of a mount.
    pub const REMOUNT: u64 = 32;
    /// Mandatory locks.
    pub const MANDLOCK: u64 = 64;
    /// Directory changes are synchronous.
    pub const DIRSYNC: u64 = 128;
    /// Show a part of the tree at a second place.
    pub const BIND: u64 = 4096;
    /// Move a mount.
    pub const MOVE: u64 = 8192;
    /// With `BIND`: what is mounted below comes along.
    pub const REC: u64 = 16_384;
    /// No log message.
    pub const SILENT: u64 = 32_768;
    /// Propagation types.
    pub const PROPAGATION: u64 = 0xf << 17;
    /// `MS_PRIVATE` of the propagation types: what every mount is here.
    pub const PRIVATE: u64 = 1 << 18;
    /// Access times by the kernel's default rule.
    pub const RELATIME: u64 = 1 << 21;
    /// Always move access times.
    pub const STRICTATIME: u64 = 1 << 24;
    /// Write times lazily.
    pub const LAZYTIME: u64 = 1 << 25;
    /// The magic that old programs put in the upper half.
    pub const MAGIC: u64 = 0xc0ed_0000;
}

fn mount_flags(raw: u64) -> MountFlags {
    let mut flags = MountFlags::from_bits_truncate(u32::try_from(raw & 0xffff_ffff).unwrap_or(0));
    flags.remove(MountFlags::RELATIME);
    if raw & ms::STRICTATIME == 0 && !flags.contains(MountFlags::NOATIME) {
        flags |= MountFlags::RELATIME;
    }
    flags
}

fn require_admin(subject: Subject<'_>) -> Result<()> {
    if subject.caller.credentials.capable(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

/// `mount(2)`.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`; `ENODEV` for an unknown type; `EINVAL` for flags that don't go together, a
/// remount of what is no mount, or a kind of propagation that does not exist here; `ENOTDIR`, `EBUSY`, `ELOOP`;
/// and those of the walk.
pub fn mount(
    subject: Subject<'_>,
    source: &[u8],
    target: &[u8],
    type_name: Option<&[u8]>,
    flags: u64,
    data: &[u8],
) -> Result<()> {
    let flags = if flags & 0xffff_0000 == ms::MAGIC { flags & 0xffff } else { flags };
    let place = resolve(subject, Start::Cwd, target, WalkFlags::FOLLOW)?;
    require_admin(subject)?;
    if flags & ms::MANDLOCK != 0 {
        return Err(Errno::EINVAL);
    }
    match flags & (ms::REMOUNT | ms::BIND | ms::MOVE | ms::PROPAGATION) {
        remount if remount & ms::REMOUNT != 0 => remount_at(&place, flags, data),
        bind if bind & ms::BIND != 0 => bind_at(subject, source, place, flags),
        propagation if propagation & ms::PROPAGATION != 0 => {
            // Every mount is private; another kind does not exist without mount namespaces.
            let private = propagation & ms::PROPAGATION == ms::PRIVATE;
            let at_mount = Arc::ptr_eq(&place.dentry, place.mount.root());
            if private && at_mount { Ok(()) } else { Err(Errno::EINVAL) }
        }
        ms::MOVE => move_to(subject, source, place),
        _ => {
            let kind = file_system_type(type_name.ok_or(Errno::EINVAL)?)?;
            let super_block = (kind.mount)(source, data)?;
            attach(subject, &Mount::new(&super_block, source, mount_flags(flags)), place)
        }
    }
}

/// Puts `mount` on `place`, which must be a directory exactly when the mount shows one.
fn attach(subject: Subject<'_>, mount: &Arc<Mount>, place: Path) -> Result<()> {
    let wanted = mount.root().inode().metadata().is_directory();
    if place.inode().metadata().is_directory() != wanted {
        return Err(Errno::ENOTDIR);
    }
    subject.fs.namespace().attach(mount, place)
}

fn remount_at(place: &Path, flags: u64, data: &[u8]) -> Result<()> {
    if !Arc::ptr_eq(&place.dentry, place.mount.root()) {
        return Err(Errno::EINVAL);
    }
    if flags & ms::BIND == 0 {
        place.mount.file_system().reconfigure(data)?;
    }
    place.mount.set_flags(mount_flags(flags));
    Ok(())
}

fn bind_at(subject: Subject<'_>, source: &[u8], place: Path, flags: u64) -> Result<()> {
    let from = resolve(subject, Start::Cwd, source, WalkFlags::FOLLOW)?;
    let copy = Mount::bind(&from);
    attach(subject, &copy, place)?;
    if flags & ms::REC == 0 {
        return Ok(());
    }
    let namespace = subject.fs.namespace();
    for mount in namespace.list() {
        let Some(on) = mount.mounted_on() else { continue };
        let below = Arc::ptr_eq(&on.mount, &from.mount) && on.dentry.is_below(&from.dentry);
        if below && !Arc::ptr_eq(&mount, &copy) {
            let child = Mount::bind(&mount.root_path());
            namespace.attach(&child, Path { mount: copy.clone(), dentry: on.dentry })?;
        }
    }
    Ok(())
}

fn move_to(subject: Subject<'_>, source: &[u8], place: Path) -> Result<()> {
    let from = resolve(subject, Start::Cwd, source, WalkFlags::FOLLOW)?;
    if !Arc::ptr_eq(&from.dentry, from.mount.root()) || from.mount.mounted_on().is_none() {
        return Err(Errno::EINVAL);
    }
    // A mount can't be put somewhere below itself.
    let mut above = Some(place.clone());
    while let Some(at) = above {
        if Arc::ptr_eq(&at.mount, &from.mount) {
            return Err(Errno::ELOOP);
        }
        above = at.mount.mounted_on();
    }
    subject.fs.namespace().relocate(&from.mount, place)
}

bitflags::bitflags! {
    /// Flags of `umount2(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct UnmountFlags: u32 {
        /// Even when it is busy, losing data.
        const FORCE = 1;
        /// Take it out of the tree now; it ends when nobody uses it any more.
        const DETACH = 2;
        /// Mark it; it goes if nobody uses it until the next such call.
        const EXPIRE = 4;
        /// Don't follow a symbolic link.
        const NOFOLLOW = 8;
    }
}

/// `umount2(2)`.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`; `EINVAL` when it is no mount point, for the root, and for `MNT_EXPIRE`, which
/// does not exist here; `EBUSY`; and those of the walk.
pub fn unmount(subject: Subject<'_>, target: &[u8], flags: UnmountFlags) -> Result<()> {
    if flags.contains(UnmountFlags::EXPIRE) {
        return Err(Errno::EINVAL);
    }
    require_admin(subject)?;
    let follow = if flags.contains(UnmountFlags::NOFOLLOW) { WalkFlags::empty() } else { WalkFlags::FOLLOW };
    let Path { mount, dentry } = resolve(subject, Start::Cwd, target, follow)?;
    if !Arc::ptr_eq(&dentry, mount.root()) {
        return Err(Errno::EINVAL);
    }
    drop(dentry);
    subject.fs.namespace().detach(&mount, flags.contains(UnmountFlags::DETACH), 1)
}

/// Checks that `place` is a directory that the caller may search, as `chdir(2)` asks.
///
/// # Errors
///
/// `ENOTDIR`, `EACCES`.
fn require_searchable(subject: Subject<'_>, place: &Path) -> Result<()> {
    let metadata = place.inode().metadata();
    if !metadata.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permission(&subject.caller.credentials, &metadata, Permission::EXECUTE)
}

/// `chdir(2)`.
///
/// # Errors
///
/// `ENOTDIR`, `EACCES`, and those of the walk.
pub fn change_directory(subject: Subject<'_>, path: &[u8]) -> Result<()> {
    let place = resolve(subject, Start::Cwd, path, WalkFlags::FOLLOW | WalkFlags::DIRECTORY)?;
    change_directory_to(subject, place)
}

/// `fchdir(2)`.
///
/// # Errors
///
/// `ENOTDIR`, `EACCES`.
pub fn change_directory_to(subject: Subject<'_>, place: Path) -> Result<()> {
    require_searchable(subject, &place)?;
    subject.fs.set_cwd(place);
    Ok(())
}

/// `chroot(2)`.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_CHROOT`; `ENOTDIR`, `EACCES`, and those of the walk.
pub fn change_root(subject: Subject<'_>, path: &[u8]) -> Result<()> {
    let place = resolve(subject, Start::Cwd, path, WalkFlags::FOLLOW | WalkFlags::DIRECTORY)?;
    require_searchable(subject, &place)?;
    if !subject.caller.credentials.capable(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    subject.fs.set_root(place);
    Ok(())
}
