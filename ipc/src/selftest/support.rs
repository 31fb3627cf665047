//! Callers, tables, and messages for the tests, those of the host alone among them.

#![cfg_attr(not(test), allow(dead_code, reason = "some of it is for the tests of the host"))]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use base::caller::{Caller, Credentials, Limits};
use base::charge::Account;
use base::memory::{BoxFuture, KernelBytes};
use base::sync::atomic::{AtomicUsize, Ordering};
use base::{Errno, Result};
use executor::lock::Completion;
use executor::{TaskOptions, TaskRef};

use crate::channel::{Endpoint, Incoming, Options, Outcome, Outgoing, Receiver, Sizes};
use crate::port::{Packet, PacketSink};
use crate::{Access, AccessOp, HandleTable};

/// Installs the host's machine. Deadlines need a CPU to be armed on; nobody runs it.
#[cfg(test)]
fn prepare_host() {
    use executor::{Config, Executor};
    static TIMERS: std::sync::OnceLock<&'static Executor> = std::sync::OnceLock::new();
    base::host::install();
    TIMERS.get_or_init(|| Executor::new(1, Config::default()));
}

/// A process: who it is, and its handles.
pub(crate) struct Process {
    pub(crate) caller: Caller,
    pub(crate) table: Arc<HandleTable>,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Process {
        #[cfg(test)]
        prepare_host();
        let caller = Caller {
            key: pid.into(),
            pid,
            tid: pid,
            credentials: Arc::new(Credentials::root()),
            limits: Arc::new(Limits::initial(100)),
            account: Account::new(),
            memory: Arc::new(KernelBytes::new(Vec::new())),
        };
        Process { caller, table: HandleTable::new() }
    }

    /// A new process with a copy of the handles.
    pub(crate) fn fork(&self, pid: u32) -> Process {
        let child = Process::new(pid);
        let table = self.table.duplicate(&child.caller).expect("fork");
        Process { table, ..child }
    }

    pub(crate) fn exit(self) {
        now(self.table.leave());
    }

    pub(crate) fn channel(&self) -> (i32, i32) {
        let (first, second) = Endpoint::create(&self.caller).expect("a channel");
        let first = self.table.insert(&self.caller, first, false).expect("a number");
        (first, self.table.insert(&self.caller, second, false).expect("a number"))
    }

    pub(crate) fn get(&self, handle: i32, op: AccessOp) -> Access {
        self.table.get(handle, op).expect("a handle")
    }

    pub(crate) fn end(&self, handle: i32) -> Arc<Endpoint> {
        self.table.get_any(handle).expect("a handle").object().channel().expect("a channel").clone()
    }

    pub(crate) fn duplicate(&self, handle: i32) -> Result<i32> {
        self.table.duplicate_handle(&self.caller, handle, crate::Rights::empty(), false)
    }

    pub(crate) fn receiver<'a>(&'a self, access: &'a Access, options: Options) -> Receiver<'a> {
        Receiver { caller: &self.caller, access, table: &self.table, options }
    }

    /// Sends now.
    pub(crate) fn send(&self, channel: i32, bytes: &[u8], handles: &[i32]) -> Result<()> {
        let access = self.table.get(channel, AccessOp::Write)?;
        let reserved = self.table.reserve(&self.caller, handles)?;
        let mut outgoing = Outgoing::with_handles(bytes, reserved);
        let end = access.object().channel().ok_or(Errno::ENOTSUP)?;
        end.try_send(&self.caller, Some(access.node()), &mut outgoing, Options::NONBLOCK)
    }

    /// Receives now: payload and handles. `None` at the end.
    pub(crate) fn receive(&self, channel: i32) -> Result<Option<(Vec<u8>, Vec<i32>)>> {
        let access = self.table.get(channel, AccessOp::Read)?;
        let mut letter = Letter::new();
        let end = access.object().channel().ok_or(Errno::ENOTSUP)?;
        match end.try_receive(self.receiver(&access, Options::empty()), &mut letter)? {
            Outcome::Message(_) => Ok(Some((letter.bytes, letter.handles))),
            Outcome::TooSmall(_) => Err(Errno::EMSGSIZE),
            Outcome::End => Ok(None),
        }
    }
}

/// Room for a message.
pub(crate) struct Letter {
    pub(crate) room: Sizes,
    pub(crate) bytes: Vec<u8>,
    pub(crate) handles: Vec<i32>,
    /// How often a page is missing.
    pub(crate) faults: usize,
    /// The program has no business there.
    pub(crate) bad: bool,
}

impl Letter {
    pub(crate) fn new() -> Letter {
        Letter::with_room(1024, 8)
    }

    pub(crate) fn with_room(bytes: usize, handles: usize) -> Letter {
        let room = Sizes { bytes, handles };
        Letter { room, bytes: Vec::new(), handles: Vec::new(), faults: 0, bad: false }
    }
}

impl Incoming for Letter {
    fn room(&self) -> Sizes {
        self.room
    }

    fn deliver(&mut self, payload: &[u8], handles: &[i32]) -> Result<()> {
        if self.bad || self.faults > 0 {
            return Err(Errno::EFAULT);
        }
        (self.bytes, self.handles) = (payload.to_vec(), handles.to_vec());
        Ok(())
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        self.faults = self.faults.saturating_sub(1);
        Box::pin(core::future::ready(if self.bad { Err(Errno::EFAULT) } else { Ok(()) }))
    }
}

/// Room for a packet.
#[derive(Default)]
pub(crate) struct Postcard {
    pub(crate) packet: Option<Packet>,
    pub(crate) bad: bool,
}

impl PacketSink for Postcard {
    fn deliver(&mut self, packet: Packet) -> Result<()> {
        if self.bad {
            return Err(Errno::EFAULT);
        }
        self.packet = Some(packet);
        Ok(())
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}

/// Tasks that are waited for together.
#[derive(Clone)]
pub(crate) struct Crew(Arc<(AtomicUsize, Completion)>);

impl Crew {
    pub(crate) fn of(members: usize) -> Crew {
        Crew(Arc::new((AtomicUsize::new(members), Completion::new())))
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> TaskRef {
        let crew = self.clone();
        executor::spawn(TaskOptions::new("selftest"), async move {
            work.await;
            if crew.0.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                crew.0.1.complete();
            }
        })
    }

    pub(crate) async fn finished(&self) {
        self.0.1.wait().await;
    }
}

/// Sends, and waits for room.
pub(crate) async fn send(process: &Process, channel: i32, bytes: &[u8], handles: &[i32]) -> Result<()> {
    send_with(process, channel, bytes, handles, Options::empty()).await
}

/// Sends with these options, and waits for room.
pub(crate) async fn send_with(
    process: &Process,
    channel: i32,
    bytes: &[u8],
    handles: &[i32],
    options: Options,
) -> Result<()> {
    let access = process.table.get(channel, AccessOp::Write)?;
    let reserved = process.table.reserve(&process.caller, handles)?;
    let mut outgoing = Outgoing::with_handles(bytes, reserved);
    let end = access.object().channel().expect("a channel");
    end.send(&process.caller, &access, &mut outgoing, options).await
}

/// Receives, and waits for a message. `None` at the end.
pub(crate) async fn receive(process: &Process, channel: i32, options: Options) -> Result<Option<Letter>> {
    let access = process.table.get(channel, AccessOp::Read)?;
    let mut letter = Letter::new();
    let end = access.object().channel().expect("a channel");
    let outcome = end.receive(process.receiver(&access, options), &mut letter).await?;
    Ok(matches!(outcome, Outcome::Message(_)).then_some(letter))
}

/// Polls a future that need not wait.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match poll(pin!(future)) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits"),
    }
}

/// Polls a future once.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The events in the history of what a handle names.
pub(crate) fn events(access: &Access) -> Vec<&'static str> {
    let mut names = Vec::new();
    access.object().transfers(|transfer| names.push(transfer.event.name()));
    names
}
