//! `/proc/sys/fs/mqueue`, and what a user may have. Source: `mq_overview(7)`, `getrlimit(2)`.

use alloc::collections::BTreeMap;
use core::fmt::Write;

use base::caller::{Caller, Capabilities, Resource};
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use fs::procfs::ProcFs;
use fs::pseudo::Text;

/// The limits of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages in it.
    pub messages: u64,
    /// Bytes of a message.
    pub bytes: u64,
}

/// Messages in a queue that not even the privileged can pass.
const HARD_MESSAGES: u64 = 65_536;
/// Bytes of a message that not even the privileged can pass.
const HARD_BYTES: u64 = 16 << 20;
/// Priorities that there are.
pub const PRIORITIES: u32 = 32_768;
/// What Linux counts for the place of a message, and for that of a priority.
const PLACE_BYTES: u64 = 48;

/// A file of the directory: its name, the usual value, and the lowest and highest that it can have.
struct Setting {
    name: &'static str,
    value: AtomicU64,
    least: u64,
    most: u64,
}

impl Setting {
    const fn new(name: &'static str, value: u64, least: u64, most: u64) -> Setting {
        Setting { name, value: AtomicU64::new(value), least, most }
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

static QUEUES_MAX: Setting = Setting::new("queues_max", 256, 0, i32::MAX as u64);
static MSG_MAX: Setting = Setting::new("msg_max", 10, 1, HARD_MESSAGES);
static MSGSIZE_MAX: Setting = Setting::new("msgsize_max", 8192, 128, HARD_BYTES);
static MSG_DEFAULT: Setting = Setting::new("msg_default", 10, 1, HARD_MESSAGES);
static MSGSIZE_DEFAULT: Setting = Setting::new("msgsize_default", 8192, 128, HARD_BYTES);

/// Puts the files in place.
pub fn publish(proc: &ProcFs) {
    let directory = proc.tree.directory(&proc.sys_fs, "mqueue");
    for setting in [&QUEUES_MAX, &MSG_MAX, &MSGSIZE_MAX, &MSG_DEFAULT, &MSGSIZE_DEFAULT] {
        let show = |_: &_, text: &mut Text| {
            // A full text is noticed by the frame.
            let _ = writeln!(text, "{}", setting.get());
            Ok(())
        };
        proc.tree.writable(&directory, setting.name, show, |_, bytes| {
            let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
            let value: u64 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
            if !(setting.least..=setting.most).contains(&value) {
                return Err(Errno::EINVAL);
            }
            setting.value.store(value, Ordering::Relaxed);
            Ok(())
        });
    }
}

/// The limits of a new queue of the caller: those that it asks for, or the usual ones.
///
/// # Errors
///
/// `EINVAL` for limits that it may not have.
pub fn admit(caller: &Caller, wanted: Option<Limits>) -> Result<Limits> {
    let Some(wanted) = wanted else {
        let messages = MSG_DEFAULT.get().min(MSG_MAX.get());
        return Ok(Limits { messages, bytes: MSGSIZE_DEFAULT.get().min(MSGSIZE_MAX.get()) });
    };
    let most = match caller.credentials.capable(Capabilities::SYS_RESOURCE) {
        true => Limits { messages: HARD_MESSAGES, bytes: HARD_BYTES },
        false => Limits { messages: MSG_MAX.get(), bytes: MSGSIZE_MAX.get() },
    };
    let fits = (1..=most.messages).contains(&wanted.messages) && (1..=most.bytes).contains(&wanted.bytes);
    if fits { Ok(wanted) } else { Err(Errno::EINVAL) }
}

/// Queues that there are, and the bytes that each user's queues may come to hold.
static USAGE: SpinLock<(u64, BTreeMap<u32, u64>)> = SpinLock::new(LockClass::Registry, (0, BTreeMap::new()));

/// What a queue counts for: given back by its drop.
#[derive(Debug)]
pub struct Share {
    uid: u32,
    bytes: u64,
}

impl Share {
    /// Counts a queue with these limits for the caller.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are too many queues; `EMFILE` past `RLIMIT_MSGQUEUE`.
    pub fn take(caller: &Caller, limits: Limits) -> Result<Share> {
        let places = limits.messages + limits.messages.min(PRIORITIES.into());
        let bytes = limits.messages * limits.bytes + places * PLACE_BYTES;
        let uid = caller.credentials.uid;
        let mut usage = USAGE.lock();
        let may_exceed = caller.credentials.capable(Capabilities::SYS_RESOURCE);
        if usage.0 >= QUEUES_MAX.get() && !may_exceed {
            return Err(Errno::ENOSPC);
        }
        let before = usage.1.get(&uid).copied().unwrap_or(0);
        if before + bytes > caller.limits.soft(Resource::MessageQueues) {
            return Err(Errno::EMFILE);
        }
        usage.0 += 1;
        usage.1.insert(uid, before + bytes);
        Ok(Share { uid, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut usage = USAGE.lock();
        usage.0 -= 1;
        if let Some(bytes) = usage.1.get_mut(&self.uid) {
            *bytes -= self.bytes;
            if *bytes == 0 {
                usage.1.remove(&self.uid);
            }
        }
    }
}
