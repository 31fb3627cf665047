//! POSIX message queues. Source: `mq_open(3)`, `mq_send(3)`, `mq_receive(3)`, `mq_notify(3)`, `mq_getattr(3)`.

use alloc::sync::Arc;

use base::{Errno, Result};
use fs::file::{AccessMode, FdEntry, OpenFile, OpenFlags};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::mqueue::file::QueueFile;
use crate::mqueue::notify::{Method, Registration};
use crate::mqueue::queue::{Message, Patience};
use crate::mqueue::settings::{Limits, PRIORITIES};
use crate::mqueue::{self, Request};
use crate::signal::Signal;
use crate::thread::Thread;
use crate::time::clock::realtime_to_monotonic;
use crate::time::timespec::read_timespec;
use crate::user::{copy_in, copy_out, read_path, read_words, write_u32, write_words};

declare! {
    async 240 => mq_open(name: Pointer, flags: u32, mode: u32, attributes: Pointer);
    async 241 => mq_unlink(name: Pointer);
    async 242 => mq_timedsend(queue: Fd, text: Pointer, size: usize, priority: u32, deadline: Pointer) [restart];
    async 243 => mq_timedreceive(queue: Fd, text: Pointer, size: usize, priority: Pointer, deadline: Pointer) [restart];
    async 244 => mq_notify(queue: Fd, event: Pointer);
    async 245 => mq_getsetattr(queue: Fd, new: Pointer, old: Pointer);
}

/// Words of `struct mq_attr`, the last four of them without a meaning.
const ATTRIBUTE_WORDS: usize = 8;

async fn mq_open(thread: &Thread, name: Pointer, flags: u32, mode: u32, attributes: Pointer) -> Result<u64> {
    let space = thread.space();
    let limits = match attributes.is_null() {
        true => None,
        false => {
            let [_, messages, bytes, ..] = read_words::<ATTRIBUTE_WORDS>(&*space, attributes.0).await?;
            Some(Limits { messages, bytes })
        }
    };
    let name = read_path(&*space, name.0).await?;
    let caller = thread.caller();
    let files = thread.files();
    let reserved = files.reserve(&caller, 0)?;
    let request = Request {
        name: &name,
        flags: OpenFlags::from_bits_truncate(flags),
        mode: mode & !thread.fs_context().umask(),
        limits,
    };
    let file = mqueue::open(&caller, &request)?;
    Ok(reserved.install(FdEntry::new(file, true)).unsigned_abs().into())
}

async fn mq_unlink(thread: &Thread, name: Pointer) -> Result<u64> {
    let name = read_path(&*thread.space(), name.0).await?;
    mqueue::unlink(&thread.caller(), &name).map(|()| 0)
}

/// The queue's file, if it was opened for `access`.
fn queue_for(thread: &Thread, fd: Fd, access: AccessMode) -> Result<Arc<OpenFile>> {
    let file = thread.files().get(fd.0)?;
    QueueFile::queue_of(&file)?;
    if file.access().contains(access) { Ok(file) } else { Err(Errno::EBADF) }
}

/// The point in time to which a call waits.
async fn read_deadline(thread: &Thread, deadline: Pointer) -> Result<Option<base::time::Instant>> {
    if deadline.is_null() {
        return Ok(None);
    }
    read_timespec(&*thread.space(), deadline).await.map(|time| Some(realtime_to_monotonic(time)))
}

fn patience(file: &OpenFile, deadline: Option<base::time::Instant>) -> Patience {
    if file.is_nonblocking() { Patience::None } else { Patience::Until(deadline) }
}

async fn mq_timedsend(
    thread: &Thread,
    queue: Fd,
    text: Pointer,
    size: usize,
    priority: u32,
    deadline: Pointer,
) -> Result<u64> {
    let deadline = read_deadline(thread, deadline).await?;
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let file = queue_for(thread, queue, AccessMode::WRITE)?;
    let queue = QueueFile::queue_of(&file)?;
    if size as u64 > queue.limits().bytes {
        return Err(Errno::EMSGSIZE);
    }
    let caller = thread.caller();
    let charge = Message::charge(&caller, size)?;
    let mut bytes: Arc<[u8]> = core::iter::repeat_n(0, size).collect();
    if let Some(bytes) = Arc::get_mut(&mut bytes) {
        copy_in(&*thread.space(), text.0, bytes).await?;
    }
    let message = Message::new(priority, bytes, charge);
    queue.send(&caller, message, patience(&file, deadline)).await.map(|()| 0)
}

async fn mq_timedreceive(
    thread: &Thread,
    queue: Fd,
    text: Pointer,
    size: usize,
    priority: Pointer,
    deadline: Pointer,
) -> Result<u64> {
    let deadline = read_deadline(thread, deadline).await?;
    let file = queue_for(thread, queue, AccessMode::READ)?;
    let queue = QueueFile::queue_of(&file)?;
    if (size as u64) < queue.limits().bytes {
        return Err(Errno::EMSGSIZE);
    }
    let message = queue.receive(&thread.caller(), patience(&file, deadline)).await?;
    // As on Linux, a message whose buffer is bad is lost.
    let space = thread.space();
    if !priority.is_null() {
        write_u32(&*space, priority.0, message.priority).await?;
    }
    copy_out(&*space, text.0, &message.text).await?;
    Ok(message.text.len() as u64)
}

/// Methods of `struct sigevent`.
const SIGEV_SIGNAL: u32 = 0;
const SIGEV_NONE: u32 = 1;
const SIGEV_THREAD: u32 = 2;
/// What a queue would send through the socket of `SIGEV_THREAD`.
const COOKIE_BYTES: usize = 32;

async fn mq_notify(thread: &Thread, queue: Fd, event: Pointer) -> Result<u64> {
    let method = if event.is_null() { None } else { Some(read_method(thread, event).await?) };
    let file = thread.files().get(queue.0)?;
    let queue = QueueFile::queue_of(&file)?;
    match method {
        Some(method) => queue.register(Registration::new(thread.process(), method))?,
        None => queue.unregister(thread.process()),
    }
    Ok(0)
}

/// How `struct sigevent` wants a process to be told.
async fn read_method(thread: &Thread, event: Pointer) -> Result<Method> {
    let [value, numbers] = read_words::<2>(&*thread.space(), event.0).await?;
    let (signal, method) = (numbers as u32, (numbers >> 32) as u32);
    match method {
        SIGEV_NONE => Ok(Method::Silent),
        SIGEV_SIGNAL => {
            let number = i32::try_from(signal).map_err(|_| Errno::EINVAL)?;
            let signal = if number == 0 { None } else { Some(Signal::new(number)?) };
            Ok(Method::Signal { signal, value })
        }
        SIGEV_THREAD => {
            copy_in(&*thread.space(), value, &mut [0; COOKIE_BYTES]).await?;
            // The C library passes a netlink socket, of which there are none here.
            let file = thread.files().get(signal.cast_signed())?;
            Err(if fs::unix::Socket::of(&file).is_ok() { Errno::EINVAL } else { Errno::ENOTSOCK })
        }
        _ => Err(Errno::EINVAL),
    }
}

async fn mq_getsetattr(thread: &Thread, queue: Fd, new: Pointer, old: Pointer) -> Result<u64> {
    let nonblock = u64::from(OpenFlags::NONBLOCK.bits());
    let space = thread.space();
    let wanted = match new.is_null() {
        true => None,
        false => {
            let [flags, ..] = read_words::<ATTRIBUTE_WORDS>(&*space, new.0).await?;
            if flags & !nonblock != 0 {
                return Err(Errno::EINVAL);
            }
            Some(flags != 0)
        }
    };
    let file = thread.files().get(queue.0)?;
    let queue = QueueFile::queue_of(&file)?;
    let flags = if file.is_nonblocking() { nonblock } else { 0 };
    let Limits { messages, bytes } = queue.limits();
    let now = [flags, messages, bytes, queue.status().messages as u64, 0, 0, 0, 0];
    if let Some(nonblocking) = wanted {
        file.set_nonblocking(nonblocking);
    }
    if !old.is_null() {
        write_words(&*space, old.0, &now).await?;
    }
    Ok(0)
}
