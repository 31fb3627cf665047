//! Open files and directories of a tmpfs.

use alloc::sync::Arc;
use core::any::Any;

use base::Result;
use base::memory::UserBuffer;

use super::inode::{Body, TmpInode};
use super::pages::SIZE_MAX;
use crate::file::{FileOps, Io, Mappable, OpenFile, OpenFlags, Whence, seek_within};
use crate::vfs::{DirSink, FileType, Inode, MountFlags};

/// Bytes that one step of a long transfer moves.
const STEP_BYTES: usize = 1 << 18;

/// True when reads through `file` leave the access time alone.
fn keeps_access_time(file: &OpenFile, directory: bool) -> bool {
    let mount = file.path().mount.flags();
    file.status().contains(OpenFlags::NOATIME)
        || mount.contains(MountFlags::NOATIME)
        || directory && mount.contains(MountFlags::NODIRATIME)
}

/// A regular file.
pub(super) struct TmpFile(pub(super) Arc<TmpInode>);

impl FileOps for TmpFile {
    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let pages = self.0.content()?;
        let result = buffer.within(STEP_BYTES, |part| pages.read(io.position, part));
        if !keeps_access_time(io.file, false) {
            self.0.touch_accessed();
        }
        result
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let pages = self.0.content()?;
        let before = buffer.moved();
        let result = buffer.within(STEP_BYTES, |part| pages.write(io.position, part));
        if buffer.moved() > before {
            self.0.touch_modified();
        }
        result
    }

    fn positioned(&self) -> bool {
        true
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        let pages = self.0.content()?;
        match (whence, u64::try_from(offset)) {
            (Whence::Data | Whence::Hole, Ok(offset)) => pages.seek(offset, whence),
            _ => seek_within(pages.extent().0, SIZE_MAX, current, offset, whence),
        }
    }

    fn mappable(&self) -> Option<Arc<dyn Mappable>> {
        Inode::pages(self.0.clone())
    }

    fn set_status(&self, _file: &OpenFile, _new: OpenFlags) -> Result<()> {
        // O_DIRECT is allowed: there is no cache to go past.
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A directory.
pub(super) struct TmpDirectory(pub(super) Arc<TmpInode>);

impl FileOps for TmpDirectory {
    fn read(&self, _io: &Io<'_>, _buffer: &mut UserBuffer<'_>) -> Result<usize> {
        Err(base::Errno::EISDIR)
    }

    fn seek(&self, _file: &OpenFile, current: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Set | Whence::Current => seek_within(0, SIZE_MAX, current, offset, whence),
            _ => Err(base::Errno::EINVAL),
        }
    }

    fn read_dir(&self, io: &Io<'_>, position: &mut u64, sink: &mut dyn DirSink) -> Result<()> {
        let entries = self.0.entries()?;
        if !keeps_access_time(io.file, true) {
            self.0.touch_accessed();
        }
        if *position == 0 {
            if !sink.entry(b".", self.0.ino(), FileType::Directory, 1) {
                return Ok(());
            }
            *position = 1;
        }
        if *position == 1 {
            let parent = entries.lock().parent.upgrade().map_or(self.0.ino(), |parent| parent.ino());
            if !sink.entry(b"..", parent, FileType::Directory, 2) {
                return Ok(());
            }
            *position = 2;
        }
        loop {
            // The sink copies to the program, so it is called without the lock.
            let Some((at, name, inode)) = entries.lock().at_or_after(*position) else { return Ok(()) };
            if !sink.entry(&name, inode.ino(), inode.file_type(), at + 1) {
                return Ok(());
            }
            *position = at + 1;
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The seals of a memfd or of any tmpfs file.
pub(super) fn inode_of(file: &OpenFile) -> Option<&TmpInode> {
    file.inode().as_any().downcast_ref::<TmpInode>().filter(|inode| matches!(inode.body, Body::File(_)))
}
