//! The directories with numbers: processes in `/proc`, threads in `task`.

use alloc::sync::Arc;

use base::{Errno, Result};
use fs::pseudo::{DynamicEntries, DynamicEntry, PseudoNode, parse_number};
use fs::vfs::FileType;

use super::directory::directory;
use super::subject::Subject;
use crate::process::table;

/// Inode number of `/proc`.
const TOP: u64 = 1;

fn entry(number: u32, index: u64) -> DynamicEntry {
    let name = Arc::from(alloc::format!("{number}").into_bytes());
    DynamicEntry { key: number.into(), name, ino: super::ino(number, index), kind: FileType::Directory }
}

/// The processes. A thread is found by its number too, but not listed.
pub(super) struct Processes;

impl DynamicEntries for Processes {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let number = parse_number(name).ok_or(Errno::ENOENT)?;
        let subject = Subject::find(number).ok_or(Errno::ENOENT)?;
        Ok(directory(subject, TOP))
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let from = u32::try_from(from).ok()?;
        let (pid, _) = table::lock().next_process(from)?;
        Some(entry(pid, 0))
    }
}

/// The threads of a process.
pub(super) struct Tasks {
    pub(super) subject: Subject,
}

impl DynamicEntries for Tasks {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let tid = parse_number(name).ok_or(Errno::ENOENT)?;
        let subject = self.subject.task(tid).ok_or(Errno::ENOENT)?;
        Ok(directory(subject, super::ino(self.subject.number(), 0)))
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let from = u32::try_from(from).ok()?;
        let process = self.subject.process().ok()?;
        let table = table::lock();
        let node = table.process(process.pid())?;
        // A first thread that has exited is listed until its process is waited for.
        let all = node.threads.iter().copied().chain([process.pid()]);
        all.filter(|tid| *tid >= from).min().map(|tid| entry(tid, 512))
    }
}
