//! How many items a user may have in all instances: `/proc/sys/fs/epoll/max_user_watches`. Source: `epoll(7)`.

use alloc::collections::BTreeMap;
use core::fmt::Write;

use base::frame::PAGE_SIZE;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{Lazy, LockClass, SpinLock};
use base::{Errno, Result, machine};

use super::control::ITEM_BYTES;
use crate::procfs::ProcFs;
use crate::pseudo::Text;

/// By default items may take a tenth of the memory: about as many as on Linux, where they take a twenty-fifth and are
/// smaller.
const PART_OF_MEMORY: usize = 10;

static MOST: Lazy<AtomicU64> = Lazy::new(|| {
    let bytes = machine().frames().total() / PART_OF_MEMORY * PAGE_SIZE;
    AtomicU64::new((bytes / ITEM_BYTES) as u64)
});

static ITEMS: SpinLock<BTreeMap<u32, u64>> = SpinLock::new(LockClass::Registry, BTreeMap::new());

/// One item that is counted for a user; dropped, it counts no more.
pub(super) struct Counted {
    uid: u32,
}

impl Counted {
    /// Counts one more item for `uid`.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when the user has as many as it may.
    pub(super) fn new(uid: u32) -> Result<Counted> {
        let most = MOST.load(Ordering::Relaxed);
        let mut items = ITEMS.lock();
        let count = items.entry(uid).or_default();
        if *count >= most {
            return Err(Errno::ENOSPC);
        }
        *count += 1;
        Ok(Counted { uid })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut items = ITEMS.lock();
        if let Some(count) = items.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                items.remove(&self.uid);
            }
        }
    }
}

/// Puts the file in place.
pub(crate) fn publish(proc: &ProcFs) {
    let directory = proc.tree.directory(&proc.sys_fs, "epoll");
    let show = |_: &_, text: &mut Text| {
        // A full text is noticed by the frame.
        let _ = writeln!(text, "{}", MOST.load(Ordering::Relaxed));
        Ok(())
    };
    proc.tree.writable(&directory, "max_user_watches", show, |_, bytes| {
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let value: i64 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        MOST.store(u64::try_from(value).map_err(|_| Errno::EINVAL)?, Ordering::Relaxed);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_its_own_count() {
        crate::testing::machine();
        let first = Counted::new(91_001).unwrap();
        let second = Counted::new(91_001).unwrap();
        let _other = Counted::new(91_002).unwrap();
        assert_eq!(ITEMS.lock().get(&91_001), Some(&2));
        drop((first, second));
        assert_eq!(ITEMS.lock().get(&91_001), None);
    }
}
