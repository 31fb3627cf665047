//! The tables, and the text of mounts.

use super::mounts::{escape, mountinfo, mounts};
use crate::pseudo::Text;
use crate::testing;
use crate::tmpfs::TmpFs;
use crate::vfs::{FsContext, Mount, MountFlags, Namespace, Start, Subject, WalkFlags, mkdir, resolve};
use alloc::string::String;

fn text(render: impl FnOnce(&mut Text)) -> String {
    let mut text = Text::default();
    render(&mut text);
    String::from_utf8(text.as_bytes().to_vec()).unwrap()
}

#[test]
fn mounts_are_listed_with_their_places_and_flags() {
    let caller = testing::root();
    let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
    let namespace = Namespace::new(&root);
    let fs = FsContext::new(&namespace);
    let subject = Subject { caller: &caller, fs: &fs };
    mkdir(subject, Start::Cwd, b"/a b", 0o755).unwrap();
    let place = resolve(subject, Start::Cwd, b"/a b", WalkFlags::empty()).unwrap();
    let flags = MountFlags::NOSUID | MountFlags::RELATIME;
    let second = Mount::new(&TmpFs::new_root().unwrap(), b"none", flags);
    namespace.attach(&second, place).unwrap();
    let lines = text(|text| mounts(&namespace, &fs.root(), text));
    let mut lines = lines.lines();
    assert!(lines.next().unwrap().starts_with("rootfs / "));
    let line = lines.next().unwrap();
    assert!(line.starts_with("none /a\\040b ") && line.contains(" rw,nosuid,relatime"), "{line}");
    assert!(line.ends_with(" 0 0"));
    let info = text(|text| mountinfo(&namespace, &fs.root(), text));
    let words: alloc::vec::Vec<&str> = info.lines().nth(1).unwrap().split(' ').collect();
    assert_eq!(words[0], alloc::format!("{}", second.id()));
    assert_eq!(words[1], alloc::format!("{}", root.id()));
    assert_eq!(words[3..5], ["/", "/a\\040b"]);
    assert_eq!(words[6], "-");
}

#[test]
fn what_separates_words_is_escaped() {
    assert_eq!(text(|text| escape(text, b"a b\n\\c", b" \n\\")), "a\\040b\\012\\134c");
}
