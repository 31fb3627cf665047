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
    fn lookup(&self, name: &[u8]) -> base::Result<Arc<dyn Inode>> {
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
