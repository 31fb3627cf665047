//! Reservations, lineage and histories.

use alloc::vec::Vec;
use core::time::Duration;

use base::{Errno, machine};

use super::support::{Process, events};
use crate::AccessOp;
use crate::channel::Options;
use crate::object::registry;
use crate::table::reserve::{Ticket, set_timeout, timeout};

executor::selftests![
    khandle_transfer_reserve_transaction,
    khandle_reserved_transfer_timeout_sweep,
    kcap_duplicate_close_stress,
    kobj_ops_transfer_history,
];

/// A reserved handle is hidden; a wrong token or generation is refused; the right abort restores; a commit empties.
async fn khandle_transfer_reserve_transaction() {
    let process = Process::new(1);
    let (handle, peer) = process.channel();
    let reserved = process.table.reserve(&process.caller, &[handle]).expect("a reservation");
    assert_eq!(process.table.get_any(handle).map(drop), Err(Errno::EBADF), "it is hidden");
    assert_eq!(process.table.reserve(&process.caller, &[handle]).map(drop), Err(Errno::EBUSY));
    let ticket = reserved.tickets().next().expect("one handle");
    assert_eq!(process.table.check_reservation(ticket), Ok(()));
    for wrong in
        [Ticket { token: ticket.token + 1, ..ticket }, Ticket { generation: ticket.generation + 1, ..ticket }]
    {
        assert_eq!(process.table.check_reservation(wrong), Err(Errno::EAGAIN));
    }
    drop(reserved);
    let access = process.get(handle, AccessOp::Transfer);
    assert_eq!(events(&access), ["take", "restore"]);
    let (to, from) = process.channel();
    process.send(to, b"", &[handle]).expect("room");
    assert_eq!(process.table.get_any(handle).map(drop), Err(Errno::EBADF), "it went");
    assert_eq!(process.table.check_reservation(ticket), Err(Errno::EBADF));
    let (_, handles) = process.receive(from).expect("a message").expect("no end");
    assert_eq!(handles.len(), 1);
    for handle in [handles[0], peer, to, from] {
        process.table.close(handle).expect("a handle");
    }
}

/// A reservation that nobody finishes frees its number in time, driven by other operations alone.
async fn khandle_reserved_transfer_timeout_sweep() {
    // The clock of the host's simulation jumps, and the time is one for all tests.
    let before = cfg!(not(test)).then(|| set_timeout(Duration::from_millis(120)));
    let process = Process::new(1);
    let (handle, peer) = process.channel();
    let reserved = process.table.reserve(&process.caller, &[handle]).expect("a reservation");
    let id = reserved.capabilities().next().expect("one handle").object().base().id();
    core::mem::forget(reserved);
    let used = process.table.len();
    let latest = machine().now() + timeout() + Duration::from_secs(4);
    while process.table.len() == used {
        let copy = process.duplicate(peer).expect("a copy");
        process.table.close(copy).expect("the copy");
        assert!(machine().now() < latest, "the number was never freed");
        executor::sleep_until(machine().now() + Duration::from_millis(10)).await;
    }
    before.map(set_timeout);
    let object = registry::lookup(id).expect("the leaked value still keeps it");
    let mut last = None;
    object.transfers(|transfer| last = Some(transfer.event.name()));
    assert_eq!(last, Some("drop"));
}

/// Copies that come and go leave nothing behind.
async fn kcap_duplicate_close_stress() {
    let process = Process::new(1);
    let (root, peer) = process.channel();
    let used = process.table.len();
    for _ in 0..1024 {
        let copy = process.duplicate(root).expect("a copy");
        process.table.close(copy).expect("the copy");
    }
    assert_eq!(process.table.len(), used);
    process.table.begin_revocation(root, false).map(drop).expect("the root");
    assert!(process.table.get_any(root).is_ok());
    for handle in [root, peer] {
        process.table.close(handle).expect("a handle");
    }
}

/// The generic operations work, and what moves is in the history of what moved.
async fn kobj_ops_transfer_history() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (near, far) = (process.get(to, AccessOp::Write), process.get(from, AccessOp::Read));
    assert_eq!(near.object().write(&process.caller, b"x", Options::NONBLOCK), Ok(1));
    let mut byte = [0; 1];
    assert_eq!(far.object().read(&process.caller, &mut byte), Ok(1));
    assert_eq!(byte, *b"x");
    let (moved, peer) = process.channel();
    let access = process.get(moved, AccessOp::Transfer);
    process.send(to, b"", &[moved]).expect("room");
    let (_, handles) = process.receive(from).expect("a message").expect("no end");
    let seen: Vec<&str> = events(&access);
    assert_eq!(seen, ["take", "enqueue", "deliver", "install", "release"]);
    for handle in [handles[0], peer, to, from] {
        process.table.close(handle).expect("a handle");
    }
}
