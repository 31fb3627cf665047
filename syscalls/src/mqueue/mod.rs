//! POSIX message queues. Source: `mq_overview(7)`.
//!
//! | module | subject |
//! |---|---|
//! | [`queue`] | a queue: messages by priority, those who wait |
//! | [`notify`] | the process that is told of a message in an empty queue |
//! | [`file`](mod@file) | a queue as an open file |
//! | [`directory`] | the names, and the file system that shows them |
//! | [`settings`] | `/proc/sys/fs/mqueue`, and what a user may have |
//!
//! It lies here and not in `fs` because a queue tells a process, by a signal that says who sent the message.

pub mod directory;
pub mod file;
pub mod notify;
pub mod queue;
pub mod settings;

use alloc::sync::Arc;

use base::caller::Caller;
use base::{Errno, Result};
use fs::file::{AccessMode, OpenFile, OpenFlags};
use fs::vfs::{Inode, Permission, anonymous_place, permission};

use directory::QueueInode;
use settings::Limits;

/// Longest name of a queue, bytes.
const NAME_MAX: usize = 255;

/// What mq_open(3) asks for.
pub struct Request<'a> {
    /// The name, without its slash.
    pub name: &'a [u8],
    /// Access mode, `O_CREAT`, `O_EXCL`, `O_NONBLOCK`.
    pub flags: OpenFlags,
    /// Permission bits of a queue that is made; the umask is taken off.
    pub mode: u32,
    /// Its limits, if not the usual ones.
    pub limits: Option<Limits>,
}

/// mq_open(3): opens a queue, and makes it if asked for.
///
/// # Errors
///
/// `ENOENT` when it is not there, and for an empty name; `EEXIST` when it must not be; `EACCES` when the caller may not,
/// and for a name with a slash; `ENAMETOOLONG`; `EINVAL` for an impossible access mode or impossible limits; `EMFILE`
/// past `RLIMIT_MSGQUEUE`; `ENOSPC` when there are too many; `ENFILE`, `ENOMEM`.
pub fn open(caller: &Caller, request: &Request<'_>) -> Result<Arc<OpenFile>> {
    check_name(request.name)?;
    let inode = loop {
        match directory::find(request.name) {
            Ok(inode) => {
                may_open(caller, request.flags, &inode)?;
                break inode;
            }
            Err(Errno::ENOENT) if request.flags.contains(OpenFlags::CREAT) => {
                let limits = settings::admit(caller, request.limits)?;
                let new = QueueInode::new(caller, limits, request.mode)?;
                match directory::add(caller, request.name, new) {
                    // Somebody else has made it meanwhile.
                    Err(Errno::EEXIST) => {}
                    result => break result?,
                }
            }
            Err(error) => return Err(error),
        }
    };
    let mut title = alloc::vec![b'/'];
    title.extend_from_slice(request.name);
    let ops = Arc::new(file::QueueFile(inode.clone()));
    let place = anonymous_place(inode, &title);
    let flags = request.flags & (OpenFlags::NONBLOCK | OpenFlags::RDWR | OpenFlags::WRONLY);
    OpenFile::new(caller, ops, place, flags)
}

/// Whether a queue that is there may be opened like this.
fn may_open(caller: &Caller, flags: OpenFlags, inode: &QueueInode) -> Result<()> {
    if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
        return Err(Errno::EEXIST);
    }
    let access = flags.access();
    if access.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut wanted = Permission::empty();
    wanted.set(Permission::READ, access.contains(AccessMode::READ));
    wanted.set(Permission::WRITE, access.contains(AccessMode::WRITE));
    permission(&caller.credentials, &inode.metadata(), wanted)
}

/// mq_unlink(3): takes the name away; the queue goes with its last descriptor.
///
/// # Errors
///
/// `ENOENT`; `EACCES` for a name with a slash; `EPERM` when it is somebody else's; `ENAMETOOLONG`.
pub fn unlink(caller: &Caller, name: &[u8]) -> Result<()> {
    check_name(name)?;
    directory::remove_as(caller, name)
}

fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        _ if name.contains(&b'/') => Err(Errno::EACCES),
        _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}
