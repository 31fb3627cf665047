//! The files that come out of an archive.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use base::memory::{Access, BoxFuture, UserBuffer, UserMemory};
use base::{Errno, Result};

use super::cpio::{Header, Sink};
use super::{LOGGED, Summary};
use crate::file::{Io, IoFlags, OpenFile, OpenFlags};
use crate::vfs::{
    self, Attributes, DeviceNumber, FileType, OpenHow, Path, Start, Subject, Timestamp, WalkFlags,
};

/// Makes what an archive names.
pub(super) struct Tree<'a> {
    subject: Subject<'a>,
    summary: Summary,
    /// First names of files with several, by device and inode.
    links: BTreeMap<(u32, u32, u32), Vec<u8>>,
    /// The file whose data is coming, and how much has come.
    current: Option<(Arc<OpenFile>, u64)>,
    /// The place and the attributes of the last entry: set when its data is there.
    pending: Option<(Path, Attributes)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(subject: Subject<'a>) -> Tree<'a> {
        Tree { subject, summary: Summary::default(), links: BTreeMap::new(), current: None, pending: None }
    }

    pub(super) fn problem(&mut self, what: fmt::Arguments<'_>) {
        self.summary.problems += 1;
        if self.summary.problems <= LOGGED {
            log::warn!("initramfs: {what}");
        }
    }

    pub(super) fn finish(self) -> Summary {
        self.summary
    }

    fn resolve(&self, name: &[u8]) -> Result<Path> {
        vfs::resolve(self.subject, Start::Cwd, name, WalkFlags::empty())
    }

    /// Removes what is in the way: something of another type, or anything but a directory that is to be one.
    fn clear(&self, name: &[u8], kind: FileType) -> Result<()> {
        let Ok(old) = self.resolve(name) else { return Ok(()) };
        let old = old.inode().metadata().kind;
        if old == kind && matches!(kind, FileType::Directory | FileType::Regular) {
            return Ok(());
        }
        if old == FileType::Directory {
            vfs::rmdir(self.subject, Start::Cwd, name)
        } else {
            vfs::unlink(self.subject, Start::Cwd, name)
        }
    }

    fn make(&mut self, header: &Header, name: &[u8], target: &[u8]) -> Result<()> {
        let kind = FileType::from_mode(header.mode).ok_or(Errno::EINVAL)?;
        let (subject, start) = (self.subject, Start::Cwd);
        let mode = header.mode & 0o7777;
        let key = (header.device.0, header.device.1, header.ino);
        let first = if header.links > 1 { self.links.get(&key).cloned() } else { None };
        self.clear(name, kind)?;
        match (kind, first) {
            (FileType::Directory, _) => match vfs::mkdir(subject, start, name, mode) {
                Err(Errno::EEXIST) => {}
                result => result?,
            },
            (FileType::Symlink, _) => vfs::symlink(subject, target, start, name)?,
            (FileType::Regular, Some(first)) => {
                if first != name {
                    let old = self.resolve(name).is_ok();
                    if old {
                        vfs::unlink(subject, start, name)?;
                    }
                    vfs::link(subject, start, &first, WalkFlags::empty(), start, name)?;
                }
                // The data comes with one of the names, often the last.
                if header.size > 0 {
                    self.begin(name, mode)?;
                }
            }
            (FileType::Regular, None) => self.begin(name, mode)?,
            (_, Some(first)) => vfs::link(subject, start, &first, WalkFlags::empty(), start, name)?,
            (_, None) => {
                let number = DeviceNumber::new(header.rdev.0, header.rdev.1).encode();
                vfs::mknod(subject, start, name, header.mode, number)?;
            }
        }
        if header.links > 1 && kind != FileType::Directory {
            self.links.entry(key).or_insert_with(|| name.to_vec());
        }
        let time = Some(Timestamp { seconds: i64::from(header.modified), nanoseconds: 0 });
        let attributes = Attributes {
            mode: (kind != FileType::Symlink).then_some(mode),
            uid: Some(header.uid),
            gid: Some(header.gid),
            accessed: time,
            modified: time,
            changed: None,
        };
        self.pending = Some((self.resolve(name)?, attributes));
        Ok(())
    }

    /// Opens a regular file, empty, for the data that comes.
    fn begin(&mut self, name: &[u8], mode: u32) -> Result<()> {
        let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC | OpenFlags::NOFOLLOW;
        let how = OpenHow { flags, mode, resolve: WalkFlags::empty() };
        let file = at_once(vfs::open(self.subject, Start::Cwd, name, how))?;
        self.current = Some((file, 0));
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> Result<()> {
        let Some((file, written)) = &mut self.current else { return Ok(()) };
        let memory = Archive(piece);
        let mut buffer = UserBuffer::new(&memory, 0, piece.len(), Access::Read);
        while !buffer.is_empty() {
            let position = *written + buffer.moved() as u64;
            let io = Io { caller: self.subject.caller, file, position, flags: IoFlags::empty() };
            file.ops().write(&io, &mut buffer)?;
        }
        *written += piece.len() as u64;
        Ok(())
    }
}

impl Sink for Tree<'_> {
    fn entry(&mut self, header: &Header, name: &[u8], target: &[u8]) {
        (self.current, self.pending) = (None, None);
        let name = name.strip_prefix(b"/").unwrap_or(name);
        if name.is_empty() {
            return;
        }
        match self.make(header, name, target) {
            Ok(()) => self.summary.entries += 1,
            Err(error) => self.problem(format_args!("{}: {error:?}", name.escape_ascii())),
        }
    }

    fn data(&mut self, piece: &[u8]) {
        if let Err(error) = self.append(piece) {
            self.current = None;
            self.problem(format_args!("no room for the data: {error:?}"));
        }
    }

    fn complete(&mut self) {
        self.current = None;
        if let Some((place, attributes)) = self.pending.take()
            && let Err(error) = place.inode().set_attributes(&attributes)
        {
            self.problem(format_args!("attributes: {error:?}"));
        }
    }

    fn trailer(&mut self) {
        self.links.clear();
    }
}

/// Runs a future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Errno::EAGAIN),
    }
}

/// Bytes of the archive as memory to write from.
struct Archive<'a>(&'a [u8]);

impl UserMemory for Archive<'_> {
    fn copy_in_nofault(&self, from: u64, into: &mut [u8]) -> usize {
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let source = self.0.get(start..).unwrap_or_default();
        let length = into.len().min(source.len());
        for (to, from) in into.iter_mut().zip(source) {
            *to = *from;
        }
        length
    }

    fn copy_out_nofault(&self, _to: u64, _from: &[u8]) -> usize {
        0
    }

    fn compare_exchange_nofault(&self, _at: u64, _current: u32, _new: u32) -> Option<u32> {
        None
    }

    fn fault_in(&self, _at: u64, _length: usize, _access: Access) -> BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }

    fn copy_in_frame_nofault(
        &self,
        from: u64,
        frame: &base::frame::Frame,
        offset: usize,
        length: usize,
    ) -> usize {
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let source = self.0.get(start..).unwrap_or_default();
        frame.write(offset, source.get(..length.min(source.len())).unwrap_or_default())
    }
}
