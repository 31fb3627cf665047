//! Models for the checker shuttle: whole operations on channels, ports and handle tables under schedules of its choice.
//! A wake that is lost leaves a thread asleep, which the checker reports.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p ipc --lib --target-dir target/shuttle models -- --test-threads 1`;
//! `KAIROS_SCALE=20` multiplies the schedules.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;
use std::sync::Mutex;

use base::Errno;
use base::sync::atomic::{AtomicU64, Ordering};
use shuttle::future::block_on;
use shuttle::thread;

use crate::channel::Options;
use crate::port::{Port, Signals};
use crate::selftest::support::{Letter, Postcard, Process, receive, send, send_with};
use crate::{AccessOp, lineage};

mod collected;
mod killed;
mod revoked;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    // What is made at its first use is made here, where there is one thread: one that waits for another to make it would
    // wait for ever.
    let process = Process::new(1);
    let (to, from) = process.channel();
    process.send(to, b"first", &[]).unwrap();
    process.receive(from).unwrap();
    process.exit();
    base::sync::explore(model);
}

/// Polls once and gives up, as a thread does that is killed in the call.
fn or_give_up<T>(call: impl Future<Output = T>) -> Option<T> {
    let mut call = Box::pin(call);
    let ended = block_on(poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    }));
    thread::yield_now();
    ended
}

/// Two senders of messages with handles, two receivers, one of them armed for a hand-over, and one that begins to
/// receive and gives up. Every message and every handle comes once.
#[test]
fn messages_and_their_handles_come_once() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let take = |process: &Process, log: &Mutex<Vec<u8>>, letter: Letter| {
            log.lock().unwrap().push(letter.bytes[0]);
            process.table.get_any(letter.handles[0]).unwrap();
            process.table.close(letter.handles[0]).unwrap();
        };
        let mut threads: Vec<_> = [(1u8, Options::empty()), (2, Options::RENDEZVOUS)]
            .map(|(name, options)| {
                let process = process.clone();
                thread::spawn(move || {
                    let (moved, kept) = process.channel();
                    block_on(send_with(&process, to, &[name], &[moved], options)).unwrap();
                    process.table.close(kept).unwrap();
                })
            })
            .into();
        threads.extend([Options::empty(), Options::RENDEZVOUS].map(|options| {
            let (process, log) = (process.clone(), log.clone());
            thread::spawn(move || {
                while let Some(letter) = block_on(receive(&process, from, options)).unwrap() {
                    take(&process, &log, letter);
                }
            })
        }));
        let (quitter, own) = (process.clone(), log.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                if let Some(Ok(Some(letter))) = or_give_up(receive(&quitter, from, Options::RENDEZVOUS)) {
                    take(&quitter, &own, letter);
                }
            }
        }));
        let receivers = threads.split_off(2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        process.table.close(to).unwrap();
        receivers.into_iter().for_each(|thread| thread.join().unwrap());
        let mut log = log.lock().unwrap();
        log.sort_unstable();
        assert_eq!(*log, [1, 2]);
        assert_eq!(process.table.len(), 1, "nothing but the receiving end is left");
    });
}

/// The last handle of either end goes while the other end receives: the end, or a number that names nothing any more.
#[test]
fn closing_ends_a_receive() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (one, other) = process.channel();
        let receiver = {
            let process = process.clone();
            thread::spawn(move || {
                block_on(receive(&process, one, Options::empty())).map(|letter| letter.is_none())
            })
        };
        let closer = {
            let process = process.clone();
            thread::spawn(move || process.table.close(one).unwrap())
        };
        process.table.close(other).unwrap();
        let answer = receiver.join().unwrap();
        assert!(matches!(answer, Ok(true) | Err(Errno::EBADF)), "{answer:?}");
        closer.join().unwrap();
    });
}

/// The last handle of either end goes while a send with a handle waits for room: no end to send through, or a number
/// that names nothing any more, and what was to be sent is where it was.
#[test]
fn closing_ends_a_send() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (own, peer) = process.channel();
        while process.send(own, b"full", &[]).is_ok() {}
        let (moved, kept) = process.channel();
        let sender = {
            let process = process.clone();
            thread::spawn(move || block_on(send(&process, own, b"late", &[moved])))
        };
        let closer = {
            let process = process.clone();
            thread::spawn(move || process.table.close(own).unwrap())
        };
        process.table.close(peer).unwrap();
        let answer = sender.join().unwrap();
        assert!(matches!(answer, Err(Errno::EPIPE | Errno::EBADF)), "{answer:?}");
        closer.join().unwrap();
        process.send(moved, b"x", &[]).unwrap();
        assert!(process.receive(kept).unwrap().is_some());
        assert_eq!(process.table.len(), 2);
    });
}

/// Room comes for one of two that wait to send, and one of them gives up at any moment: the other one gets it.
#[test]
fn room_goes_to_somebody_who_waits() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        while process.send(to, b"full", &[]).is_ok() {}
        let sender = {
            let process = process.clone();
            thread::spawn(move || block_on(send(&process, to, b"late", &[])))
        };
        let quitter = {
            let process = process.clone();
            thread::spawn(move || or_give_up(send(&process, to, b"other", &[])))
        };
        process.receive(from).unwrap().unwrap();
        if let Some(answer) = quitter.join().unwrap() {
            answer.unwrap();
            process.receive(from).unwrap().unwrap();
        }
        sender.join().unwrap().unwrap();
    });
}

/// The handle that a receive waits with is revoked: it ends, and the message is for the one who was not revoked.
#[test]
fn revoking_ends_a_receive() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let lent = process.duplicate(from).unwrap();
        let [borrower, owner] = [lent, from].map(|handle| {
            let process = process.clone();
            thread::spawn(move || block_on(receive(&process, handle, Options::empty())))
        });
        drop(process.table.begin_revocation(from, false).unwrap());
        process.send(to, b"after", &[]).unwrap();
        assert_eq!(borrower.join().unwrap().map(drop), Err(Errno::EBADF));
        assert_eq!(owner.join().unwrap().unwrap().unwrap().bytes, b"after");
    });
}

/// A handle is revoked while somebody sends through it: what is in the queue when the revocation is over is all that
/// ever comes of it.
#[test]
fn nothing_is_sent_through_a_revoked_handle() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let lent = process.duplicate(to).unwrap();
        let sender = {
            let process = process.clone();
            thread::spawn(move || process.send(lent, b"mine", &[]))
        };
        drop(process.table.begin_revocation(to, false).unwrap());
        let before = process.receive(from);
        let sent = sender.join().unwrap();
        assert!(matches!(sent, Ok(()) | Err(Errno::EBADF)), "{sent:?}");
        assert_eq!(before.is_ok(), sent.is_ok(), "{before:?}");
    });
}

/// A number that was closed never names what it named: not for one who asks when the close is over.
#[test]
fn n3_a_number_never_names_what_it_named_before() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (root, _peer) = process.channel();
        let closed = Arc::new(AtomicU64::new(0));
        let first = process.duplicate(root).unwrap();
        let reader = {
            let (process, closed) = (process.clone(), closed.clone());
            thread::spawn(move || {
                for _ in 0..4 {
                    let over = closed.load(Ordering::SeqCst);
                    let Ok(access) = process.table.get(first, AccessOp::Read) else { continue };
                    assert_eq!(over, 0, "{:?} was closed", access.node().id());
                }
            })
        };
        process.table.close(first).unwrap();
        closed.store(1, Ordering::SeqCst);
        let next = process.duplicate(root).unwrap();
        assert_ne!(next, first, "numbers come back late");
        reader.join().unwrap();
    });
}

/// A handle is duplicated, and the duplicate sent, while its ancestor's descendants are revoked: whatever the order,
/// nothing that was derived can be used when all is over.
#[test]
fn nothing_in_flight_comes_back_from_a_revocation() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let (root, _peer) = process.channel();
        let before = lineage::live_nodes();
        let mover = {
            let process = process.clone();
            thread::spawn(move || {
                let Ok(copy) = process.duplicate(root) else { return };
                assert!(matches!(process.send(to, b"x", &[copy]), Ok(()) | Err(Errno::EBADF)));
            })
        };
        let revoker = {
            let process = process.clone();
            thread::spawn(move || drop(process.table.begin_revocation(root, false).unwrap()))
        };
        mover.join().unwrap();
        revoker.join().unwrap();
        // What was derived after the revocation is alive; a second one ends it, wherever it is.
        drop(process.table.begin_revocation(root, false).unwrap());
        if let Ok(Some((_, handles))) = process.receive(from) {
            assert_eq!(handles, [-1]);
        }
        assert_eq!(process.table.len(), 4);
        assert_eq!(lineage::live_nodes(), before);
    });
}

/// Two waiters of a port, two messages at two bound channels: each packet wakes somebody, and is taken once.
#[test]
fn packets_are_taken_once() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let capability = Port::create(&process.caller).unwrap();
        let port = process.table.insert(&process.caller, capability, false).unwrap();
        let ends = [(); 2].map(|()| process.channel());
        for (key, (_, from)) in (1u64..).zip(ends) {
            let access = process.get(port, AccessOp::Wait);
            let port = access.object().port().unwrap();
            port.bind(&process.caller, &process.end(from), key, Signals::READABLE).unwrap();
        }
        let waiters = [(); 2].map(|()| {
            let process = process.clone();
            thread::spawn(move || {
                let access = process.get(port, AccessOp::Wait);
                let mut postcard = Postcard::default();
                let taken = access.object().port().unwrap().take(&access, &mut postcard, None, false);
                block_on(taken).unwrap();
                postcard.packet.unwrap().key
            })
        });
        for (to, _) in ends {
            process.send(to, b"x", &[]).unwrap();
        }
        let mut keys = waiters.map(|waiter| waiter.join().unwrap());
        keys.sort_unstable();
        assert_eq!(keys, [1, 2]);
    });
}

/// The last handle of a port goes while somebody waits there, or before: the wait ends, or the number names nothing.
#[test]
fn closing_ends_a_wait_at_a_port() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let capability = Port::create(&process.caller).unwrap();
        let port = process.table.insert(&process.caller, capability, false).unwrap();
        let (to, from) = process.channel();
        let object = process.get(port, AccessOp::Manage);
        let bound = object.object().port().unwrap();
        bound.bind(&process.caller, &process.end(from), 1, Signals::all()).unwrap();
        drop(object);
        let waiter = {
            let process = process.clone();
            thread::spawn(move || {
                let access = process.table.get(port, AccessOp::Wait)?;
                let mut postcard = Postcard::default();
                block_on(access.object().port().unwrap().take(&access, &mut postcard, None, false))
            })
        };
        let closer = {
            let process = process.clone();
            thread::spawn(move || process.table.close(to).unwrap())
        };
        process.table.close(port).unwrap();
        assert!(matches!(waiter.join().unwrap(), Ok(()) | Err(Errno::EBADF)));
        closer.join().unwrap();
    });
}
