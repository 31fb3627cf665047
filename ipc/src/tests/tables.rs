//! Numbers, rights, reservations, sharing.

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::Errno;
use base::sync::atomic::{AtomicBool, Ordering};

use super::support::{Process, now};
use crate::file::{FileNode, FileObject};
use crate::table::reserve::{HANDLES_PER_MESSAGE, set_timeout};
use crate::{AccessOp, Rights};

/// The tests that set the time of reservations, and those that would notice.
fn timeouts() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn rights_only_shrink() {
    let process = Process::new(1);
    let (handle, _peer) = process.channel();
    let narrow =
        process.table.duplicate_handle(&process.caller, handle, Rights::READ | Rights::DUPLICATE, false);
    let narrow = narrow.unwrap();
    assert_eq!(process.table.get(narrow, AccessOp::Write).map(drop), Err(Errno::EACCES));
    assert!(process.table.get(narrow, AccessOp::Read).is_ok());
    let wider = process.table.duplicate_handle(&process.caller, narrow, Rights::all(), false).unwrap();
    assert_eq!(process.get(wider, AccessOp::Read).rights(), Rights::READ | Rights::DUPLICATE);
    let empty = process.table.duplicate_handle(&process.caller, narrow, Rights::MANAGE, false);
    assert_eq!(empty, Err(Errno::EACCES));
    assert_eq!(process.table.narrow(narrow, Rights::READ), Ok(Rights::READ));
    assert_eq!(process.duplicate(narrow), Err(Errno::EACCES));
    assert_eq!(process.table.narrow(narrow, Rights::WRITE), Err(Errno::EACCES));
}

#[test]
fn a_full_table_refuses_and_leaves_no_object() {
    let process = Process::new(1);
    let (first, _) = process.channel();
    for used in 2..=256 {
        assert_eq!(process.table.len(), used);
        let result = process.duplicate(first);
        assert_eq!(result.is_ok(), used < 256, "with {used} numbers used: {result:?}");
    }
    let (one, two) = crate::channel::Endpoint::create(&process.caller).unwrap();
    let ids = [one.object().base().id(), two.object().base().id()];
    assert_eq!(process.table.insert(&process.caller, one, false), Err(Errno::EMFILE));
    drop(two);
    // Another test that walks over all objects may have one for a moment longer.
    while ids.iter().any(|id| crate::object::registry::lookup(*id).is_some()) {
        std::thread::yield_now();
    }
}

#[test]
fn closing_frees_the_number_and_numbers_come_next_fit() {
    let process = Process::new(1);
    let (first, second) = process.channel();
    assert_eq!((first, second), (0, 1));
    process.table.close(first).unwrap();
    assert_eq!(process.table.close(first), Err(Errno::EBADF));
    assert_eq!(process.duplicate(second), Ok(2), "a number that was closed names nothing for a while");
    for bad in [-1, 256, i32::MAX, i32::MIN, 3] {
        assert_eq!(process.table.get_any(bad).map(drop), Err(Errno::EBADF));
        assert_eq!(process.table.close(bad), Err(Errno::EBADF));
    }
}

#[test]
fn all_handles_of_a_message_or_none() {
    let process = Process::new(1);
    let (one, two) = process.channel();
    let fixed =
        process.table.duplicate_handle(&process.caller, one, Rights::READ | Rights::WRITE, false).unwrap();
    assert_eq!(process.send(one, b"", &[two, fixed]), Err(Errno::EACCES));
    assert_eq!(process.send(one, b"", &[fixed, two, two]), Err(Errno::EACCES));
    let (three, _four) = process.channel();
    assert_eq!(process.send(one, b"", &[three, three]), Err(Errno::EBUSY));
    assert_eq!(process.send(one, b"", &[three, 99]), Err(Errno::EBADF));
    for handle in [one, two, three] {
        assert!(process.table.get_any(handle).is_ok(), "{handle} is where it was");
    }
    assert_eq!(process.send(one, b"", &[three]), Ok(()));
    assert_eq!(process.table.get_any(three).map(drop), Err(Errno::EBADF));
}

/// Renews a reservation for several times as long as it lasts, among looks at the table, which sweep. False when the
/// machine held this up for so long that it may have been swept.
fn is_kept_by_renewals(lasts: Duration) -> bool {
    let process = Process::new(1);
    let (handle, peer) = process.channel();
    let start = std::time::Instant::now();
    let mut reserved = process.table.reserve(&process.caller, &[handle]).unwrap();
    let mut renewed = start;
    while start.elapsed() < 3 * lasts {
        std::thread::sleep(Duration::from_millis(2));
        renewed = std::time::Instant::now();
        reserved.renew().unwrap();
        process.table.get_any(peer).unwrap();
        if renewed.elapsed() >= lasts {
            return false;
        }
    }
    drop(reserved);
    let is_there = process.table.get_any(handle).is_ok();
    if renewed.elapsed() >= lasts {
        return false;
    }
    assert!(is_there);
    true
}

#[test]
fn a_reservation_that_is_renewed_is_not_swept() {
    // Long enough for the reservations of other tests, which it concerns as well.
    const LASTS: Duration = Duration::from_millis(200);
    let _times = timeouts();
    let before = set_timeout(LASTS);
    while !is_kept_by_renewals(LASTS) {}
    set_timeout(before);
}

#[test]
fn a_fork_has_the_same_numbers_as_derived_capabilities() {
    let parent = Process::new(1);
    let (one, two) = parent.channel();
    let reserved = parent.table.reserve(&parent.caller, &[two]).unwrap();
    let child = parent.fork(2);
    assert_eq!(child.table.get_any(two).map(drop), Err(Errno::EBADF), "what is being sent is a hole");
    drop(reserved);
    let (ours, theirs) = (parent.table.info(one).unwrap(), child.table.info(one).unwrap());
    assert_eq!((ours.object, ours.rights), (theirs.object, theirs.rights));
    assert_ne!(ours.capability, theirs.capability);
    parent.table.begin_revocation(one, false).map(drop).unwrap();
    assert_eq!(child.table.get_any(one).map(drop), Err(Errno::EBADF));
    assert!(parent.table.get_any(one).is_ok());
    child.exit();
}

#[test]
fn exec_closes_what_is_marked_and_everything_for_a_program_with_more_rights() {
    let process = Process::new(1);
    let (kept, _) = process.channel();
    let marked = process.table.duplicate_handle(&process.caller, kept, Rights::empty(), true).unwrap();
    now(process.table.close_on_exec(false));
    assert!(process.table.get_any(kept).is_ok());
    assert!(process.table.get_any(marked).is_err());
    now(process.table.close_on_exec(true));
    assert!(process.table.is_empty());
}

#[test]
fn a_shared_table_closes_with_its_last_user() {
    let process = Process::new(1);
    let (one, two) = process.channel();
    let thread = process.table.share();
    let peer = process.end(two);
    let _ = one;
    now(thread.leave());
    assert!(process.table.get_any(one).is_ok());
    let table = process.table.clone();
    process.exit();
    assert!(table.is_empty());
    assert!(!peer.status().is_open);
}

#[test]
fn rows_show_what_is_being_sent() {
    let process = Process::new(1);
    let (one, two) = process.channel();
    let reserved = process.table.reserve(&process.caller, &[one]).unwrap();
    let row = process.table.next_row(0).unwrap();
    assert_eq!((row.handle, row.reserved, row.rights), (one, true, Rights::CHANNEL));
    let row = process.table.next_row(1).unwrap();
    assert_eq!((row.handle, row.reserved), (two, false));
    assert!(process.table.next_row(2).is_none());
    drop(reserved);
}

/// A file that must not end while a lock is held.
struct Unlocked(Arc<AtomicBool>);

impl Drop for Unlocked {
    fn drop(&mut self) {
        base::sync::assert_none_held();
        self.0.store(true, Ordering::Relaxed);
    }
}

impl FileObject for Unlocked {
    fn as_any(self: Arc<Self>) -> Arc<dyn core::any::Any + Send + Sync> {
        self
    }
}

/// The receiver closes what was sent before the sender's number is free: the reservation is the last to know it.
#[test]
fn what_was_committed_ends_outside_the_tables_lock() {
    let process = Process::new(1);
    let ended = Arc::new(AtomicBool::new(false));
    let file = Arc::new(Unlocked(ended.clone()));
    let capability = FileNode::capability(&process.caller, file, Rights::all()).unwrap();
    let handle = process.table.insert(&process.caller, capability, false).unwrap();
    let mut reserved = process.table.reserve(&process.caller, &[handle]).unwrap();
    let mut handles = [const { None }; HANDLES_PER_MESSAGE];
    reserved.commit(&mut handles);
    drop(handles);
    assert!(!ended.load(Ordering::Relaxed));
    assert!(reserved.release());
    assert!(ended.load(Ordering::Relaxed));
    assert!(process.table.is_empty());
}
