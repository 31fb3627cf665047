//! Those whose handle is revoked at any moment between the look-up and the end of their wait: they get `EBADF`, never
//! sleep on, and what comes afterwards is for others.

use alloc::sync::Arc;

use base::{Errno, Result};
use executor::pollwait::Events;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::explore;
use crate::AccessOp;
use crate::port::{Port, Signals};
use crate::selftest::support::{Postcard, Process};
use crate::wait::{Awaited, wait_for};

/// A call in the name of a duplicate, made on a thread of its own and looked up before anything is revoked.
fn call<T: Send + 'static>(
    process: &Arc<Process>,
    handle: i32,
    op: AccessOp,
    call: impl FnOnce(&Process, crate::Access) -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    let access = process.get(process.duplicate(handle).unwrap(), op);
    let process = process.clone();
    thread::spawn(move || call(&process, access))
}

fn revoke_duplicates(process: &Process, handle: i32) {
    drop(process.table.begin_revocation(handle, false).unwrap());
}

#[test]
fn a_wait_at_a_port_ends_and_takes_nothing() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let capability = Port::create(&process.caller).unwrap();
        let port = process.table.insert(&process.caller, capability, false).unwrap();
        let (to, from) = process.channel();
        let own = process.get(port, AccessOp::Wait);
        let bound = own.object().port().unwrap();
        bound.bind(&process.caller, &process.end(from), 1, Signals::READABLE).unwrap();
        let borrower = call(&process, port, AccessOp::Wait, |_, access| {
            let port = access.object().port().unwrap();
            block_on(port.take(&access, &mut Postcard::default(), None, false))
        });
        revoke_duplicates(&process, port);
        process.send(to, b"after", &[]).unwrap();
        assert_eq!(block_on(bound.take(&own, &mut Postcard::default(), None, false)), Ok(()));
        assert_eq!(borrower.join().unwrap(), Err(Errno::EBADF));
    });
}

#[test]
fn a_wait_for_objects_ends_and_sees_nothing() {
    explore(|| {
        let process = Arc::new(Process::new(1));
        let (to, from) = process.channel();
        let (_quiet, other) = process.channel();
        let borrower = call(&process, from, AccessOp::Poll, move |process, access| {
            let own = process.get(other, AccessOp::Poll);
            let mut objects = [Awaited::new(own, Events::IN), Awaited::new(access, Events::IN)];
            block_on(wait_for(&process.caller.account, &mut objects, None))
        });
        revoke_duplicates(&process, from);
        process.send(to, b"after", &[]).unwrap();
        assert_eq!(borrower.join().unwrap(), Err(Errno::EBADF));
    });
}
