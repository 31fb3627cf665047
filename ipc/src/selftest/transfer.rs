//! Reservations, lineage and histories.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, machine};
use executor::pollwait::Events;

use super::support::{Crew, Process, events, send};
use crate::channel::Options;
use crate::object::history::REFERENCES;
use crate::object::registry;
use crate::port::{Port, Signals};
use crate::table::reserve::{Ticket, set_timeout, timeout};
use crate::{Access, AccessOp};

executor::selftests![
    khandle_transfer_reserve_transaction,
    khandle_reserved_transfer_timeout_sweep,
    n2_a_send_that_waits_long_sends_or_refuses,
    kcap_duplicate_close_stress,
    kobj_ops_refcount_history,
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
    for is_leaked in [true, false] {
        sweep_of_one(is_leaked).await;
    }
}

/// Of a value that is leaked, or dropped when its time is long over.
async fn sweep_of_one(is_leaked: bool) {
    // The clock of the host's simulation jumps, and the time is one for all tests.
    let before = cfg!(not(test)).then(|| set_timeout(Duration::from_millis(120)));
    let process = Process::new(1);
    let (handle, peer) = process.channel();
    let reserved = process.table.reserve(&process.caller, &[handle]).expect("a reservation");
    let id = reserved.capabilities().next().expect("one handle").object().base().id();
    let mut late = None;
    if is_leaked {
        core::mem::forget(reserved);
    } else {
        late = Some(reserved);
    }
    let used = process.table.len();
    let latest = machine::now() + timeout() + Duration::from_secs(4);
    while process.table.len() == used {
        let copy = process.duplicate(peer).expect("a copy");
        process.table.close(copy).expect("the copy");
        assert!(machine::now() < latest, "the number was never freed");
        executor::sleep_until(machine::now() + Duration::from_millis(10)).await;
    }
    before.map(set_timeout);
    let object = registry::lookup(id).expect("the value still keeps it");
    drop(late);
    let mut steps = Vec::new();
    object.transfers(|transfer| steps.push(transfer.event.name()));
    assert_eq!(steps, ["take", "drop"]);
}

/// A send that waits for much longer than a reservation lasts, while others use the table, still has its handle, or is
/// refused: the handle is never both sent and dropped.
async fn n2_a_send_that_waits_long_sends_or_refuses() {
    for milliseconds in [10, 120] {
        let before = cfg!(not(test)).then(|| set_timeout(Duration::from_millis(milliseconds)));
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        while process.send(to, b"full", &[]).is_ok() {}
        let (moved, peer) = process.channel();
        let history = process.get(moved, AccessOp::Read);
        let (crew, sender) = (Crew::of(1), process.clone());
        let answer = Arc::new(AtomicU64::new(u64::MAX));
        let told = answer.clone();
        crew.spawn(async move {
            let sent = send(&sender, to, b"late", &[moved]).await;
            told.store(sent.err().map_or(0, |error| error.number().into()), Ordering::Release);
        });
        let until = machine::now() + 3 * timeout();
        while machine::now() < until {
            let copy = process.duplicate(peer).expect("a copy");
            process.table.close(copy).expect("the copy");
            executor::sleep_until(machine::now() + timeout() / 20).await;
        }
        before.map(set_timeout);
        process.receive(from).expect("a message");
        crew.finished().await;
        let steps = events(&history);
        match answer.load(Ordering::Acquire) {
            0 => {
                assert_eq!(steps, ["take", "enqueue"]);
                let mut arrived = Vec::new();
                while let Ok(Some((_, handles))) = process.receive(from) {
                    arrived.extend(handles);
                }
                process.send(arrived[0], b"x", &[]).expect("it works");
                process.table.close(arrived[0]).expect("a handle");
            }
            refused => {
                assert_eq!((refused, &steps[..]), (u64::from(Errno::EBADF.number()), &["take", "drop"][..]));
                assert_eq!(process.send(peer, b"x", &[]), Err(Errno::EPIPE), "it is gone");
            }
        }
        for handle in [peer, to, from] {
            process.table.close(handle).expect("a handle");
        }
    }
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

/// The references of an object that was made a moment ago, and of which a reference was taken and given back. Others may
/// have walked over all objects meanwhile, and pushed the first entries out.
fn check_references(access: &Access) {
    use crate::object::history::ReferenceEvent::{Get, Init, Put};
    let mut seen = Vec::new();
    access.object().reference_history(|reference| seen.push(*reference));
    assert!(seen.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "{seen:?}");
    let has_first = seen[0].seq == 1;
    assert!(seen.iter().all(|reference| (reference.event == Init) == (reference.seq == 1)), "{seen:?}");
    let has = |event| seen.iter().any(|reference| reference.event == event);
    assert!(if has_first { has(Get) && has(Put) } else { seen.len() == REFERENCES }, "{seen:?}");
}

/// The generic operations work, on a channel and on a port; what has moved, and who has held it, is in the histories of
/// the object.
async fn kobj_ops_refcount_history() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (near, far) = (process.get(to, AccessOp::Write), process.get(from, AccessOp::Read));
    assert_eq!(near.object().write(&process.caller, b"x", Options::NONBLOCK), Ok(1));
    assert!(far.object().readiness().contains(Events::IN));
    let mut byte = [0; 1];
    assert_eq!(far.object().read(&process.caller, &mut byte), Ok(1));
    assert_eq!(byte, *b"x");
    let port = Port::create(&process.caller).expect("a port");
    let port = process.table.insert(&process.caller, port, false).expect("a number");
    let waiting = process.get(port, AccessOp::Wait);
    let object = waiting.object().port().expect("a port");
    object.bind(&process.caller, &process.end(from), 0x1234, Signals::all()).expect("a binding");
    assert!(!waiting.object().readiness().contains(Events::IN));
    far.object().signal(Signals::READABLE).expect("a signal, whatever is queued");
    assert!(waiting.object().readiness().contains(Events::IN));
    let mut packet = [0; 16];
    assert_eq!(waiting.object().read(&process.caller, &mut packet), Ok(16));
    assert_eq!(packet, [0x34, 0x12, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(waiting.object().write(&process.caller, b"x", Options::NONBLOCK), Err(Errno::ENOTSUP));
    let (moved, peer) = process.channel();
    let access = process.get(moved, AccessOp::Transfer);
    drop(access.object().clone());
    // Recorded in debug builds alone.
    if cfg!(debug_assertions) {
        check_references(&access);
    }
    process.send(to, b"", &[moved]).expect("room");
    let (_, handles) = process.receive(from).expect("a message").expect("no end");
    assert_eq!(events(&access), ["take", "enqueue", "deliver", "install", "release"]);
    for handle in [handles[0], peer, to, from, port] {
        process.table.close(handle).expect("a handle");
    }
}
