//! `/sys/ipc`: objects and the counters of capabilities. `ipc` owns the text.
//!
//! A list that does not fit into one text ends with a line that names a cursor; the file `LIST.CURSOR` goes on from
//! there; `capability.NUMBER` tells of one capability. Such names are not listed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use base::caller::Caller;
use base::hash::Statistics;
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use ipc::ObjectKind;
use ipc::report::{self, Query};

use super::objects;
use crate::pseudo::{
    Attributes, DynamicEntries, DynamicEntry, PseudoDir, PseudoFile, PseudoNode, PseudoTree, Text,
    parse_number, parse_query,
};
use crate::vfs;

/// Mode of directories here.
pub(super) const DIRECTORY: u32 = 0o555;
/// Mode of files that are read.
pub(super) const READ: u32 = 0o444;
/// Mode of files that root writes.
pub(super) const CONTROL: u32 = 0o644;

/// Who may open what shows the objects of all processes: root, whatever the mode says.
pub(crate) fn guard(caller: &Caller) -> Result<()> {
    if caller.credentials.fsuid == 0 { Ok(()) } else { Err(Errno::EACCES) }
}

/// A list by its name.
#[derive(Clone, Copy)]
enum List {
    Of(ObjectKind),
    Transfers,
}

const LISTS: [(&str, List); 6] = [
    ("channels", List::Of(ObjectKind::Channel)),
    ("ports", List::Of(ObjectKind::Port)),
    ("files", List::Of(ObjectKind::File)),
    ("vnodes", List::Of(ObjectKind::Vnode)),
    ("dentries", List::Of(ObjectKind::Dentry)),
    ("transfers", List::Transfers),
];

impl List {
    /// The file that shows it after the cursor of `query`.
    fn file(self, attributes: Attributes, query: Query) -> Arc<PseudoFile> {
        PseudoFile::bound(
            attributes,
            move |caller| guard(caller).map(|()| (self, query.cursor)),
            Self::render,
        )
    }

    // A full text is noticed by the frame.
    fn render((list, cursor): &(List, u32), _caller: &Caller, text: &mut Text) -> Result<()> {
        match list {
            List::Transfers => {
                let _ = report::transfers(*cursor, text);
            }
            List::Of(kind) => {
                if matches!(kind, ObjectKind::Vnode | ObjectKind::Dentry) {
                    vfs::track_cached();
                }
                let _ = report::list(*kind, *cursor, text);
            }
        }
        Ok(())
    }
}

/// The lists from a cursor on, and capabilities by their numbers.
struct Continued {
    /// Those of the lists themselves, in their order.
    attributes: [Attributes; LISTS.len()],
    capability: Attributes,
}

/// The file of the capability with this number: there is one while it lives.
fn capability(attributes: Attributes, id: u64) -> Result<Arc<PseudoFile>> {
    if ipc::lineage::find(id).is_none() {
        return Err(Errno::ENOENT);
    }
    Ok(PseudoFile::guarded(attributes, guard, move |_, text| {
        // A full text is noticed by the frame.
        let _ = report::capability(id, text).ok_or(Errno::ENOENT)?;
        Ok(())
    }))
}

impl DynamicEntries for Continued {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        if let Some(id) = name.strip_prefix(b"capability.".as_slice()).and_then(parse_number) {
            return Ok(capability(self.capability, id)?);
        }
        let found = LISTS.iter().zip(self.attributes).find_map(|((stem, list), attributes)| {
            let query = parse_query(name, stem, report::PAGE_MAX)?;
            Some(list.file(attributes, query))
        });
        Ok(found.ok_or(Errno::ENOENT)?)
    }

    fn next(&self, _from: u64) -> Option<DynamicEntry> {
        None
    }
}

/// A hash table by its name.
type Table = (&'static str, fn() -> Statistics);

/// Hash tables whose owners have them shown.
static TABLES: SpinLock<Vec<Table>> = SpinLock::new(LockClass::Registry, Vec::new());

/// Has the table `name`, of which `statistics` tells, shown in `/sys/ipc/hash_stats`.
pub fn show_table(name: &'static str, statistics: fn() -> Statistics) {
    TABLES.lock().push((name, statistics));
}

/// Adds the directory; returns the one of the objects.
pub(super) fn publish(tree: &PseudoTree) -> Arc<PseudoDir> {
    let attributes = LISTS.map(|_| tree.attributes(READ).numbered());
    let capability = tree.attributes(READ).numbered();
    let continued = Arc::new(Continued { attributes, capability });
    let ipc = PseudoDir::with_dynamic(tree.attributes(DIRECTORY), tree.root().ino(), continued);
    tree.root().add("ipc", ipc.clone());
    for ((name, list), attributes) in LISTS.iter().zip(attributes) {
        ipc.add(name, list.file(attributes, Query { cursor: 0, page_size: 0 }));
    }
    tree.file(&ipc, "stats", |_, text| {
        let _ = report::stats(text);
        Ok(())
    });
    tree.file(&ipc, "hash_stats", |_, text| {
        let _ = report::hash_stats(text);
        let tables = TABLES.lock().clone();
        for (name, statistics) in tables {
            let _ = writeln!(text, "table={name} {}", statistics());
        }
        Ok(())
    });
    objects::publish(tree, &ipc)
}
