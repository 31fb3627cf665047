//! The limits that `/proc/sys/kernel` shows and root may change. Source: `proc(5)`, `sysvipc(7)`.

use core::fmt::Write;

use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, Result};
use fs::procfs::ProcFs;
use fs::pseudo::Text;

use super::ids::MOST;

/// One limit: what it is now, and how far it can be raised.
pub struct Setting {
    value: AtomicU64,
    most: u64,
}

impl Setting {
    const fn new(value: u64, most: u64) -> Setting {
        Setting { value: AtomicU64::new(value), most }
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// An `int` cannot say more.
const INT_MAX: u64 = i32::MAX as u64;
/// Linux's default for what is not limited: near the largest number, with room for sums.
const NO_LIMIT: u64 = u64::MAX - (1 << 24);

/// `SEMMSL`: semaphores in a set.
pub static SEMAPHORES_PER_SET: Setting = Setting::new(32_000, 65_536);
/// `SEMMNS`: semaphores in all sets.
pub static SEMAPHORES: Setting = Setting::new(1_024_000_000, INT_MAX);
/// `SEMOPM`: operations in one call.
pub static OPERATIONS: Setting = Setting::new(500, 65_536);
/// `SEMMNI`: sets of semaphores.
pub static SETS: Setting = Setting::new(32_000, MOST);
/// `MSGMAX`: bytes of a message.
pub static MESSAGE_BYTES: Setting = Setting::new(8192, INT_MAX);
/// `MSGMNB`: bytes in a new queue.
pub static QUEUE_BYTES: Setting = Setting::new(16_384, INT_MAX);
/// `MSGMNI`: message queues.
pub static QUEUES: Setting = Setting::new(32_000, MOST);
/// `SHMMAX`: bytes of a segment.
pub static SEGMENT_BYTES: Setting = Setting::new(NO_LIMIT, u64::MAX);
/// `SHMALL`: pages of all segments.
pub static SEGMENT_PAGES: Setting = Setting::new(NO_LIMIT, u64::MAX);
/// `SHMMNI`: segments.
pub static SEGMENTS: Setting = Setting::new(4096, MOST);

/// Files of `/proc/sys/kernel`, each with the numbers in it.
const FILES: [(&str, &[&Setting]); 7] = [
    ("sem", &[&SEMAPHORES_PER_SET, &SEMAPHORES, &OPERATIONS, &SETS]),
    ("msgmax", &[&MESSAGE_BYTES]),
    ("msgmnb", &[&QUEUE_BYTES]),
    ("msgmni", &[&QUEUES]),
    ("shmmax", &[&SEGMENT_BYTES]),
    ("shmall", &[&SEGMENT_PAGES]),
    ("shmmni", &[&SEGMENTS]),
];

/// Puts the files in place.
pub fn publish(proc: &ProcFs) {
    for (name, settings) in FILES {
        let show = move |_: &_, text: &mut Text| {
            show(settings, text);
            Ok(())
        };
        proc.tree.writable(&proc.sys_kernel, name, show, move |_, bytes| store(settings, bytes));
    }
}

/// A line of the numbers, with tabs between them.
fn show(settings: &[&Setting], text: &mut Text) {
    for (index, setting) in settings.iter().enumerate() {
        // A full text is noticed by the frame.
        let _ = write!(text, "{}{}", if index == 0 { "" } else { "\t" }, setting.get());
    }
    let _ = writeln!(text);
}

/// Takes the numbers from the first on; those that are not said stay. A number out of range is the end of it.
fn store(settings: &[&Setting], bytes: &[u8]) -> Result<()> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    for (setting, word) in settings.iter().zip(text.split_ascii_whitespace()) {
        let value: u64 = word.parse().map_err(|_| Errno::EINVAL)?;
        if value > setting.most {
            return Err(Errno::EINVAL);
        }
        setting.value.store(value, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_from_the_left() {
        let (first, second) = (Setting::new(1, 10), Setting::new(2, 10));
        let both = [&first, &second];
        assert_eq!(store(&both, b"5\n"), Ok(()));
        assert_eq!(store(&both, b"7 11"), Err(Errno::EINVAL));
        assert_eq!(store(&both, b"x"), Err(Errno::EINVAL));
        assert_eq!((first.get(), second.get()), (7, 2));
        let mut text = Text::default();
        show(&both, &mut text);
        assert_eq!(text.as_bytes(), b"7\t2\n");
    }
}
