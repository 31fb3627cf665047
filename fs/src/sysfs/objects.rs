//! `/sys/ipc/objects`: pages of all objects, and a directory for each.
//!
//! The files `cursor` and `page_size` choose the page that those who open `page` from then on see; who has it open
//! keeps his page. Readers that do not want to share them open `page.CURSOR.SIZE`. A directory holds the number of
//! its object and nothing else: each reading looks the object up, so a directory that is still there for a moment
//! after its object is empty and cannot be entered.

use alloc::sync::{Arc, Weak};
use core::fmt::Write;

use base::caller::Caller;
use base::sync::atomic::{AtomicU32, Ordering};
use base::{Errno, Result};
use ipc::ObjectRef;
use ipc::object::registry;
use ipc::report::{self, OBJECTS_PAGE, PAGE_MAX, Query, Schema, TRANSFERS_PAGE};

use super::ipc::{CONTROL, DIRECTORY, READ, guard};
use crate::pseudo::{
    Attributes, DynamicEntries, DynamicEntry, PseudoDir, PseudoFile, PseudoNode, PseudoTree, Text,
    parse_query, parse_written,
};
use crate::vfs::{DeviceNumber, FileType};

/// Which page is shown: two numbers that root writes.
struct Paging {
    cursor: AtomicU32,
    page_size: AtomicU32,
}

impl Paging {
    const fn new(page_size: u32) -> Paging {
        Paging { cursor: AtomicU32::new(0), page_size: AtomicU32::new(page_size) }
    }

    fn query(&self) -> Query {
        let (cursor, page_size) = (&self.cursor, &self.page_size);
        Query { cursor: cursor.load(Ordering::Relaxed), page_size: page_size.load(Ordering::Relaxed) }
    }

    /// The file that shows a `number` of `owner`, and takes a new one that `check` allows.
    fn control<T: Send + Sync + 'static>(
        attributes: Attributes,
        owner: &Arc<T>,
        number: fn(&T) -> &AtomicU32,
        check: fn(u32) -> Result<u32>,
    ) -> Arc<PseudoFile> {
        let (shown, stored) = (owner.clone(), owner.clone());
        let show = move |_: &Caller, text: &mut Text| {
            let _ = writeln!(text, "{}", number(&shown).load(Ordering::Relaxed));
            Ok(())
        };
        PseudoFile::writable(attributes, show, move |_, written| {
            number(&stored).store(check(parse_written(written)?)?, Ordering::Relaxed);
            Ok(())
        })
    }
}

/// The size of a page.
fn check_size(size: u32) -> Result<u32> {
    if (1..=PAGE_MAX).contains(&size) { Ok(size) } else { Err(Errno::EINVAL) }
}

/// Pages that a name asks for, beside the directories of objects.
struct Pages {
    attributes: Attributes,
}

impl DynamicEntries for Pages {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let query = parse_query(name, "page", OBJECTS_PAGE).ok_or(Errno::ENOENT)?;
        Ok(page(self.attributes, move || query))
    }

    fn next(&self, _from: u64) -> Option<DynamicEntry> {
        None
    }
}

/// The file that shows the page that `query` says when it is opened.
fn page(attributes: Attributes, query: impl Fn() -> Query + Send + Sync + 'static) -> Arc<PseudoFile> {
    let bind = move |caller: &Caller| guard(caller).map(|()| query());
    PseudoFile::bound(attributes, bind, |query, _, text| {
        // A full text is noticed by the frame.
        let _ = report::objects_page(*query, text);
        Ok(())
    })
}

/// Adds the directory.
pub(super) fn publish(tree: &PseudoTree, ipc: &PseudoDir) -> Arc<PseudoDir> {
    let attributes = tree.attributes(READ).numbered();
    let objects =
        PseudoDir::with_dynamic(tree.attributes(DIRECTORY), ipc.ino(), Arc::new(Pages { attributes }));
    ipc.add("objects", objects.clone());
    let paging = Arc::new(Paging::new(OBJECTS_PAGE));
    let shown = paging.clone();
    objects.add("page", page(attributes, move || shown.query()));
    let control = tree.attributes(CONTROL);
    objects.add("cursor", Paging::control(control, &paging, |paging| &paging.cursor, Ok));
    objects.add("page_size", Paging::control(control, &paging, |paging| &paging.page_size, check_size));
    objects
}

/// Inode numbers of the files of objects, apart from fresh ones: eight for each object.
const OBJECT_INOS: u64 = 1 << 40;

/// What the directory of one object has.
struct Object {
    id: u32,
    device: DeviceNumber,
    paging: Paging,
    this: Weak<Object>,
}

/// Its files, with their modes.
const FILES: [(&str, u32); 5] = [
    ("summary", READ),
    ("transfers", READ),
    ("transfers_v2", READ),
    ("transfers_cursor", CONTROL),
    ("transfers_page_size", CONTROL),
];

/// The directory of the object `id` in `objects`.
pub(super) fn directory(objects: &PseudoDir, device: DeviceNumber, id: u32) -> Arc<PseudoDir> {
    let object = Arc::new_cyclic(|this| Object {
        id,
        device,
        paging: Paging::new(TRANSFERS_PAGE),
        this: this.clone(),
    });
    PseudoDir::with_dynamic(object.attributes(0, DIRECTORY), objects.ino(), object)
}

impl Object {
    fn attributes(&self, index: u64, mode: u32) -> Attributes {
        let ino = OBJECT_INOS | u64::from(self.id) << 3 | index;
        Attributes { ino, enforced: true, ..Attributes::root(self.device, mode) }
    }

    fn show(
        &self,
        attributes: Attributes,
        render: impl Fn(&ObjectRef, Query, &mut Text) -> core::fmt::Result + Send + Sync + Copy + 'static,
    ) -> Result<Arc<dyn PseudoNode>> {
        let object = self.this.upgrade().ok_or(Errno::ENOENT)?;
        let bind = move |caller: &Caller| {
            guard(caller)?;
            Ok((object.id, object.paging.query()))
        };
        Ok(PseudoFile::bound(attributes, bind, move |(id, query), _, text| {
            let object = registry::lookup(*id).ok_or(Errno::ENODEV)?;
            // A full text is noticed by the frame.
            let _ = render(&object, *query, text);
            Ok(())
        }))
    }
}

impl DynamicEntries for Object {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let place = FILES.iter().position(|(known, _)| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let (name, mode) = FILES.get(place).copied().ok_or(Errno::ENOENT)?;
        let attributes = self.attributes(place as u64 + 1, mode);
        let this = self.this.upgrade().ok_or(Errno::ENOENT)?;
        match name {
            "summary" => self.show(attributes, |object, _, text| report::summary(object, text)),
            "transfers" => self.show(attributes, |object, _, text| report::object_transfers(object, text)),
            "transfers_v2" => self.show(attributes, |object, query, text| {
                report::object_transfers_page(object, Schema::Sysfs, query, text)
            }),
            "transfers_cursor" => Ok(Paging::control(attributes, &this, |object| &object.paging.cursor, Ok)),
            _ => Ok(Paging::control(attributes, &this, |object| &object.paging.page_size, check_size)),
        }
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let ((name, _), key) = FILES.iter().zip(0..).find(|(_, key)| *key >= from)?;
        let ino = self.attributes(key + 1, READ).ino;
        Some(DynamicEntry { key, name: Arc::from(name.as_bytes()), ino, kind: FileType::Regular })
    }

    fn exists(&self) -> bool {
        registry::is_known(self.id)
    }
}
