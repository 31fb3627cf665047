//! epoll. Source: `epoll_create(2)`, `epoll_ctl(2)`, `epoll_wait(2)`.

use alloc::sync::Arc;
use core::time::Duration;

use base::memory::{Access, UserBuffer};
use base::time::Instant;
use base::{Errno, Result, machine};
use fs::epoll::interest::{Interest, RECORD_BYTES};
use fs::epoll::{Epoll, Operation};
use fs::file::{FdRights, OpenFile};

use crate::declare;
use crate::declare::{Fd, Pointer};
use crate::machine::USER_END;
use crate::mm::AddressSpace;
use crate::signal::state::check_mask_size;
use crate::signal::{SignalSet, borrow_mask, return_mask_unless_interrupted};
use crate::thread::Thread;
use crate::time::timespec::read_timespec;
use crate::user::{copy_in, read_words};

declare! {
    sync 213 => epoll_create(size: i32);
    async 232 => epoll_wait(epfd: Fd, events: Pointer, most: i32, timeout: i32) after try_epoll_wait;
    async 233 => epoll_ctl(epfd: Fd, operation: i32, fd: Fd, event: Pointer);
    async 281 => epoll_pwait(epfd: Fd, events: Pointer, most: i32, timeout: i32, mask: Pointer, size: usize) after try_epoll_pwait;
    sync 291 => epoll_create1(flags: u32);
    async 441 => epoll_pwait2(epfd: Fd, events: Pointer, most: i32, timeout: Pointer, mask: Pointer, size: usize);
}

/// `EPOLL_CLOEXEC`, which is `O_CLOEXEC`.
const CLOEXEC: u32 = 0o2000000;

fn epoll_create(thread: &Thread, size: i32) -> Result<u64> {
    if size <= 0 { Err(Errno::EINVAL) } else { epoll_create1(thread, 0) }
}

fn epoll_create1(thread: &Thread, flags: u32) -> Result<u64> {
    if flags & !CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    let fd = thread.files().insert(&caller, Epoll::open(&caller)?, flags & CLOEXEC != 0)?;
    Ok(u64::from(fd.unsigned_abs()))
}

async fn epoll_ctl(thread: &Thread, epfd: Fd, operation: i32, fd: Fd, event: Pointer) -> Result<u64> {
    let operation = Operation::from_raw(operation);
    let mut bytes = [0; RECORD_BYTES];
    if operation != Some(Operation::Delete) {
        copy_in(&*thread.space(), event.0, &mut bytes).await?;
    }
    let [e0, e1, e2, e3, data @ ..] = bytes;
    let interest = Interest::from_program(u32::from_ne_bytes([e0, e1, e2, e3]));
    let files = thread.files();
    let instance = files.get(epfd.0)?;
    let entry = files.entry_required(fd.0, FdRights::empty())?;
    let data = u64::from_ne_bytes(data);
    Epoll::control(&thread.caller(), &instance, operation, &entry, fd.0, interest, data).await?;
    Ok(0)
}

async fn epoll_wait(thread: &Thread, epfd: Fd, events: Pointer, most: i32, timeout: i32) -> Result<u64> {
    wait(thread, epfd, events, most, deadline_of(timeout)).await
}

fn try_epoll_wait(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    timeout: i32,
) -> Option<Result<u64>> {
    let instance = Instance::new(thread, epfd, events, most).ok()?;
    let count = instance.epoll().ok()?.try_wait(&mut instance.buffer(), timeout == 0)?;
    Some(Ok(count as u64))
}

/// Without a mask it is `epoll_wait`, and what the C library may make of that.
fn try_epoll_pwait(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    timeout: i32,
    mask: Pointer,
    _size: usize,
) -> Option<Result<u64>> {
    if mask.is_null() { try_epoll_wait(thread, epfd, events, most, timeout) } else { None }
}

async fn epoll_pwait(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    timeout: i32,
    mask: Pointer,
    size: usize,
) -> Result<u64> {
    wait_masked(thread, epfd, events, most, deadline_of(timeout), mask, size).await
}

async fn epoll_pwait2(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    timeout: Pointer,
    mask: Pointer,
    size: usize,
) -> Result<u64> {
    let deadline = if timeout.is_null() {
        None
    } else {
        Some(machine::now() + read_timespec(&*thread.space(), timeout).await?)
    };
    wait_masked(thread, epfd, events, most, deadline, mask, size).await
}

/// The deadline of a timeout in milliseconds; a negative one is none.
fn deadline_of(timeout: i32) -> Option<Instant> {
    u64::try_from(timeout).ok().map(|millis| machine::now() + Duration::from_millis(millis))
}

async fn wait_masked(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    deadline: Option<Instant>,
    mask: Pointer,
    size: usize,
) -> Result<u64> {
    if !mask.is_null() {
        check_mask_size(size)?;
        let [bits] = read_words::<1>(&*thread.space(), mask.0).await?;
        borrow_mask(thread, SignalSet(bits));
    }
    let result = wait(thread, epfd, events, most, deadline).await;
    return_mask_unless_interrupted(thread, &result);
    result
}

async fn wait(
    thread: &Thread,
    epfd: Fd,
    events: Pointer,
    most: i32,
    deadline: Option<Instant>,
) -> Result<u64> {
    let instance = Instance::new(thread, epfd, events, most)?;
    let count = instance.epoll()?.wait(&mut instance.buffer(), deadline).await?;
    Ok(count as u64)
}

/// An instance, and where its events go.
struct Instance {
    file: Arc<OpenFile>,
    space: Arc<AddressSpace>,
    events: Pointer,
    bytes: usize,
}

impl Instance {
    fn new(thread: &Thread, epfd: Fd, events: Pointer, most: i32) -> Result<Instance> {
        let file = thread.files().get(epfd.0)?;
        let most = usize::try_from(most).map_err(|_| Errno::EINVAL)?;
        if most == 0 || most > i32::MAX as usize / RECORD_BYTES {
            return Err(Errno::EINVAL);
        }
        let bytes = most * RECORD_BYTES;
        if events.0.checked_add(bytes as u64).is_none_or(|end| end > USER_END) {
            return Err(Errno::EFAULT);
        }
        Ok(Instance { file, space: thread.space(), events, bytes })
    }

    fn epoll(&self) -> Result<&Epoll> {
        Epoll::of(&self.file)
    }

    fn buffer(&self) -> UserBuffer<'_> {
        UserBuffer::new(&*self.space, self.events.0, self.bytes, Access::Write)
    }
}
