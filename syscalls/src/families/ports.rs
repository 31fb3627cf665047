//! Ports: create, bind, unbind, wait. The exact ABI: `docs/abi.md`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use base::memory::{Access as MemoryAccess, BoxFuture, UserMemory};
use base::{Errno, Result, machine};
use ipc::port::{Packet, PacketSink, Port, Signals};
use ipc::{Access, AccessOp};

use super::handles::{cloexec_of, no_flags, required};
use crate::declare;
use crate::declare::Pointer;
use crate::thread::Thread;
use crate::user::copy_out;

declare! {
    async 4605 => port_create(out: Pointer, flags: u64);
    sync 4606 => port_bind(port: i32, channel: i32, key: u64, signals: u64, flags: u64);
    async 4607 => port_wait(port: i32, packet: Pointer, timeout_ns: u64, options: u64) after try_wait;
    sync 4615 => port_unbind(port: i32, channel: i32, flags: u64);
}

/// `port_wait`: `EAGAIN` rather than wait.
const NONBLOCK: u64 = 1;

async fn port_create(thread: &Thread, out: Pointer, flags: u64) -> Result<u64> {
    let cloexec = cloexec_of(flags)?;
    let out = required(out)?;
    let (table, caller) = (thread.handles(), thread.caller());
    let port = Port::create(&caller)?;
    let mut landing = table.land(&caller, 1, cloexec)?;
    copy_out(&*caller.memory, out, &landing.number(0).to_le_bytes()).await?;
    landing.install(port)?;
    Ok(0)
}

fn port_of(access: &Access) -> Result<&Arc<Port>> {
    access.object().port().ok_or(Errno::ENOTSUP)
}

fn port_bind(thread: &Thread, port: i32, channel: i32, key: u64, signals: u64, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    let signals = u32::try_from(signals).ok().and_then(Signals::from_bits);
    let signals = signals.filter(|signals| !signals.is_empty()).ok_or(Errno::EINVAL)?;
    let (table, caller) = (thread.handles(), thread.caller());
    let port = table.get(port, AccessOp::Manage)?;
    let channel = table.get(channel, AccessOp::Signal)?;
    let endpoint = channel.object().channel().ok_or(Errno::ENOTSUP)?;
    port_of(&port)?.bind(&caller, endpoint, key, signals)?;
    Ok(0)
}

fn port_unbind(thread: &Thread, port: i32, channel: i32, flags: u64) -> Result<u64> {
    no_flags(flags)?;
    let table = thread.handles();
    let port = table.get(port, AccessOp::Manage)?;
    let channel = table.get(channel, AccessOp::Signal)?;
    let endpoint = channel.object().channel().ok_or(Errno::ENOTSUP)?;
    port_of(&port)?.unbind(endpoint)?;
    Ok(0)
}

/// The program's place for a packet.
struct Slot<'a> {
    memory: &'a dyn UserMemory,
    at: u64,
}

impl PacketSink for Slot<'_> {
    fn deliver(&mut self, packet: Packet) -> Result<()> {
        let done = self.memory.copy_out_nofault(self.at, &packet.to_bytes());
        if done == Packet::BYTES { Ok(()) } else { Err(Errno::EFAULT) }
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        let (memory, at) = (self.memory, self.at);
        Box::pin(async move {
            // It may lie across two pages, of which each call promises only the first.
            let last = at.wrapping_add(Packet::BYTES as u64 - 1);
            memory.fault_in(at, Packet::BYTES, MemoryAccess::Write).await?;
            memory.fault_in(last, 1, MemoryAccess::Write).await
        })
    }
}

/// Takes a packet if there is one and the program's memory is resident.
fn try_wait(
    thread: &Thread,
    port: i32,
    packet: Pointer,
    _timeout_ns: u64,
    options: u64,
) -> Option<Result<u64>> {
    no_flags(options & !NONBLOCK).ok()?;
    let at = required(packet).ok()?;
    let access = thread.handles().get(port, AccessOp::Wait).ok()?;
    let caller = thread.caller();
    let mut slot = Slot { memory: &*caller.memory, at };
    let taken = port_of(&access).ok()?.try_take(Some(access.node()), &mut slot);
    taken.is_ok().then_some(Ok(0))
}

async fn port_wait(
    thread: &Thread,
    port: i32,
    packet: Pointer,
    timeout_ns: u64,
    options: u64,
) -> Result<u64> {
    no_flags(options & !NONBLOCK)?;
    let at = required(packet)?;
    let access = thread.handles().get(port, AccessOp::Wait)?;
    let caller = thread.caller();
    let mut slot = Slot { memory: &*caller.memory, at };
    let deadline = (timeout_ns != u64::MAX).then(|| machine::now() + Duration::from_nanos(timeout_ns));
    port_of(&access)?.take(&access, &mut slot, deadline, options & NONBLOCK != 0).await?;
    Ok(0)
}
