//! `/proc/ipc/objects/<id>/transfers_v2`: the history of an object by pages that the name asks for. `ipc` owns the
//! text.
//!
//! Nothing is kept for an object: a lookup makes its directory up from the registry, and every name of one file has
//! the same inode number.

use alloc::sync::Arc;

use base::{Errno, Result};
use ipc::object::registry;
use ipc::report::{self, Schema, TRANSFERS_PAGE};

use super::ProcFs;
use crate::pseudo::{
    Attributes, DynamicEntries, DynamicEntry, PseudoDir, PseudoFile, PseudoNode, parse_number, parse_query,
};
use crate::sysfs::guard;
use crate::vfs::{DeviceNumber, FileType};

/// Inode numbers of directories and files of objects, apart from those of processes: two for each object.
const OBJECT_INOS: u64 = 1 << 44;
/// The plain name of the file.
const FILE: &str = "transfers_v2";

/// Adds the directory.
pub(super) fn publish(proc: &ProcFs) {
    let tree = &proc.tree;
    let ipc = tree.directory(tree.root(), "ipc");
    let attributes = tree.attributes(0o555).numbered();
    let objects = Arc::new(Objects { attributes });
    ipc.add("objects", PseudoDir::with_dynamic(attributes, ipc.ino(), objects));
}

/// The directories of objects.
struct Objects {
    attributes: Attributes,
}

impl DynamicEntries for Objects {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let id = parse_number(name).filter(|id| registry::is_known(*id)).ok_or(Errno::ENOENT)?;
        let object = Object { id, device: self.attributes.device };
        Ok(PseudoDir::with_dynamic(object.attributes(0, 0o555), self.attributes.ino, Arc::new(object)))
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let before = u32::try_from(from).ok()?.saturating_sub(1);
        let id = registry::next(before, None)?.base().id();
        let object = Object { id, device: self.attributes.device };
        let name = Arc::from(alloc::format!("{id}").into_bytes());
        Some(DynamicEntry {
            key: id.into(),
            name,
            ino: object.attributes(0, 0).ino,
            kind: FileType::Directory,
        })
    }
}

/// The directory of one object.
struct Object {
    id: u32,
    device: DeviceNumber,
}

impl Object {
    fn attributes(&self, index: u64, mode: u32) -> Attributes {
        Attributes {
            ino: OBJECT_INOS | u64::from(self.id) << 1 | index,
            ..Attributes::root(self.device, mode)
        }
    }
}

impl DynamicEntries for Object {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let query = parse_query(name, FILE, TRANSFERS_PAGE).ok_or(Errno::ENOENT)?;
        let id = self.id;
        Ok(PseudoFile::guarded(self.attributes(1, 0o444), guard, move |_, text| {
            let object = registry::lookup(id).ok_or(Errno::ENOENT)?;
            // A full text is noticed by the frame.
            let _ = report::object_transfers_page(&object, Schema::Procfs, query, text);
            Ok(())
        }))
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let ino = self.attributes(1, 0).ino;
        let name = Arc::from(FILE.as_bytes());
        (from == 0).then_some(DynamicEntry { key: 0, name, ino, kind: FileType::Regular })
    }

    fn exists(&self) -> bool {
        registry::is_known(self.id)
    }
}
