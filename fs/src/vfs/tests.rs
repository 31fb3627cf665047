//! The VFS over a tmpfs, against a naive tree, and one by one where Linux has a rule of its own.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Caller, Capabilities, Credentials};
use base::{Errno, Result};
use proptest::prelude::*;

use super::*;
use crate::file::{FileOps, OpenFile, OpenFlags};
use crate::inotify::{Inotify, WatchFlags};
use crate::testing;
use crate::tmpfs::TmpFs;

/// A root file system and somebody in it.
struct World {
    caller: Caller,
    fs: Arc<FsContext>,
}

impl World {
    fn new() -> World {
        let caller = testing::root();
        let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
        let fs = FsContext::new(&Namespace::new(&root));
        crate::tmpfs::register();
        World { caller, fs }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { caller: &self.caller, fs: &self.fs }
    }

    /// The same place, seen by an unprivileged user.
    fn user(&self, uid: u32) -> World {
        let none = Capabilities::empty();
        let credentials = Credentials {
            uid,
            euid: uid,
            fsuid: uid,
            gid: uid,
            fsgid: uid,
            effective: none,
            permitted: none,
            ..Credentials::root()
        };
        World { caller: testing::caller(credentials), fs: self.fs.clone() }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        let how = OpenHow { flags, mode: 0o644, resolve: WalkFlags::empty() };
        testing::now(open(self.subject(), Start::Cwd, path.as_bytes(), how))
    }

    fn create(&self, path: &str) -> Result<()> {
        self.open(path, OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY).map(|_| ())
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        mkdir(self.subject(), Start::Cwd, path.as_bytes(), 0o755)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        unlink(self.subject(), Start::Cwd, path.as_bytes())
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        rmdir(self.subject(), Start::Cwd, path.as_bytes())
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        symlink(self.subject(), target.as_bytes(), Start::Cwd, path.as_bytes())
    }

    fn link(&self, old: &str, new: &str) -> Result<()> {
        let start = Start::Cwd;
        link(self.subject(), start, old.as_bytes(), WalkFlags::empty(), start, new.as_bytes())
    }

    fn rename(&self, old: &str, new: &str, flags: RenameFlags) -> Result<()> {
        rename(self.subject(), Start::Cwd, old.as_bytes(), Start::Cwd, new.as_bytes(), flags)
    }

    fn find(&self, path: &str) -> Result<Path> {
        resolve(self.subject(), Start::Cwd, path.as_bytes(), WalkFlags::FOLLOW)
    }

    fn text(&self, path: &str) -> String {
        let text = self.find(path).unwrap().display(&self.fs.root());
        String::from_utf8(text.into_link()).unwrap()
    }

    fn mount(&self, path: &str, kind: &str, flags: u64) -> Result<()> {
        mount(self.subject(), b"none", path.as_bytes(), Some(kind.as_bytes()), flags, b"")
    }

    fn unmount(&self, path: &str) -> Result<()> {
        unmount(self.subject(), path.as_bytes(), UnmountFlags::empty())
    }

    fn detach(&self, path: &str) -> Result<()> {
        unmount(self.subject(), path.as_bytes(), UnmountFlags::DETACH)
    }

    /// The names below a directory, each with a slash behind if it is one itself.
    fn tree(&self, path: &str, out: &mut Vec<String>) {
        let file = self.open(path, OpenFlags::DIRECTORY).unwrap();
        let (mut names, mut position) = (Names(Vec::new()), 0);
        file.list(&self.caller, &mut position, &mut names).unwrap();
        for (name, kind) in names.0 {
            let below = alloc::format!("{}/{name}", path.trim_end_matches('/'));
            if kind == FileType::Directory {
                out.push(alloc::format!("{below}/"));
                self.tree(&below, out);
            } else {
                out.push(below);
            }
        }
    }
}

struct Names(Vec<(String, FileType)>);

impl DirSink for Names {
    fn entry(&mut self, name: &[u8], _ino: u64, kind: FileType, _next: u64) -> bool {
        if name != b"." && name != b".." {
            self.0.push((String::from_utf8(name.to_vec()).unwrap(), kind));
        }
        true
    }
}

/// The naive tree: `None` for a file, entries for a directory.
#[derive(Default)]
struct Model {
    nodes: Vec<Option<BTreeMap<&'static str, usize>>>,
}

type Steps = Vec<&'static str>;

impl Model {
    fn new() -> Model {
        Model { nodes: alloc::vec![Some(BTreeMap::new())] }
    }

    fn parent<'p>(&self, path: &'p Steps) -> Result<(usize, &'p &'static str)> {
        let (last, before) = path.split_last().unwrap();
        let mut at = 0;
        for name in before {
            at = *self.nodes[at].as_ref().ok_or(Errno::ENOTDIR)?.get(name).ok_or(Errno::ENOENT)?;
        }
        if self.nodes[at].is_none() { Err(Errno::ENOTDIR) } else { Ok((at, last)) }
    }

    fn entry(&self, dir: usize, name: &str) -> Option<usize> {
        self.nodes[dir].as_ref().unwrap().get(name).copied()
    }

    fn entries(&mut self, dir: usize) -> &mut BTreeMap<&'static str, usize> {
        self.nodes[dir].as_mut().unwrap()
    }

    fn make(&mut self, path: &Steps, node: Option<BTreeMap<&'static str, usize>>) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        if self.entry(dir, name).is_some() {
            return Err(Errno::EEXIST);
        }
        self.nodes.push(node);
        let new = self.nodes.len() - 1;
        self.entries(dir).insert(name, new);
        Ok(())
    }

    fn unlink(&mut self, path: &Steps) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        let found = self.entry(dir, name).ok_or(Errno::ENOENT)?;
        if self.nodes[found].is_some() {
            return Err(Errno::EISDIR);
        }
        self.entries(dir).remove(name);
        Ok(())
    }

    fn rmdir(&mut self, path: &Steps) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        let found = self.entry(dir, name).ok_or(Errno::ENOENT)?;
        match &self.nodes[found] {
            None => return Err(Errno::ENOTDIR),
            Some(inside) if !inside.is_empty() => return Err(Errno::ENOTEMPTY),
            Some(_) => {}
        }
        self.entries(dir).remove(name);
        Ok(())
    }

    fn link(&mut self, old: &Steps, new: &Steps) -> Result<()> {
        let (dir, name) = self.parent(old)?;
        let found = self.entry(dir, name).ok_or(Errno::ENOENT)?;
        let (to, new_name) = self.parent(new)?;
        if self.entry(to, new_name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.nodes[found].is_some() {
            return Err(Errno::EPERM);
        }
        self.entries(to).insert(new_name, found);
        Ok(())
    }

    /// True when `node` is `top` or below it.
    fn below(&self, top: usize, node: usize) -> bool {
        top == node
            || self.nodes[top]
                .as_ref()
                .is_some_and(|inside| inside.values().any(|child| self.below(*child, node)))
    }

    fn rename(&mut self, old: &Steps, new: &Steps, flags: RenameFlags) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let (from, name) = self.parent(old)?;
        let (to, new_name) = self.parent(new)?;
        let source = self.entry(from, name).ok_or(Errno::ENOENT)?;
        let target = self.entry(to, new_name);
        match target {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
            None if exchange => return Err(Errno::ENOENT),
            _ => {}
        }
        if self.below(source, to) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target {
            if self.below(target, from) {
                return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            if target == source {
                return Ok(());
            }
            match (&self.nodes[source], &self.nodes[target]) {
                _ if exchange => {}
                (Some(_), None) => return Err(Errno::ENOTDIR),
                (None, Some(_)) => return Err(Errno::EISDIR),
                (Some(_), Some(inside)) if !inside.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        self.entries(from).remove(name);
        self.entries(to).insert(new_name, source);
        if let Some(target) = target.filter(|_| exchange) {
            self.entries(from).insert(name, target);
        }
        Ok(())
    }

    fn tree(&self, node: usize, path: &str, out: &mut Vec<String>) {
        for (name, child) in self.nodes[node].as_ref().unwrap() {
            let below = alloc::format!("{path}/{name}");
            if self.nodes[*child].is_some() {
                out.push(alloc::format!("{below}/"));
                self.tree(*child, &below, out);
            } else {
                out.push(below);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Mkdir(Steps),
    Create(Steps),
    Unlink(Steps),
    Rmdir(Steps),
    Link(Steps, Steps),
    Rename(Steps, Steps, RenameFlags),
    /// Puts names into the cache.
    Look(Steps),
}

fn path() -> impl Strategy<Value = Steps> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        4 => Just(RenameFlags::empty()),
        1 => Just(RenameFlags::NOREPLACE),
        1 => Just(RenameFlags::EXCHANGE)
    ];
    prop_oneof![
        3 => path().prop_map(Step::Mkdir),
        2 => path().prop_map(Step::Create),
        1 => path().prop_map(Step::Unlink),
        1 => path().prop_map(Step::Rmdir),
        1 => (path(), path()).prop_map(|(old, new)| Step::Link(old, new)),
        3 => (path(), path(), flags).prop_map(|(old, new, flags)| Step::Rename(old, new, flags)),
        1 => path().prop_map(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn names_behave_like_a_naive_tree(steps in proptest::collection::vec(step(), 1..60)) {
        let (world, mut model) = (World::new(), Model::new());
        let text = |path: &Steps| alloc::format!("/{}", path.join("/"));
        for step in &steps {
            let (found, expected) = match step {
                Step::Mkdir(path) => (world.mkdir(&text(path)), model.make(path, Some(BTreeMap::new()))),
                Step::Create(path) => (world.create(&text(path)), model.make(path, None)),
                Step::Unlink(path) => (world.unlink(&text(path)), model.unlink(path)),
                Step::Rmdir(path) => (world.rmdir(&text(path)), model.rmdir(path)),
                Step::Link(old, new) => (world.link(&text(old), &text(new)), model.link(old, new)),
                Step::Rename(old, new, flags) => {
                    (world.rename(&text(old), &text(new), *flags), model.rename(old, new, *flags))
                }
                Step::Look(path) => {
                    let expected = model.parent(path)
                        .and_then(|(dir, name)| model.entry(dir, name).ok_or(Errno::ENOENT)).map(|_| ());
                    (world.find(&text(path)).map(|_| ()), expected)
                }
            };
            prop_assert_eq!(found, expected, "{:?}", step);
        }
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        world.tree("/", &mut found);
        model.tree(0, "", &mut expected);
        found.sort();
        expected.sort();
        for path in &expected {
            prop_assert_eq!(world.text(path), path.trim_end_matches('/'));
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_path_makes_the_walk_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), dots in "[./ab]{0,40}") {
        let world = World::new();
        world.mkdir("/a").unwrap();
        world.symlink("/a/../b/..", "/b").unwrap();
        let _ = resolve(world.subject(), Start::Cwd, &bytes, WalkFlags::FOLLOW);
        let _ = resolve(world.subject(), Start::Cwd, dots.as_bytes(), WalkFlags::FOLLOW | WalkFlags::EMPTY);
        let _ = world.create(&dots);
        let _ = world.mkdir(&dots);
        let _ = world.rmdir(&dots);
    }
}

#[test]
fn links_are_followed_up_to_forty_times() {
    let world = World::new();
    world.symlink("loop", "/loop").unwrap();
    assert_eq!(world.find("/loop").err(), Some(Errno::ELOOP));
    world.mkdir("/d").unwrap();
    world.symlink("d", "/0").unwrap();
    for i in 1..=40 {
        world.symlink(&alloc::format!("{}", i - 1), &alloc::format!("/{i}")).unwrap();
    }
    assert_eq!(world.text("/39"), "/d");
    assert_eq!(world.find("/40").err(), Some(Errno::ELOOP));
    assert_eq!(world.find("/39/../0/").err(), Some(Errno::ELOOP));
    assert_eq!(world.text("/38/../0/"), "/d");
    world.symlink("/d/new", "/dangling").unwrap();
    world.open("/dangling", OpenFlags::CREAT | OpenFlags::WRONLY).unwrap();
    assert_eq!(world.text("/dangling"), "/d/new");
    assert_eq!(world.create("/dangling"), Err(Errno::EEXIST));
    assert_eq!(world.open("/dangling", OpenFlags::NOFOLLOW).err(), Some(Errno::ELOOP));
    let only_directory = OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY;
    assert_eq!(world.open("/dangling", only_directory).err(), Some(Errno::ENOTDIR));
}

#[test]
fn mounts_cover_and_dot_dot_leaves_them() {
    let world = World::new();
    world.mkdir("/m").unwrap();
    world.create("/m/below").unwrap();
    world.mount("/m", "tmpfs", 0).unwrap();
    assert_eq!(world.find("/m/below").err(), Some(Errno::ENOENT));
    world.mkdir("/m/x").unwrap();
    assert_eq!(world.text("/m/x/../../m"), "/m");
    assert_eq!(world.rmdir("/m"), Err(Errno::EBUSY));
    assert_eq!(world.link("/m/below", "/m/x"), Err(Errno::ENOENT));
    world.create("/m/file").unwrap();
    assert_eq!(world.link("/m/file", "/file"), Err(Errno::EXDEV));
    let held = world.open("/m/file", OpenFlags::empty()).unwrap();
    assert_eq!(world.unmount("/m"), Err(Errno::EBUSY));
    drop(held);
    assert_eq!(world.unmount("/m"), Ok(()));
    assert_eq!(world.text("/m/below"), "/m/below");
    assert_eq!(world.unmount("/m"), Err(Errno::EINVAL));
    assert_eq!(world.unmount("/"), Err(Errno::EINVAL));
}

#[test]
fn a_read_only_mount_refuses_every_change() {
    let world = World::new();
    world.mkdir("/m").unwrap();
    world.create("/m/file").unwrap();
    mount(world.subject(), b"/m", b"/m", None, ms::BIND, b"").unwrap();
    let read_only = u64::from(MountFlags::RDONLY.bits());
    mount(world.subject(), b"none", b"/m", None, ms::BIND | ms::REMOUNT | read_only, b"").unwrap();
    assert_eq!(world.create("/m/new"), Err(Errno::EROFS));
    assert_eq!(world.mkdir("/m/file"), Err(Errno::EEXIST));
    assert_eq!(world.unlink("/m/file"), Err(Errno::EROFS));
    assert_eq!(world.open("/m/file", OpenFlags::WRONLY).err(), Some(Errno::EROFS));
    assert!(world.open("/m/file", OpenFlags::empty()).is_ok());
    assert_eq!(chmod(&world.caller, &world.find("/m/file").unwrap(), 0), Err(Errno::EROFS));
}

#[test]
fn a_removed_directory_holds_nothing_new() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    change_directory(world.subject(), b"/d").unwrap();
    world.rmdir("/d").unwrap();
    assert_eq!(world.create("x"), Err(Errno::ENOENT));
    assert_eq!(world.find("x").err(), Some(Errno::ENOENT));
    assert!(world.fs.cwd().display(&world.fs.root()).deleted);
    assert_eq!(world.text(".."), "/");
}

#[test]
fn the_sticky_bit_protects_other_peoples_files() {
    let world = World::new();
    world.mkdir("/t").unwrap();
    chmod(&world.caller, &world.find("/t").unwrap(), 0o1777).unwrap();
    let (first, second) = (world.user(10), world.user(11));
    first.create("/t/file").unwrap();
    assert_eq!(second.unlink("/t/file"), Err(Errno::EPERM));
    assert_eq!(second.rename("/t/file", "/t/other", RenameFlags::empty()), Err(Errno::EPERM));
    assert_eq!(first.unlink("/t/file"), Ok(()));
    assert_eq!(first.create("/x"), Err(Errno::EACCES));
}

#[test]
fn set_group_directories_give_their_group_on() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    let place = world.find("/d").unwrap();
    chown(&world.caller, &place, None, Some(77)).unwrap();
    chmod(&world.caller, &place, 0o2777).unwrap();
    let user = world.user(10);
    user.create("/d/file").unwrap();
    user.mkdir("/d/sub").unwrap();
    assert_eq!(world.find("/d/file").unwrap().inode().metadata().gid, 77);
    let sub = world.find("/d/sub").unwrap().inode().metadata();
    assert_eq!((sub.gid, sub.mode & mode::SETGID), (77, mode::SETGID));
}

#[test]
fn a_write_takes_set_id_bits_away_but_for_root() {
    let world = World::new();
    world.create("/file").unwrap();
    let place = world.find("/file").unwrap();
    let user = world.user(10);
    chown(&world.caller, &place, Some(10), None).unwrap();
    chmod(&world.caller, &place, 0o6755).unwrap();
    let write = |world: &World| {
        let file = world.open("/file", OpenFlags::WRONLY).unwrap();
        testing::with_bytes(b"x", |buffer| testing::now(file.write(&world.caller, buffer)))
    };
    assert_eq!(write(&world), Ok(1));
    assert_eq!(place.inode().metadata().mode, 0o6755);
    assert_eq!(write(&user), Ok(1));
    assert_eq!(place.inode().metadata().mode, 0o755);
}

#[test]
fn running_programs_and_writers_keep_each_other_away() {
    let world = World::new();
    world.create("/program").unwrap();
    let place = world.find("/program").unwrap();
    chmod(&world.caller, &place, 0o755).unwrap();
    let run = || testing::now(open_executable(world.subject(), Start::Cwd, b"/program", WalkFlags::FOLLOW));
    let running = run().unwrap();
    assert_eq!(world.open("/program", OpenFlags::WRONLY).err(), Some(Errno::ETXTBSY));
    drop(running);
    let writing = world.open("/program", OpenFlags::WRONLY).unwrap();
    assert_eq!(run().err(), Some(Errno::ETXTBSY));
    drop(writing);
    assert!(run().is_ok());
}

#[test]
fn unnamed_files_get_a_name_when_they_may() {
    let world = World::new();
    let unnamed = OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::RDWR;
    let file = world.open("/", unnamed).unwrap();
    assert_eq!(file.inode().metadata().links, 0);
    let (start, flags) = (Start::At(file.path()), WalkFlags::EMPTY);
    link(world.subject(), start, b"", flags, Start::Cwd, b"/named").unwrap();
    assert_eq!(file.inode().metadata().links, 1);
    let file = world.open("/", unnamed | OpenFlags::EXCL).unwrap();
    let start = Start::At(file.path());
    assert_eq!(link(world.subject(), start, b"", flags, Start::Cwd, b"/x"), Err(Errno::ENOENT));
    assert_eq!(world.open("/", OpenFlags::TMPFILE | OpenFlags::DIRECTORY).err(), Some(Errno::EINVAL));
}

#[test]
fn watches_end_with_the_last_who_uses_their_file_system() {
    let world = World::new();
    let watching = Inotify::open(&world.caller, true).unwrap();
    let told = || {
        let (read, bytes) =
            testing::into_bytes(100, |buffer| testing::now(watching.read(&world.caller, buffer)));
        let masks = bytes.chunks_exact(16).map(|event| u32::from_ne_bytes(event[4..8].try_into().unwrap()));
        read.map(|_| masks.collect::<Vec<_>>())
    };
    let over = Ok(alloc::vec![0x4000_2000, 0x8000]);
    for path in ["/m", "/n"] {
        world.mkdir(path).unwrap();
    }
    world.mount("/m", "tmpfs", 0).unwrap();
    mount(world.subject(), b"/m", b"/n", None, ms::BIND, b"").unwrap();
    let watch = |path| {
        let inode = world.find(path).unwrap().inode().clone();
        Inotify::of(&watching).unwrap().watch(&world.caller, &inode, WatchFlags::empty())
    };
    watch("/n").unwrap();
    assert_eq!(world.unmount("/m"), Ok(()));
    assert_eq!(told(), Err(Errno::EAGAIN), "it is mounted elsewhere");
    assert_eq!(world.unmount("/n"), Ok(()));
    assert_eq!(told(), over);
    world.mount("/m", "tmpfs", 0).unwrap();
    watch("/m").unwrap();
    let used = world.open("/m", OpenFlags::DIRECTORY).unwrap();
    assert_eq!(world.detach("/m"), Ok(()));
    assert_eq!(told(), Err(Errno::EAGAIN), "somebody has a file of it open");
    drop(used);
    assert_eq!(told(), over);
}

#[test]
fn a_deep_tree_comes_apart_without_a_deep_stack() {
    let world = World::new();
    world.mkdir("/m").unwrap();
    world.mount("/m", "tmpfs", 0).unwrap();
    change_directory(world.subject(), b"/m").unwrap();
    for _ in 0..20_000 {
        world.mkdir("d").unwrap();
        change_directory(world.subject(), b"d").unwrap();
    }
    change_directory(world.subject(), b"/").unwrap();
    assert_eq!(world.unmount("/m"), Ok(()));
}

#[test]
fn cached_names_stay_bounded() {
    let world = World::new();
    for number in 0..cache::CACHED_MAX + 5000 {
        assert_eq!(world.find(&alloc::format!("/missing{number}")).err(), Some(Errno::ENOENT));
    }
    // Other tests share the cache.
    assert!(cache::cached() <= cache::CACHED_MAX + 1000);
    assert!(cache::evicted() > 0);
}

#[test]
fn a_place_without_access_has_no_operations() {
    let world = World::new();
    world.create("/file").unwrap();
    let place = world.open("/file", OpenFlags::PATH).unwrap();
    assert!(place.is_path_only());
    let ops: &dyn FileOps = &**place.ops();
    assert!(ops.mappable().is_none());
    let read = testing::into_bytes(1, |buffer| testing::now(place.read(&world.caller, buffer))).0;
    assert_eq!(read, Err(Errno::EBADF));
}
