//! Program files, as the loader sees them, and who executes.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::caller::{Caller, Credentials};
use base::memory::{BoxFuture, KernelBytes};
use base::sync::atomic::Ordering;
use base::{Errno, Result};
use fs::file::FdTable;
use fs::vfs::{Executable, MountFlags, Path, Start, WalkFlags, open_executable};
use ipc::HandleTable;

use crate::elf::{ExecContext, ProgramFile, ProgramIdentity};
use crate::mm::AddressSpace;
use crate::mm::file::FileMapping;
use crate::process::exec::{new_credentials, subject};
use crate::process::identity::image::{self, Obstacles};
use crate::thread::Thread;
use crate::thread::resources::Resources;

/// A program file that is open for execution; nobody can write it meanwhile.
pub struct OpenProgram {
    executable: Executable,
    /// Who opened it, without its memory: that may be gone long before the program.
    opener: Caller,
}

impl OpenProgram {
    /// The place of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.executable.file().path()
    }
}

impl ProgramFile for OpenProgram {
    fn read_at<'a>(&'a self, offset: u64, into: &'a mut [u8]) -> BoxFuture<'a, Result<usize>> {
        alloc::boxed::Box::pin(async move {
            let file = self.executable.file();
            let bytes = file.read_kernel(&self.opener, offset, into.len()).await?;
            let length = bytes.len().min(into.len());
            into[..length].copy_from_slice(&bytes[..length]);
            Ok(length)
        })
    }

    fn map_into(&self, space: &Arc<AddressSpace>) -> Result<Arc<FileMapping>> {
        FileMapping::of_file(space, self.executable.file(), false)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A thread that executes a program.
pub struct Executor {
    resources: Arc<Resources>,
    opener: Caller,
    obstacles: Obstacles,
}

impl Executor {
    /// `thread`, about to execute.
    ///
    /// # Errors
    ///
    /// `ESRCH` when it has exited.
    pub fn new(thread: &Thread) -> Result<Executor> {
        let resources = thread.resources().ok_or(Errno::ESRCH)?;
        let nothing = Arc::new(KernelBytes::new(Vec::new()));
        let opener = Caller { memory: nothing, ..Caller::clone(&resources.caller) };
        let obstacles = Obstacles {
            no_new_privileges: thread.settings().no_new_privileges.load(Ordering::Relaxed),
            // Each thread has one reference in its resources.
            shared_places: Arc::strong_count(&resources.place) > thread.process().live_threads(),
        };
        Ok(Executor { resources, opener, obstacles })
    }

    /// Opens a program. A drop leaves nothing open.
    ///
    /// # Errors
    ///
    /// As `fs::vfs::open_executable`.
    pub async fn open_at(
        &self,
        start: Start<'_>,
        path: &[u8],
        walk: WalkFlags,
    ) -> Result<Arc<dyn ProgramFile>> {
        let executable = open_executable(subject(&self.resources), start, path, walk).await?;
        Ok(Arc::new(OpenProgram { executable, opener: self.opener.clone() }))
    }

    /// The credentials with which `program` will run, and whether it must distrust its environment.
    #[must_use]
    pub fn credentials(&self, program: &dyn ProgramFile) -> (Credentials, bool) {
        let Some(open) = program.as_any().downcast_ref::<OpenProgram>() else {
            return (Credentials::clone(&self.resources.caller.credentials), false);
        };
        let metadata = open.path().inode().metadata();
        let file = image::ProgramFile {
            uid: metadata.uid,
            gid: metadata.gid,
            mode: metadata.mode,
            set_id_allowed: !open.path().mount.flags().contains(MountFlags::NOSUID),
        };
        new_credentials(&self.resources, &file, self.obstacles)
    }
}

impl ExecContext for Executor {
    fn open<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Arc<dyn ProgramFile>>> {
        alloc::boxed::Box::pin(self.open_at(Start::Cwd, path, WalkFlags::FOLLOW))
    }

    fn identity(&self, program: &dyn ProgramFile) -> ProgramIdentity {
        let (new, secure) = self.credentials(program);
        ProgramIdentity { uid: new.uid, euid: new.euid, gid: new.gid, egid: new.egid, secure }
    }
}

/// An own copy of a descriptor table that others share, since exec closes descriptors in it; `None` when
/// the table is the thread's own process's alone.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn own_files(thread: &Thread) -> Result<Option<Arc<FdTable>>> {
    let Some(resources) = thread.resources() else { return Ok(None) };
    if !resources.files.is_shared() {
        return Ok(None);
    }
    resources.files.duplicate(&resources.caller).map(Some)
}

/// As [`own_files`], for the handles, which exec may close too.
///
/// # Errors
///
/// `ENOMEM`.
pub(super) fn own_handles(thread: &Thread) -> Result<Option<Arc<HandleTable>>> {
    let Some(resources) = thread.resources() else { return Ok(None) };
    if !resources.handles.is_shared() {
        return Ok(None);
    }
    resources.handles.duplicate(&resources.caller).map(Some)
}

/// The path by which a program that was opened through a descriptor can be found again.
pub(super) fn descriptor_path(fd: i32, rest: &[u8]) -> Vec<u8> {
    let mut path = format!("/dev/fd/{fd}").into_bytes();
    if !rest.is_empty() {
        path.push(b'/');
        path.extend_from_slice(rest);
    }
    path
}
