//! The mounts that a process sees: `mounts` and `mountinfo`. Source: `proc(5)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::pseudo::Text;
use crate::vfs::{Dentry, Mount, MountFlags, Namespace, Path};

/// One line for each mount below `root`, as fstab(5) has it.
pub fn mounts(namespace: &Namespace, root: &Path, text: &mut Text) {
    for (mount, place) in visible(namespace, root) {
        escape(text, mount.source(), b" \t\n\\#");
        let _ = text.push_bytes(b" ");
        escape(text, &place, b" \t\n\\");
        let file_system = mount.file_system();
        let _ = write!(text, " {} ", file_system.type_name());
        options(text, mount.flags());
        let _ = file_system.show_options(text);
        let _ = text.write_str(" 0 0\n");
    }
}

/// One line for each mount below `root`, with its number, its parent and its root.
pub fn mountinfo(namespace: &Namespace, root: &Path, text: &mut Text) {
    for (mount, place) in visible(namespace, root) {
        let parent = mount.mounted_on().map_or(mount.id(), |place| place.mount.id());
        let file_system = mount.file_system();
        let device = file_system.device();
        let _ = write!(text, "{} {parent} {}:{} ", mount.id(), device.major, device.minor);
        escape(text, &path_within(mount.root()), b" \t\n\\");
        let _ = text.push_bytes(b" ");
        escape(text, &place, b" \t\n\\");
        let _ = text.push_bytes(b" ");
        options(text, mount.flags());
        let _ = write!(text, " - {} ", file_system.type_name());
        escape(text, mount.source(), b" \t\n\\");
        let _ = text.write_str(" rw");
        let _ = file_system.show_options(text);
        let _ = text.push_bytes(b"\n");
    }
}

/// The mounts below `root`, in the order of mounting, with the path at which each is found.
fn visible(namespace: &Namespace, root: &Path) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let place = |mount: Arc<Mount>| {
        let shown = mount.root_path().display(root);
        shown.reachable.then_some((mount, shown.text))
    };
    namespace.list().into_iter().filter_map(place).collect()
}

/// The path of a dentry within its own file system: more than `/` for a bind mount of a part.
fn path_within(dentry: &Arc<Dentry>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = dentry.clone();
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

fn options(text: &mut Text, flags: MountFlags) {
    let _ = text.write_str(if flags.contains(MountFlags::RDONLY) { "ro" } else { "rw" });
    for (flag, name) in [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
        (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
    ] {
        if flags.contains(flag) {
            let _ = text.write_str(name);
        }
    }
}

/// Appends `bytes` with those in `special` as three octal digits, so that a line's words stay apart.
pub fn escape(text: &mut Text, bytes: &[u8], special: &[u8]) {
    for byte in bytes {
        if special.contains(byte) {
            let _ = write!(text, "\\{byte:03o}");
        } else {
            let _ = text.push_bytes(&[*byte]);
        }
    }
}
