//! `fd` and `fdinfo`: the open descriptors of a process. Source: `proc(5)`.

use alloc::sync::Arc;
use core::fmt::Write;

use base::caller::Caller;
use base::{Errno, Result};
use fs::file::{AccessMode, FdEntry, OpenFlags};
use fs::pseudo::{
    Attributes, DynamicEntries, DynamicEntry, PseudoFile, PseudoLink, PseudoNode, Text, parse_number,
};
use fs::vfs::{FileType, LinkTarget};

use super::directory::attributes;
use super::subject::Subject;

/// What a directory shows of each descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A link to the file.
    Link,
    /// Position and flags.
    Info,
}

/// The entries of `fd` or `fdinfo`.
pub(super) struct Descriptors {
    pub(super) subject: Subject,
    pub(super) show: Show,
}

/// The descriptor, when it is open.
fn entry(subject: &Subject, fd: u32) -> Result<FdEntry> {
    let files = subject.resources().ok_or(Errno::ENOENT)?.files.clone();
    let fd = i32::try_from(fd).map_err(|_| Errno::ENOENT)?;
    files.entry(fd).map_err(|_| Errno::ENOENT)
}

impl DynamicEntries for Descriptors {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn PseudoNode>> {
        let fd = parse_number(name).ok_or(Errno::ENOENT)?;
        let found = entry(&self.subject, fd)?;
        let subject = self.subject.clone();
        match self.show {
            Show::Link => {
                let attributes = attributes(&subject, 0, mode(&found));
                Ok(PseudoLink::new(attributes, move |caller| {
                    subject.check_access(caller)?;
                    Ok(LinkTarget::Place(entry(&subject, fd)?.file.path().clone()))
                }))
            }
            Show::Info => {
                let attributes: Attributes = attributes(&subject, 0, 0o444);
                let guard = self.subject.clone();
                Ok(PseudoFile::guarded(
                    attributes,
                    move |caller| guard.check_access(caller),
                    move |caller, text| info(&subject, fd, caller, text),
                ))
            }
        }
    }

    fn next(&self, from: u64) -> Option<DynamicEntry> {
        let from = u32::try_from(from).ok()?;
        let (fd, _) = self.subject.resources()?.files.next_open(from)?;
        let kind = match self.show {
            Show::Link => FileType::Symlink,
            Show::Info => FileType::Regular,
        };
        let name = Arc::from(alloc::format!("{fd}").into_bytes());
        // The nodes are made anew at each look, with fresh numbers; a listing shows something of its own.
        let ino = super::ino(self.subject.number(), self.show as u64 + 1) << 20 | u64::from(fd);
        Some(DynamicEntry { key: fd.into(), name, ino, kind })
    }
}

/// The mode of the link tells how the file is open.
fn mode(entry: &FdEntry) -> u32 {
    let access = entry.file.access();
    let read = if access.contains(AccessMode::READ) { 0o500 } else { 0 };
    let write = if access.contains(AccessMode::WRITE) { 0o300 } else { 0 };
    read | write
}

fn info(subject: &Subject, fd: u32, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let FdEntry { file, cloexec, .. } = entry(subject, fd)?;
    let mut flags = file.status();
    flags.set(OpenFlags::CLOEXEC, cloexec);
    // A full text is noticed by the frame.
    let _ = writeln!(text, "pos:\t{}\nflags:\t0{:o}", file.position_hint(), flags.bits());
    let _ = writeln!(text, "mnt_id:\t{}\nino:\t{}", file.path().mount.id(), file.inode().metadata().ino);
    let _ = file.ops().describe(&file, text);
    Ok(())
}
