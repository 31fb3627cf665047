//! Those who are killed while they wait for a page of the buffer for what they were woken for: another one gets it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, pending, poll_fn};
use core::task::Poll;

use base::memory::BoxFuture;
use base::sync::atomic::{AtomicBool, Ordering};
use base::{Errno, Result};
use shuttle::future::block_on;
use shuttle::thread;

use super::explore;
use crate::AccessOp;
use crate::channel::{Incoming, Options, Sizes};
use crate::port::{Packet, PacketSink, Port, Signals};
use crate::selftest::support::{Postcard, Process, receive};

/// A buffer whose page is missing: whoever waits for it waits until he is killed.
struct Missing<'a> {
    waited_for: &'a AtomicBool,
}

impl Missing<'_> {
    fn wait_for_ever(&self) -> BoxFuture<'_, Result<()>> {
        self.waited_for.store(true, Ordering::SeqCst);
        Box::pin(pending())
    }
}

impl Incoming for Missing<'_> {
    fn room(&self) -> Sizes {
        Sizes { bytes: 1024, handles: 8 }
    }

    fn deliver(&mut self, _payload: &[u8], _handles: &[i32]) -> Result<()> {
        Err(Errno::EFAULT)
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        self.wait_for_ever()
    }
}

impl PacketSink for Missing<'_> {
    fn deliver(&mut self, _packet: Packet) -> Result<()> {
        Err(Errno::EFAULT)
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        self.wait_for_ever()
    }
}

/// Makes a call, and is killed as soon as it has begun to wait for the page.
fn killed_at_a_page<T>(waited_for: &AtomicBool, call: impl Future<Output = T>) {
    let mut call = Box::pin(call);
    block_on(poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Pending if !waited_for.load(Ordering::SeqCst) => Poll::Pending,
        _ => Poll::Ready(()),
    }));
}

/// Two wait for a message; one of them is killed when it, or the next one, has come to him.
#[test]
fn a_killed_receiver_leaves_the_message_to_the_next() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let receiver = {
            let process = process.clone();
            thread::spawn(move || block_on(receive(&process, from, Options::empty())).unwrap().unwrap().bytes)
        };
        let killed = {
            let process = process.clone();
            thread::spawn(move || {
                let (access, end) = (process.get(from, AccessOp::Read), process.end(from));
                let waited_for = AtomicBool::new(false);
                let mut missing = Missing { waited_for: &waited_for };
                let call = end.receive(process.receiver(&access, Options::empty()), &mut missing);
                killed_at_a_page(&waited_for, call);
            })
        };
        process.send(to, b"first", &[]).unwrap();
        assert_eq!(receiver.join().unwrap(), b"first");
        process.send(to, b"second", &[]).unwrap();
        killed.join().unwrap();
    });
}

/// The same of a packet.
#[test]
fn a_killed_waiter_leaves_the_packet_to_the_next() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let capability = Port::create(&process.caller).unwrap();
        let port = process.table.insert(&process.caller, capability, false).unwrap();
        let (to, from) = process.channel();
        let access = process.get(port, AccessOp::Wait);
        let bound = access.object().port().unwrap();
        bound.bind(&process.caller, &process.end(from), 1, Signals::READABLE).unwrap();
        let waiter = {
            let process = process.clone();
            thread::spawn(move || {
                let access = process.get(port, AccessOp::Wait);
                let mut postcard = Postcard::default();
                let taken = access.object().port().unwrap().take(&access, &mut postcard, None, false);
                block_on(taken).unwrap();
            })
        };
        let killed = {
            let process = process.clone();
            thread::spawn(move || {
                let access = process.get(port, AccessOp::Wait);
                let waited_for = AtomicBool::new(false);
                let mut missing = Missing { waited_for: &waited_for };
                let call = access.object().port().unwrap().take(&access, &mut missing, None, false);
                killed_at_a_page(&waited_for, call);
            })
        };
        process.send(to, b"x", &[]).unwrap();
        waiter.join().unwrap();
        process.receive(from).unwrap().unwrap();
        process.send(to, b"y", &[]).unwrap();
        killed.join().unwrap();
    });
}
