//! Making tasks, ending them, and waiting for them.

use base::memory::UserMemory;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::{USER_END, UserContext};
use crate::process::children::{Found, Selector, WaitOptions};
use crate::process::clone::clone as make;
use crate::process::clone_flags::{CloneFlags, CloneRequest, NAMESPACES};
use crate::process::ending::ExitStatus;
use crate::process::pidfd::PidFd;
use crate::process::{rusage, wait};
use crate::signal::Signal;
use crate::signal::send::end_process;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, write_u32};

declare! {
    context 56 => clone(flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64);
    context 57 => fork();
    context 58 => vfork();
    sync 60 => exit(status: i32);
    async 61 => wait4(pid: i32, status: Pointer, options: u32, usage: Pointer) [restart];
    sync 218 => set_tid_address(word: u64);
    sync 231 => exit_group(status: i32);
    async 247 => waitid(kind: i32, id: i32, info: Pointer, options: u32, usage: Pointer) [restart];
    async 272 => unshare(flags: u64);
    context 435 => clone3(arguments: Pointer, size: usize);
}

async fn fork(thread: &Thread, context: &mut UserContext) -> Result<u64> {
    let request = CloneRequest { exit_signal: Signal::SIGCHLD.number().into(), ..CloneRequest::default() };
    make(thread, context, request).await
}

async fn vfork(thread: &Thread, context: &mut UserContext) -> Result<u64> {
    let flags = CloneFlags::VFORK | CloneFlags::VM;
    let exit_signal = Signal::SIGCHLD.number().into();
    make(thread, context, CloneRequest { flags, exit_signal, ..CloneRequest::default() }).await
}

async fn clone(
    thread: &Thread,
    context: &mut UserContext,
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
) -> Result<u64> {
    make(thread, context, CloneRequest::legacy(flags, stack, parent_tid, child_tid, tls)).await
}

/// Words of `struct clone_args` in its first published form.
const CLONE_ARGS_FIRST: usize = 8;
/// Words that this kernel knows.
const CLONE_ARGS_WORDS: usize = 11;

async fn clone3(thread: &Thread, context: &mut UserContext, arguments: Pointer, size: usize) -> Result<u64> {
    let words = read_clone_args(&*thread.space(), arguments.0, size).await?;
    let [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, _] =
        words;
    let known = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let no_stack = stack == 0 && stack_size != 0 || stack != 0 && stack_size == 0;
    let end_of_stack = stack.checked_add(stack_size).filter(|&end| end <= USER_END).ok_or(Errno::EINVAL)?;
    let owned = known.intersects(CloneFlags::THREAD | CloneFlags::PARENT);
    if (set_tid == 0) != (set_tid_size == 0)
        || exit_signal > Signal::COUNT as u64
        || known.contains(CloneFlags::DETACHED)
        || owned && exit_signal != 0
        || no_stack
    {
        return Err(Errno::EINVAL);
    }
    let wanted = if set_tid == 0 { 0 } else { wanted_id(thread, set_tid, set_tid_size).await? };
    let request = CloneRequest {
        flags: known,
        exit_signal: u32::try_from(exit_signal).unwrap_or(0),
        stack: end_of_stack,
        pidfd,
        parent_tid,
        child_tid,
        tls,
        wanted,
    };
    make(thread, context, request).await
}

/// Reads as much of the structure as the program has. What this kernel does not know must be zero.
async fn read_clone_args(memory: &dyn UserMemory, from: u64, size: usize) -> Result<[u64; CLONE_ARGS_WORDS]> {
    const KNOWN: usize = CLONE_ARGS_WORDS * 8;
    if size > base::frame::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGS_FIRST * 8 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0u8; size.max(KNOWN)];
    copy_in(memory, from, bytes.get_mut(..size).ok_or(Errno::EINVAL)?).await?;
    let (known, rest) = bytes.split_at(KNOWN);
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut words = [0; CLONE_ARGS_WORDS];
    for (word, chunk) in words.iter_mut().zip(known.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    Ok(words)
}

/// The id that `set_tid` asks for.
async fn wanted_id(thread: &Thread, list: u64, count: u64) -> Result<u32> {
    // `CAP_CHECKPOINT_RESTORE`, which only this needs.
    const RESTORE: base::caller::Capabilities = base::caller::Capabilities::from_bits_retain(1 << 40);
    if count != 1 {
        return Err(Errno::EINVAL);
    }
    let wanted = crate::user::read_u32(&*thread.space(), list).await?;
    if wanted == 0 || wanted >= crate::process::numbers::PID_MAX {
        return Err(Errno::EINVAL);
    }
    let credentials = thread.credentials();
    let may = credentials.capable(RESTORE) || credentials.capable(base::caller::Capabilities::SYS_ADMIN);
    if may { Ok(wanted) } else { Err(Errno::EPERM) }
}

fn exit(thread: &Thread, status: i32) -> Result<u64> {
    thread.exit(low_byte(status));
    Ok(0)
}

fn exit_group(thread: &Thread, status: i32) -> Result<u64> {
    end_process(thread.process(), ExitStatus::Code(low_byte(status)));
    Ok(0)
}

fn low_byte(status: i32) -> u8 {
    status.to_le_bytes()[0]
}

fn set_tid_address(thread: &Thread, word: u64) -> Result<u64> {
    thread.words().set_clear_child_tid(word);
    Ok(thread.tid().into())
}

async fn wait4(thread: &Thread, pid: i32, status: Pointer, options: u32, usage: Pointer) -> Result<u64> {
    const ALLOWED: WaitOptions = WaitOptions::NOHANG
        .union(WaitOptions::STOPPED)
        .union(WaitOptions::CONTINUED)
        .union(WaitOptions::NOTHREAD)
        .union(WaitOptions::CLONE)
        .union(WaitOptions::ALL);
    let options = WaitOptions::from_bits(options).filter(|&o| ALLOWED.contains(o)).ok_or(Errno::EINVAL)?;
    let selector = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Selector::Any,
        0 => Selector::Group(thread.process().group()),
        pid if pid < 0 => Selector::Group(pid.unsigned_abs()),
        pid => Selector::Process(pid.unsigned_abs()),
    };
    let Some(found) = wait::wait(thread, selector, options | WaitOptions::EXITED).await? else {
        return Ok(0);
    };
    let space = thread.space();
    if !status.is_null() {
        write_u32(&*space, status.0, found.change.to_wait_status().cast_unsigned()).await?;
    }
    if !usage.is_null() {
        copy_out(&*space, usage.0, &rusage::encode(&found.used)).await?;
    }
    Ok(found.pid.into())
}

const P_ALL: i32 = 0;
const P_PID: i32 = 1;
const P_PGID: i32 = 2;
const P_PIDFD: i32 = 3;

async fn waitid(
    thread: &Thread,
    kind: i32,
    id: i32,
    info: Pointer,
    options: u32,
    usage: Pointer,
) -> Result<u64> {
    let changes = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    let options = WaitOptions::from_bits(options).filter(|o| o.intersects(changes)).ok_or(Errno::EINVAL)?;
    let mut nonblocking = false;
    let selector = match (kind, id) {
        (P_ALL, _) => Selector::Any,
        (P_PIDFD, 0..) => {
            let file = thread.files().get(id)?;
            nonblocking = file.is_nonblocking();
            Selector::Keyed(PidFd::process_of(&file)?.key())
        }
        (P_PID, 1..) => Selector::Process(id.unsigned_abs()),
        (P_PGID, 0) => Selector::Group(thread.process().group()),
        (P_PGID, 1..) => Selector::Group(id.unsigned_abs()),
        _ => return Err(Errno::EINVAL),
    };
    let now_or_never = if nonblocking { WaitOptions::NOHANG } else { WaitOptions::empty() };
    let found = wait::wait(thread, selector, options | now_or_never).await?;
    if found.is_none() && !options.contains(WaitOptions::NOHANG) {
        return Err(Errno::EAGAIN);
    }
    let space = thread.space();
    if let Some(found) = found.as_ref().filter(|_| !usage.is_null()) {
        copy_out(&*space, usage.0, &rusage::encode(&found.used)).await?;
    }
    if !info.is_null() {
        write_child_info(&*space, info.0, found.as_ref()).await?;
    }
    Ok(0)
}

/// The fields of `siginfo_t` that waitid(2) sets; all zero when nothing was found.
async fn write_child_info(memory: &dyn UserMemory, to: u64, found: Option<&Found>) -> Result<()> {
    let (signal, code, status, pid, uid) = match found {
        None => (0, 0, 0, 0, 0),
        Some(found) => {
            let (code, status) = found.change.to_siginfo();
            let signal = Signal::SIGCHLD.number().into();
            (signal, code.cast_unsigned(), status.cast_unsigned(), found.pid, found.uid)
        }
    };
    let mut bytes = [0; 28];
    for (at, word) in [(0, signal), (4, 0), (8, code), (16, pid), (20, uid), (24, status)] {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&u32::to_le_bytes(word));
        }
    }
    copy_out(memory, to, &bytes[..12]).await?;
    copy_out(memory, to.wrapping_add(16), &bytes[16..]).await
}

async fn unshare(thread: &Thread, flags: u64) -> Result<u64> {
    let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let supported = CloneFlags::FS | CloneFlags::FILES | CloneFlags::SYSVSEM;
    let alone_only = CloneFlags::THREAD | CloneFlags::SIGHAND | CloneFlags::VM;
    if !(supported | alone_only | NAMESPACES).contains(flags) {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(alone_only) && thread.process().live_threads() > 1 {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(NAMESPACES) {
        let may = thread.credentials().capable(base::caller::Capabilities::SYS_ADMIN);
        return Err(if may { Errno::EINVAL } else { Errno::EPERM });
    }
    thread.unshare(flags.contains(CloneFlags::FS), flags.contains(CloneFlags::FILES)).await?;
    if flags.contains(CloneFlags::SYSVSEM)
        && let Some(list) = thread.semaphore_undo().leave()
    {
        list.take_back(thread.process().pid()).await;
    }
    Ok(0)
}
