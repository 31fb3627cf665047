//! Archives good and bad.

use super::*;
use crate::testing;
use crate::tmpfs::TmpFs;
use crate::vfs::{FileType, FsContext, Mount, MountFlags, Namespace, Path, Start, WalkFlags, resolve};
use alloc::sync::Arc;
use alloc::vec::Vec;
use base::caller::Caller;
use proptest::prelude::*;

struct World {
    caller: Caller,
    fs: Arc<FsContext>,
}

impl World {
    fn new() -> World {
        let caller = testing::root();
        let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
        let fs = FsContext::new(&Namespace::new(&root));
        fs.set_umask(0);
        World { caller, fs }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { caller: &self.caller, fs: &self.fs }
    }

    fn at(&self, path: &str) -> Path {
        resolve(self.subject(), Start::Cwd, path.as_bytes(), WalkFlags::empty()).unwrap()
    }

    fn content(&self, path: &str) -> Vec<u8> {
        let place = self.at(path);
        let file = testing::now(crate::vfs::open_at(self.subject(), place, crate::file::OpenFlags::empty()))
            .unwrap();
        testing::now(file.read_kernel(&self.caller, 0, 100_000)).unwrap()
    }
}

/// One entry: inode, mode, links, name, data.
fn entry(out: &mut Vec<u8>, ino: u32, mode: u32, links: u32, name: &str, data: &[u8]) {
    use std::io::Write;
    let fields = [ino, mode, 7, 8, links, 1000, data.len() as u32, 0, 1, 1, 3, name.len() as u32 + 1, 0];
    write!(out, "070701").unwrap();
    for field in fields {
        write!(out, "{field:08X}").unwrap();
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    out.extend_from_slice(data);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

fn sample() -> Vec<u8> {
    let mut out = Vec::new();
    entry(&mut out, 1, 0o040755, 2, "bin", b"");
    entry(&mut out, 2, 0o100755, 2, "bin/one", b"");
    entry(&mut out, 2, 0o104755, 2, "bin/two", b"shared data");
    entry(&mut out, 3, 0o120777, 1, "link", b"bin/one");
    entry(&mut out, 4, 0o020666, 1, "null", b"");
    entry(&mut out, 5, 0o010644, 1, "fifo", b"");
    entry(&mut out, 0, 0, 1, "TRAILER!!!", b"");
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = alloc::vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
    out.extend_from_slice(b"name\0");
    out.extend(miniz_oxide::deflate::compress_to_vec(bytes, 6));
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

#[test]
fn an_archive_becomes_a_tree() {
    let world = World::new();
    let summary = unpack(world.subject(), &sample());
    assert_eq!(summary, Summary { entries: 6, problems: 0 });
    assert_eq!(world.content("bin/one"), b"shared data");
    let one = world.at("bin/one").inode().metadata();
    assert_eq!((one.links, one.mode, one.uid, one.gid), (2, 0o4755, 7, 8));
    assert_eq!(one.modified.seconds, 1000);
    assert_eq!(world.at("link").inode().metadata().kind, FileType::Symlink);
    let null = world.at("null").inode().metadata();
    assert_eq!((null.kind, null.rdev.major, null.rdev.minor), (FileType::CharDevice, 1, 3));
}

#[test]
fn later_archives_lie_over_earlier_ones_and_may_be_compressed() {
    let world = World::new();
    let mut second = Vec::new();
    entry(&mut second, 9, 0o100600, 1, "bin/one", b"new");
    entry(&mut second, 10, 0o040700, 2, "link", b"");
    entry(&mut second, 0, 0, 1, "TRAILER!!!", b"");
    let mut archive = sample();
    archive.extend([0; 300]);
    archive.extend(gzip(&second));
    let summary = unpack(world.subject(), &archive);
    assert_eq!(summary.problems, 0);
    assert_eq!(world.content("bin/one"), b"new");
    assert_eq!(world.at("link").inode().metadata().kind, FileType::Directory);
}

#[test]
fn one_file_is_found_without_a_tree() {
    let mut second = Vec::new();
    entry(&mut second, 9, 0o100600, 1, "etc/list", b"later");
    entry(&mut second, 9, 0o100600, 1, "etc/list.old", b"other");
    entry(&mut second, 0, 0, 1, "TRAILER!!!", b"");
    let mut archive = sample();
    archive.extend(gzip(&second));
    assert_eq!(find(&archive, b"/bin/two").as_deref(), Some(&b"shared data"[..]));
    assert_eq!(find(&archive, b"etc/list").as_deref(), Some(&b"later"[..]));
    assert_eq!(find(&archive, b"etc/none"), None);
    archive.truncate(archive.len() - 20);
    assert_eq!(find(&archive, b"bin/one").as_deref(), Some(&b""[..]));
}

#[test]
fn what_is_damaged_is_counted_and_the_rest_is_there() {
    let world = World::new();
    let mut archive = sample();
    archive.extend_from_slice(b"garbage");
    let summary = unpack(world.subject(), &archive);
    assert_eq!(summary, Summary { entries: 6, problems: 1 });
    let mut cut = gzip(&sample());
    cut.truncate(cut.len() - 20);
    assert!(unpack(World::new().subject(), &cut).problems > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_archive_makes_it_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        compress in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut archive = if compress { gzip(&sample()) } else { sample() };
        for (index, byte) in flips {
            let at = index.index(archive.len());
            archive[at] = byte;
        }
        archive.truncate(cut.index(archive.len()) + 1);
        let _ = unpack(World::new().subject(), &archive);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_tree(size in 1usize..200) {
        struct Names(Vec<(Vec<u8>, Vec<u8>)>);
        impl cpio::Sink for Names {
            fn entry(&mut self, _header: &cpio::Header, name: &[u8], target: &[u8]) {
                self.0.push((name.to_vec(), target.to_vec()));
            }
            fn data(&mut self, piece: &[u8]) {
                self.0.last_mut().unwrap().1.extend_from_slice(piece);
            }
            fn complete(&mut self) {}
            fn trailer(&mut self) {}
        }
        let archive = sample();
        let (mut whole, mut pieces) = (Names(Vec::new()), Names(Vec::new()));
        Parser::new().feed(&archive, &mut whole).unwrap();
        let mut parser = Parser::new();
        for piece in archive.chunks(size) {
            parser.feed(piece, &mut pieces).unwrap();
        }
        prop_assert!(parser.is_finished());
        prop_assert_eq!(whole.0, pieces.0);
    }
}
