//! Reading rules of pseudo files.

use super::*;
use crate::file::{OpenFlags, Place, Way};
use crate::testing;
use crate::vfs::{
    DirSink, FileType, FsContext, Mount, MountFlags, Namespace, OpenHow, Start, Subject, WalkFlags,
};
use alloc::string::String;
use alloc::vec::Vec;
use base::sync::atomic::{AtomicU32, Ordering};
use core::fmt::Write;

struct Names(Vec<String>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], _ino: u64, _kind: FileType, _next: u64) -> bool {
        self.0.push(String::from_utf8(name.to_vec()).unwrap());
        true
    }
}

struct Numbers;

impl DynamicEntries for Numbers {
    fn lookup(&self, name: &[u8]) -> base::Result<Arc<dyn PseudoNode>> {
        match name {
            b"7" | b"9" => Ok(PseudoDir::new(Attributes::root(DeviceNumber::default(), 0o555), 1)),
            _ => Err(base::Errno::ENOENT),
        }
    }
    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let key = [7, 9].into_iter().find(|key| *key >= from)?;
        let name = Arc::from(alloc::format!("{key}").into_bytes());
        Some(DynamicEntry { key, name, ino: key, kind: FileType::Directory })
    }
}

#[test]
fn a_text_stays_the_same_until_it_is_read_from_its_start() {
    let caller = testing::root();
    let device = crate::tmpfs::anonymous_device();
    let root = PseudoDir::with_dynamic(Attributes::root(device, 0o555), 0, Arc::new(Numbers));
    let count = AtomicU32::new(0);
    root.add(
        "count",
        PseudoFile::new(Attributes::root(device, 0o444), move |_, text| {
            let _ = writeln!(text, "reading {}", count.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }),
    );
    let mount =
        Mount::new(&PseudoFs::super_block("proc", 0x9fa0, device, root, ""), b"proc", MountFlags::empty());
    let fs = FsContext::new(&Namespace::new(&mount));
    let subject = Subject { caller: &caller, fs: &fs };
    let how = OpenHow { flags: OpenFlags::empty(), mode: 0, resolve: WalkFlags::empty() };
    let file = testing::now(crate::vfs::open(subject, Start::Cwd, b"/count", how)).unwrap();
    let read = |offset: i64, length: usize| {
        let flags = file.io_flags();
        testing::into_bytes(length, |buffer| {
            testing::now(file.transfer(&caller, Way::Read, Place::At(offset), buffer, flags))
        })
        .1
    };
    assert_eq!(read(0, 8), b"reading ");
    assert_eq!(read(8, 10), b"0\n");
    assert_eq!(read(0, 100), b"reading 1\n");

    let listing = testing::now(crate::vfs::open(subject, Start::Cwd, b"/", how)).unwrap();
    let (mut names, mut position) = (Names(Vec::new()), 0);
    listing.ops().read_dir(&listing.io(&caller), &mut position, &mut names).unwrap();
    assert_eq!(names.0, [".", "..", "count", "7", "9"]);
    let at = |path: &[u8]| crate::vfs::resolve(subject, Start::Cwd, path, WalkFlags::empty());
    assert!(at(b"/7/..").is_ok());
    assert_eq!(at(b"/8").err(), Some(base::Errno::ENOENT));
}

/// A mounted tree with the rules of sysfs, and who looks at it.
struct Mounted {
    tree: PseudoTree,
    caller: base::caller::Caller,
    fs: Arc<FsContext>,
}

impl Mounted {
    fn new() -> Mounted {
        let caller = testing::root();
        let tree = PseudoTree::new("sysfs", 1, Rules { directory_mode: 0o755, enforced: true }, None);
        let mount = Mount::new(tree.super_block(), b"none", MountFlags::empty());
        let fs = FsContext::new(&Namespace::new(&mount));
        Mounted { tree, caller, fs }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> base::Result<Arc<crate::file::OpenFile>> {
        let subject = Subject { caller: &self.caller, fs: &self.fs };
        let how = OpenHow { flags, mode: 0, resolve: WalkFlags::empty() };
        testing::now(crate::vfs::open(subject, Start::Cwd, path.as_bytes(), how))
    }

    fn read(&self, file: &Arc<crate::file::OpenFile>, at: i64) -> base::Result<String> {
        let (result, bytes) = testing::into_bytes(100, |buffer| {
            testing::now(file.transfer(&self.caller, Way::Read, Place::At(at), buffer, file.io_flags()))
        });
        result.map(|_| String::from_utf8(bytes).unwrap())
    }
}

#[test]
fn what_is_removed_is_gone_at_once_and_freed_at_the_last_close() {
    let mounted = Mounted::new();
    let (tree, root) = (&mounted.tree, mounted.tree.root());
    let kept = Arc::new(());
    let directory = PseudoDir::with_dynamic(tree.attributes(0o755), root.ino(), Arc::new(Numbers));
    root.add("there", directory.clone());
    let held = kept.clone();
    tree.file(&directory, "text", move |_, text| {
        let _held = &held;
        let _ = text.write_str("hello");
        Ok(())
    });
    assert!(directory.node().is_live());
    let file = mounted.open("/there/text", OpenFlags::empty()).unwrap();
    let listing = mounted.open("/there", OpenFlags::empty()).unwrap();
    assert_eq!(mounted.read(&file, 0).unwrap(), "hello");
    assert!(root.remove("there") && !root.remove("there"));
    assert!(!directory.node().is_live());
    drop(directory);

    assert_eq!(mounted.open("/there/text", OpenFlags::empty()).err(), Some(base::Errno::ENOENT));
    assert_eq!(mounted.read(&file, 1).unwrap(), "ello", "what was read is there until it is closed");
    assert_eq!(mounted.read(&file, 0).err(), Some(base::Errno::ENODEV));
    let mut names = Names(Vec::new());
    let listed = listing.ops().read_dir(&listing.io(&mounted.caller), &mut 0, &mut names);
    assert_eq!(listed, Err(base::Errno::ENOENT));
    assert_eq!(Arc::strong_count(&kept), 2);
    drop((file, listing));
    crate::vfs::cache::shrink_all();
    assert_eq!(Arc::strong_count(&kept), 1, "the last close freed it");
}

#[test]
fn a_name_is_taken_once_and_a_node_has_one_place() {
    let mounted = Mounted::new();
    let (tree, root) = (&mounted.tree, mounted.tree.root());
    let file = |text: &'static str| {
        PseudoFile::new(tree.attributes(0o444), move |_, out| {
            let _ = out.write_str(text);
            Ok(())
        })
    };
    let first = file("first");
    root.add("name", first.clone());
    root.add("name", file("second"));
    let before = refused_steps();
    root.add("other", first);
    assert_eq!(refused_steps(), before + 1);
    let open = mounted.open("/name", OpenFlags::empty()).unwrap();
    assert_eq!(mounted.read(&open, 0).unwrap(), "first");
    assert_eq!(mounted.open("/other", OpenFlags::empty()).err(), Some(base::Errno::ENOENT));
}

#[test]
fn modes_bind_the_privileged_too() {
    let mounted = Mounted::new();
    let (tree, root) = (&mounted.tree, mounted.tree.root());
    tree.file(root, "read", |_, _| Ok(()));
    root.add("write", PseudoFile::write_only(tree.attributes(0o200), |_, _| Ok(())));
    let open = |path, flags| mounted.open(path, flags).err();
    assert_eq!(open("/read", OpenFlags::empty()), None);
    assert_eq!(open("/read", OpenFlags::WRONLY), Some(base::Errno::EACCES));
    assert_eq!(open("/read", OpenFlags::RDWR), Some(base::Errno::EACCES));
    assert_eq!(open("/write", OpenFlags::WRONLY), None);
    assert_eq!(open("/write", OpenFlags::empty()), Some(base::Errno::EACCES));
}

#[test]
fn what_a_text_depends_on_is_found_when_it_is_opened() {
    let mounted = Mounted::new();
    let number = Arc::new(AtomicU32::new(1));
    let read = number.clone();
    let bind = move |_: &base::caller::Caller| Ok(read.load(Ordering::Relaxed));
    let file = PseudoFile::bound(mounted.tree.attributes(0o444), bind, |number: &u32, _, text: &mut Text| {
        let _ = write!(text, "{number}");
        Ok(())
    });
    mounted.tree.root().add("number", file);
    let early = mounted.open("/number", OpenFlags::empty()).unwrap();
    number.store(2, Ordering::Relaxed);
    let late = mounted.open("/number", OpenFlags::empty()).unwrap();
    assert_eq!(mounted.read(&early, 0).unwrap(), "1");
    assert_eq!(mounted.read(&late, 0).unwrap(), "2");
}
