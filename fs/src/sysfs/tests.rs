//! The tree, and every file of `/sys/ipc`, read as a program reads it.

use super::*;
use crate::file::{OpenFlags, Place, Way};
use crate::testing;
use crate::tmpfs::TmpFs;
use crate::vfs::{
    DirSink, FileType, FsContext, Mount, MountFlags, OpenHow, Start, Subject, WalkFlags, mkdir, open,
};
use ::ipc::object::registry;
use ::ipc::port::Port;
use alloc::string::String;
use alloc::vec::Vec;
use base::caller::{Caller, Credentials};

/// A root with the tree of `sys` on `/sys`.
fn mounted(sys: &SysFs) -> (Caller, Arc<FsContext>, Arc<Namespace>) {
    let caller = testing::root();
    let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
    let namespace = Namespace::new(&root);
    let fs = FsContext::new(&namespace);
    let subject = Subject { caller: &caller, fs: &fs };
    mkdir(subject, Start::Cwd, b"/sys", 0o755).unwrap();
    let place = vfs::resolve(subject, Start::Cwd, b"/sys", WalkFlags::empty()).unwrap();
    namespace.attach(&Mount::new(sys.tree.super_block(), b"none", MountFlags::empty()), place).unwrap();
    (caller, fs, namespace)
}

fn open_at(caller: &Caller, fs: &Arc<FsContext>, path: &str) -> Result<Arc<crate::file::OpenFile>> {
    let how = OpenHow { flags: OpenFlags::empty(), mode: 0, resolve: WalkFlags::empty() };
    testing::now(open(Subject { caller, fs }, Start::Cwd, path.as_bytes(), how))
}

fn read(caller: &Caller, fs: &Arc<FsContext>, path: &str) -> Result<String> {
    let file = open_at(caller, fs, path)?;
    let (result, bytes) = testing::into_bytes(300_000, |buffer| {
        testing::now(file.transfer(caller, Way::Read, Place::At(0), buffer, file.io_flags()))
    });
    result.map(|_| String::from_utf8(bytes).unwrap())
}

struct Names(Vec<String>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], _ino: u64, _kind: FileType, _next: u64) -> bool {
        self.0.push(String::from_utf8(name.to_vec()).unwrap());
        true
    }
}

#[test]
fn each_file_is_read_and_says_what_it_is() {
    let sys = make(1);
    let (caller, fs, _namespace) = mounted(&sys);
    let listing = open_at(&caller, &fs, "/sys/ipc").unwrap();
    let (mut names, mut position) = (Names(Vec::new()), 0);
    listing.ops().read_dir(&listing.io(&caller), &mut position, &mut names).unwrap();
    assert_eq!(
        names.0,
        [
            ".",
            "..",
            "channels",
            "ports",
            "files",
            "vnodes",
            "dentries",
            "transfers",
            "stats",
            "hash_stats",
            "objects"
        ]
    );
    for (file, head) in [
        ("channels", "id refcount handle_refs "),
        ("ports.0", "id refcount queue_len "),
        ("files", "id refcount ino path\n"),
        ("vnodes", "id refcount ino vnode_type mode size name mnt_present\n"),
        ("dentries", "id refcount flags path mnt_present\n"),
        ("transfers", "obj_id seq event "),
        ("stats", "schema=sysfs_ipc_stats_v2\n"),
        ("hash_stats", "schema=sysfs_ipc_hash_stats_v1\n"),
        ("objects/page", "cursor=0 page_size=64\n"),
        ("objects/page.7.3", "cursor=7 page_size=3\n"),
        ("objects/cursor", "0\n"),
        ("objects/page_size", "64\n"),
    ] {
        let text = read(&caller, &fs, &alloc::format!("/sys/ipc/{file}")).unwrap();
        assert!(text.starts_with(head), "{file}: {text}");
    }
    let stranger = testing::caller(Credentials { fsuid: 1000, ..Credentials::root() });
    assert_eq!(read(&stranger, &fs, "/sys/ipc/ports").err(), Some(Errno::EACCES));
    assert!(read(&stranger, &fs, "/sys/ipc/stats").is_ok());
}

#[test]
fn an_object_has_its_files() {
    let sys = make(1);
    let (caller, fs, _namespace) = mounted(&sys);
    let port = Port::create(&caller).unwrap();
    let id = port.object().base().id();
    let at = |file: &str| alloc::format!("/sys/ipc/objects/{id}/{file}");
    assert_eq!(read(&caller, &fs, &at("summary")).err(), Some(Errno::ENOENT));
    sys.objects.add(&alloc::format!("{id}"), objects::directory(&sys.objects, sys.tree.device(), id));
    let summary = read(&caller, &fs, &at("summary")).unwrap();
    assert_eq!(
        summary,
        alloc::format!("id={id}\ntype=port\nrefcount=1\nlifecycle=live\nqueue_len=0\ndropped_count=0\n")
    );
    assert!(read(&caller, &fs, &at("transfers")).unwrap().starts_with("seq event "));
    let page = read(&caller, &fs, &at("transfers_v2")).unwrap();
    assert!(page.starts_with("schema=sysfs_ipc_object_transfers_v2\n") && page.ends_with("end=1\n"));
    assert_eq!(read(&caller, &fs, &at("transfers_cursor")).unwrap(), "0\n");
    assert_eq!(read(&caller, &fs, &at("transfers_page_size")).unwrap(), "128\n");
    let open = open_at(&caller, &fs, &at("summary")).unwrap();
    drop(port);
    assert_eq!(read(&caller, &fs, &at("summary")).err(), Some(Errno::ENOENT));
    let gone = testing::into_bytes(9, |buffer| {
        testing::now(open.transfer(&caller, Way::Read, Place::At(0), buffer, open.io_flags()))
    });
    assert_eq!(gone.0, Err(Errno::ENODEV));
}

#[test]
fn files_and_names_are_listed_while_they_are_cached() {
    let sys = make(1);
    let (caller, fs, namespace) = mounted(&sys);
    vfs::observe(&namespace);
    let subject = Subject { caller: &caller, fs: &fs };
    mkdir(subject, Start::Cwd, b"/a b", 0o750).unwrap();
    let place = vfs::resolve(subject, Start::Cwd, b"/a b", WalkFlags::empty()).unwrap();
    vfs::track(&place);
    let row = |list: &str, word: &str| {
        let text = read(&caller, &fs, &alloc::format!("/sys/ipc/{list}")).unwrap();
        text.lines().find(|line| line.contains(word)).map(String::from)
    };
    let dentry = row("dentries", "/a\\040b ").unwrap();
    assert!(dentry.contains(" 1 0x0 /a\\040b "), "{dentry}");
    let vnode = row("vnodes", " a\\040b ").unwrap();
    assert!(vnode.contains(" dir 040750 "), "{vnode}");
    assert_eq!(row("dentries", "/sys/ipc"), None, "its own names are not tracked");
    let id = vnode.split(' ').next().unwrap().parse().unwrap();
    assert!(registry::is_known(id));
    drop(place);
    vfs::cache::shrink_all();
    assert!(!registry::is_known(id), "the file is there, and nobody has its name at hand");
}

#[test]
fn each_processor_has_a_directory() {
    use crate::vfs::Inode;
    testing::machine();
    let sys = make(2);
    let cpu = sys.devices_system.lookup(b"cpu").unwrap();
    assert!(cpu.lookup(b"cpu1").is_ok() && cpu.lookup(b"cpu2").is_err());
    let mut text = Text::default();
    range(&mut text, 2).unwrap();
    assert_eq!(text.as_bytes(), b"0-1\n");
}
