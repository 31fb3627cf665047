//! Signals: masks, handlers, and a log of what was delivered.

use super::{Sys, last_errno, zeroed};
use libc::{c_void, siginfo_t, timespec};
use std::sync::Mutex;

/// A signal set as the kernel has it.
pub(crate) type Mask = u64;

pub(crate) const NO_SIGNALS: Mask = 0;

/// The set of these signals.
pub(crate) fn mask_of(signals: &[i32]) -> Mask {
    signals.iter().fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// `rt_sigprocmask`; returns the old mask.
pub(crate) fn change_mask(how: i32, mask: Mask) -> Mask {
    let mut old: Mask = 0;
    syscall!(SYS_rt_sigprocmask, how, &mask, &mut old, 8).expect("rt_sigprocmask");
    old
}

pub(crate) fn block(signals: &[i32]) -> Mask {
    change_mask(libc::SIG_BLOCK, mask_of(signals))
}

pub(crate) fn unblock(signals: &[i32]) -> Mask {
    change_mask(libc::SIG_UNBLOCK, mask_of(signals))
}

/// The calling thread's mask.
pub(crate) fn current_mask() -> Mask {
    let mut old: Mask = 0;
    syscall!(SYS_rt_sigprocmask, libc::SIG_BLOCK, 0, &mut old, 8).expect("rt_sigprocmask");
    old
}

/// Signals that wait to be delivered.
pub(crate) fn pending() -> Mask {
    let mut set: Mask = 0;
    syscall!(SYS_rt_sigpending, &mut set, 8).expect("rt_sigpending");
    set
}

/// The kind of handler that gets a siginfo.
pub(crate) type Handler = extern "C" fn(i32, *mut siginfo_t, *mut c_void);

/// Installs a handler (SA_SIGINFO is added) with an empty mask.
pub(crate) fn on_signal(signal: i32, handler: Handler, flags: i32) {
    on_signal_masked(signal, handler, flags, &[]);
}

/// Installs a handler that runs with these signals blocked.
pub(crate) fn on_signal_masked(signal: i32, handler: Handler, flags: i32, masked: &[i32]) {
    let mut action: libc::sigaction = zeroed();
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = flags | libc::SA_SIGINFO;
    for signal in masked {
        // SAFETY: the set is a live local.
        unsafe { libc::sigaddset(&mut action.sa_mask, *signal) };
    }
    install(signal, &action);
}

/// SIG_DFL or SIG_IGN, with flags.
pub(crate) fn set_disposition(signal: i32, disposition: usize, flags: i32) {
    let mut action: libc::sigaction = zeroed();
    action.sa_sigaction = disposition;
    action.sa_flags = flags;
    install(signal, &action);
}

pub(crate) fn ignore(signal: i32) {
    set_disposition(signal, libc::SIG_IGN, 0);
}

pub(crate) fn reset(signal: i32) {
    set_disposition(signal, libc::SIG_DFL, 0);
}

fn install(signal: i32, action: &libc::sigaction) {
    // SAFETY: the handlers of the suite only call the kernel and touch the log below.
    let result = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    assert_eq!(result, 0, "sigaction({signal}): {:?}", last_errno());
}

/// `(handler, flags)` now installed.
pub(crate) fn disposition(signal: i32) -> (usize, i32) {
    let mut action: libc::sigaction = zeroed();
    // SAFETY: only reads into a live local.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    assert_eq!(result, 0, "sigaction({signal}): {:?}", last_errno());
    (action.sa_sigaction, action.sa_flags)
}

/// One delivery as the recording handler saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delivery {
    pub(crate) signal: i32,
    /// si_code.
    pub(crate) code: i32,
    /// si_pid; meaningful by code.
    pub(crate) pid: i32,
    /// si_value as an integer (or si_status); meaningful by code.
    pub(crate) value: i32,
    /// The thread that ran the handler.
    pub(crate) tid: i32,
    /// The mask the handler ran with.
    pub(crate) mask: Mask,
}

/// At most this many deliveries are kept (a case that has more fails).
const LOG_SIZE: usize = 4096;

static LOG: Mutex<Log> = Mutex::new(Log { entries: [None; LOG_SIZE], len: 0 });

struct Log {
    entries: [Option<Delivery>; LOG_SIZE],
    len: usize,
}

/// Appends the delivery to the log. Handlers of the suite may interrupt each other, but never
/// code that holds the log's lock: `deliveries` blocks all signals while it looks.
extern "C" fn record(signal: i32, info: *mut siginfo_t, _context: *mut c_void) {
    let saved = change_mask(libc::SIG_SETMASK, !0);
    // SAFETY: the kernel passes a valid siginfo; the fields overlay plain integers.
    let (code, pid, value) =
        unsafe { ((*info).si_code, (*info).si_pid(), (*info).si_value().sival_ptr as usize as i32) };
    let tid = super::gettid();
    let mut log = LOG.lock().expect("the log's lock");
    let at = log.len;
    assert!(at < LOG_SIZE, "more deliveries than the log holds");
    log.entries[at] = Some(Delivery { signal, code, pid, value, tid, mask: saved });
    log.len += 1;
    drop(log);
    change_mask(libc::SIG_SETMASK, saved);
}

/// Installs the recording handler.
pub(crate) fn catch(signal: i32, flags: i32) {
    on_signal(signal, record, flags);
}

/// Installs the recording handler, which then runs with these signals blocked.
pub(crate) fn catch_masked(signal: i32, flags: i32, masked: &[i32]) {
    on_signal_masked(signal, record, flags, masked);
}

/// The recording handler's address, as `disposition` shows it.
pub(crate) fn recorder() -> usize {
    record as *const () as usize
}

/// All deliveries recorded so far, in order.
pub(crate) fn deliveries() -> Vec<Delivery> {
    let saved = change_mask(libc::SIG_SETMASK, !0);
    let log = LOG.lock().expect("the log's lock");
    let copy = log.entries[..log.len].iter().flatten().copied().collect();
    drop(log);
    change_mask(libc::SIG_SETMASK, saved);
    copy
}

/// The signals recorded so far, in order.
pub(crate) fn delivered_signals() -> Vec<i32> {
    deliveries().iter().map(|delivery| delivery.signal).collect()
}

/// How often the signal was recorded.
pub(crate) fn times_delivered(signal: i32) -> usize {
    delivered_signals().iter().filter(|one| **one == signal).count()
}

/// Sends to one thread.
pub(crate) fn tgkill(pid: i32, tid: i32, signal: i32) -> Sys<()> {
    syscall!(SYS_tgkill, pid, tid, signal).map(drop)
}

/// Sends to the calling thread.
pub(crate) fn raise(signal: i32) {
    tgkill(super::getpid(), super::gettid(), signal).expect("tgkill");
}

/// Queues a signal with a value (`sigqueue`).
pub(crate) fn queue(pid: i32, signal: i32, value: i32) -> Sys<()> {
    let mut info = [0i32; 32];
    info[0] = signal;
    info[2] = libc::SI_QUEUE;
    info[4] = super::getpid();
    info[5] = syscall!(SYS_getuid).expect("getuid") as i32;
    info[6] = value;
    syscall!(SYS_rt_sigqueueinfo, pid, signal, &mut info).map(drop)
}

/// `(signal, si_code, value)` of the next pending signal of the set.
pub(crate) fn timed_wait(mask: Mask, timeout: Option<timespec>) -> Sys<(i32, i32, i32)> {
    let mut info: siginfo_t = zeroed();
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let signal = syscall!(SYS_rt_sigtimedwait, &mask, &mut info, timeout, 8)?;
    // SAFETY: the fields overlay plain integers that were zeroed.
    let value = unsafe { info.si_value().sival_ptr as usize as i32 };
    Ok((signal as i32, info.si_code, value))
}

/// Makes this memory the alternate signal stack of the calling thread.
pub(crate) fn use_alternate_stack(at: usize, len: usize) {
    let stack = libc::stack_t { ss_sp: std::ptr::with_exposed_provenance_mut(at), ss_flags: 0, ss_size: len };
    syscall!(SYS_sigaltstack, &stack, 0).expect("sigaltstack");
}
