//! The directory of a process or thread: which files it has, and how each is made when somebody looks.
//!
//! To add a file, write what it shows and add a line to one of the two tables.

use alloc::sync::Arc;

use base::caller::Caller;
use base::{Errno, Result};
use fs::pseudo::{
    Attributes, DynamicEntries, DynamicEntry, PseudoDir, PseudoFile, PseudoLink, PseudoNode, PseudoOpen,
    Text, parse_query,
};
use fs::vfs::{FileType, LinkTarget, Path};
use ipc::report::{Query, TRANSFERS_PAGE};

use super::descriptors::{Descriptors, Show};
use super::subject::Subject;
use super::tasks::Tasks;
use super::{control, faults, handles, links, maps, memory, settings, stat, status, waiting};

/// Writes a file's text.
type Render = fn(&Subject, &Caller, &mut Text) -> Result<()>;
/// Takes what is written to a file.
type Store = fn(&Subject, &Caller, &[u8]) -> Result<()>;

/// What an entry is.
enum Shape {
    /// A text that anybody may read whom the mode allows.
    Text(Render),
    /// A text for those who may look into the process.
    Private(Render),
    /// A text by pages, for those who may look into the process: longer names ask for a page.
    Paged(fn(&Subject, Query, &mut Text) -> Result<()>),
    /// A text that can be written.
    Settable(Render, Store),
    /// A link straight to a place.
    Link(fn(&Subject) -> Result<Path>),
    /// A directory.
    Directory(fn(Subject) -> Arc<dyn DynamicEntries>),
    /// The memory itself.
    Memory,
    /// Commands.
    Control,
}

struct Entry {
    name: &'static str,
    mode: u32,
    shape: Shape,
}

const fn entry(name: &'static str, mode: u32, shape: Shape) -> Entry {
    Entry { name, mode, shape }
}

impl Entry {
    /// The page that `name` asks of this entry; `None` when it is another's name.
    fn query(&self, name: &[u8]) -> Option<Query> {
        let query = parse_query(name, self.name, TRANSFERS_PAGE)?;
        let is_paged = matches!(self.shape, Shape::Paged(_));
        (is_paged || name.len() == self.name.len()).then_some(query)
    }
}

/// Files of processes and threads alike.
const COMMON: &[Entry] = &[
    entry("fd", 0o500, Shape::Directory(|subject| Arc::new(Descriptors { subject, show: Show::Link }))),
    entry("fdinfo", 0o555, Shape::Directory(|subject| Arc::new(Descriptors { subject, show: Show::Info }))),
    entry("environ", 0o400, Shape::Private(memory::environ)),
    entry("auxv", 0o400, Shape::Private(memory::auxv)),
    entry("status", 0o444, Shape::Text(status::status)),
    entry("limits", 0o444, Shape::Text(settings::limits)),
    entry("comm", 0o644, Shape::Settable(settings::comm, settings::set_comm)),
    entry("syscall", 0o400, Shape::Private(waiting::syscall)),
    entry("cmdline", 0o444, Shape::Text(memory::cmdline)),
    entry("stat", 0o444, Shape::Text(stat::stat)),
    entry("statm", 0o444, Shape::Text(stat::statm)),
    entry("maps", 0o444, Shape::Private(maps::maps)),
    entry("smaps", 0o444, Shape::Private(maps::smaps)),
    entry("mem", 0o600, Shape::Memory),
    entry("cwd", 0o777, Shape::Link(links::cwd)),
    entry("root", 0o777, Shape::Link(links::root)),
    entry("exe", 0o777, Shape::Link(links::exe)),
    entry("mounts", 0o444, Shape::Text(links::mounts)),
    entry("mountinfo", 0o444, Shape::Text(links::mountinfo)),
    entry("wchan", 0o444, Shape::Text(waiting::wchan)),
    entry("oom_score", 0o444, Shape::Text(settings::oom_score)),
    entry("oom_score_adj", 0o644, Shape::Settable(settings::oom_score_adj, settings::set_oom_score_adj)),
    entry("wait", 0o400, Shape::Private(waiting::wait)),
    entry("fail-nth", 0o644, Shape::Settable(faults::fail_nth, faults::set_fail_nth)),
    entry("make-it-fail", 0o644, Shape::Settable(faults::make_it_fail, faults::set_make_it_fail)),
    entry("handles", 0o400, Shape::Private(handles::handles)),
    entry("handle_transfers", 0o400, Shape::Private(handles::transfers)),
    entry("handle_transfers_v2", 0o400, Shape::Paged(handles::transfers_page)),
];

/// Files of processes alone.
const OF_PROCESSES: &[Entry] = &[
    entry("task", 0o555, Shape::Directory(|subject| Arc::new(Tasks { subject }))),
    entry("control", 0o600, Shape::Control),
];

/// Files of threads alone.
const OF_THREADS: &[Entry] = &[entry("children", 0o444, Shape::Text(links::children))];

/// The entries of one subject's directory.
struct Files(Subject);

impl Files {
    fn own(&self) -> impl Iterator<Item = &'static Entry> {
        let own = if self.0.is_alone() { OF_THREADS } else { OF_PROCESSES };
        own.iter().chain(COMMON)
    }
}

impl DynamicEntries for Files {
    fn immutable(&self) -> bool {
        true
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        self.0.process().map_err(|_| Errno::ENOENT)?;
        let mut own = self.own().zip(1..);
        let found = own.find_map(|(entry, index)| Some((entry, index, entry.query(name)?)));
        let (entry, index, query) = found.ok_or(Errno::ENOENT)?;
        make(&self.0, entry, index, query).map_err(|_| Errno::ENOENT)
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        self.0.process().ok()?;
        let (entry, key) = self.own().zip(0..).find(|(_, key)| *key >= from)?;
        let kind = match entry.shape {
            Shape::Link(_) => FileType::Symlink,
            Shape::Directory(_) => FileType::Directory,
            _ => FileType::Regular,
        };
        let ino = file_ino(&self.0, key + 1);
        Some(DynamicEntry { key, name: Arc::from(entry.name.as_bytes()), ino, kind })
    }
}

/// Files of `task` directories have numbers of their own.
fn file_ino(subject: &Subject, index: u64) -> u64 {
    super::ino(subject.number(), if subject.is_alone() { index + 512 } else { index })
}

/// Attributes of a file about `subject`.
pub(super) fn attributes(subject: &Subject, ino: u64, mode: u32) -> Attributes {
    let (uid, gid) = subject.owner(mode == 0o555);
    Attributes { device: super::device(), ino, mode, uid, gid, enforced: false }
}

fn make(subject: &Subject, entry: &Entry, index: u64, query: Query) -> Result<Arc<dyn PseudoNode>> {
    let ino = file_ino(subject, index);
    let attributes = attributes(subject, ino, entry.mode);
    let own = subject.clone();
    let guard = subject.clone();
    Ok(match entry.shape {
        Shape::Text(render) => PseudoFile::new(attributes, move |caller, text| render(&own, caller, text)),
        Shape::Private(render) => {
            let guard = move |caller: &Caller| guard.check_access(caller);
            PseudoFile::guarded(attributes, guard, move |caller, text| render(&own, caller, text))
        }
        Shape::Paged(render) => {
            let guard = move |caller: &Caller| guard.check_access(caller);
            PseudoFile::guarded(attributes, guard, move |_, text| render(&own, query, text))
        }
        Shape::Settable(render, store) => {
            let stored = subject.clone();
            PseudoFile::writable(
                attributes,
                move |caller, text| render(&own, caller, text),
                move |caller, bytes| store(&stored, caller, bytes),
            )
        }
        Shape::Link(target) => PseudoLink::new(attributes, move |caller| {
            own.check_access(caller)?;
            target(&own).map(LinkTarget::Place)
        }),
        Shape::Directory(entries) => PseudoDir::with_dynamic(attributes, file_ino(subject, 0), entries(own)),
        Shape::Memory => PseudoOpen::new(attributes, move |caller| memory::open(&own, caller)),
        Shape::Control => control::file(subject, attributes)?,
    })
}

/// The directory of `subject`, whose parent has the number `parent`.
pub(super) fn directory(subject: Subject, parent: u64) -> Arc<dyn PseudoNode> {
    let attributes = attributes(&subject, file_ino(&subject, 0), 0o555);
    PseudoDir::with_dynamic(attributes, parent, Arc::new(Files(subject)))
}
