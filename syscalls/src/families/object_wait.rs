//! Waiting for objects by their handles, whatever they are. The exact ABI: `docs/abi.md`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::charge::Charge;
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource, Watch, Watcher};
use ipc::{Access, AccessOp};

use super::handles::required;
use crate::declare;
use crate::declare::Pointer;
use crate::machine::check_user_range;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out};

declare! {
    async 4617 => object_wait_one(handle: i32, events: u64, timeout_ns: u64, observed: Pointer);
    async 4618 => object_wait_many(items: Pointer, count: u64, timeout_ns: u64);
}

/// Most objects that one call waits for: as many as a table names.
const ITEMS_MAX: u64 = 256;

/// Bytes of an item: handle i32, events u32, observed u32, 0 u32.
const ITEM_BYTES: usize = 16;

/// Kernel memory that a watch takes.
const WATCH_BYTES: usize = 128;

/// One object that is waited for.
struct Item {
    access: Access,
    wanted: Events,
    observed: Events,
}

impl Item {
    fn new(thread: &Thread, handle: i32, wanted: u64) -> Result<Item> {
        let bits = u32::try_from(wanted).map_err(|_| Errno::EINVAL)?;
        let wanted = Events::from_bits(bits).ok_or(Errno::EINVAL)?;
        let access = thread.handles().get(handle, AccessOp::Poll)?;
        Ok(Item { access, wanted: wanted | Events::ALWAYS, observed: Events::empty() })
    }

    fn look(&mut self) -> Result<bool> {
        self.access.check()?;
        self.observed = self.access.object().readiness() & self.wanted;
        Ok(!self.observed.is_empty())
    }
}

/// Woken by any of the objects.
struct Waiter(WaitSource);

impl Watcher for Waiter {
    fn notify(&self, events: Events, reason: Reason) {
        self.0.wake_all(events, reason);
    }

    fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        tell(&self.0);
    }
}

fn deadline(timeout_ns: u64) -> Option<Instant> {
    (timeout_ns != u64::MAX).then(|| machine().now() + Duration::from_nanos(timeout_ns))
}

/// Looks at all; how many are ready.
fn scan(items: &mut [Item]) -> Result<usize> {
    let mut ready = 0;
    for item in items {
        ready += usize::from(item.look()?);
    }
    Ok(ready)
}

/// Waits until one of `items` is ready; how many are. A drop leaves nothing behind.
async fn wait_for(thread: &Thread, items: &mut [Item], deadline: Option<Instant>) -> Result<usize> {
    let ready = scan(items)?;
    if ready > 0 {
        return Ok(ready);
    }
    let sources: Vec<_> = items.iter().flat_map(|item| item.access.object().sources()).flatten().collect();
    let _charge = Charge::new(&thread.caller().account, sources.len() * WATCH_BYTES)?;
    let waiter = Arc::new(Waiter(WaitSource::new(WaitKind::Poll, 0)));
    let watches = sources.iter().map(|source| Watch::new(source, waiter.clone(), Events::all()));
    let _watches: Vec<Watch> = watches.collect();
    let mut over = None;
    loop {
        let seen = waiter.0.observe();
        let ready = scan(items)?;
        match over {
            _ if ready > 0 => return Ok(ready),
            Some(Reason::Signal) => return Err(Errno::EINTR),
            Some(_) => return Err(Errno::ETIMEDOUT),
            None => {}
        }
        let reason = waiter.0.wait(seen, Wait::interruptible().until(deadline)).await;
        over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
    }
}

async fn object_wait_one(
    thread: &Thread,
    handle: i32,
    events: u64,
    timeout_ns: u64,
    observed: Pointer,
) -> Result<u64> {
    let out = required(observed)?;
    let mut items = [Item::new(thread, handle, events)?];
    wait_for(thread, &mut items, deadline(timeout_ns)).await?;
    copy_out(&*thread.space(), out, &items[0].observed.bits().to_le_bytes()).await?;
    Ok(0)
}

async fn object_wait_many(thread: &Thread, items: Pointer, count: u64, timeout_ns: u64) -> Result<u64> {
    if count == 0 || count > ITEMS_MAX {
        return Err(Errno::EINVAL);
    }
    let at = required(items)?;
    let space = thread.space();
    let mut wanted = Vec::with_capacity(usize::try_from(count).map_err(|_| Errno::EINVAL)?);
    check_user_range(at, count * ITEM_BYTES as u64, base::memory::Access::Read)?;
    let addresses = (0..count).map(|index| at.wrapping_add(index * ITEM_BYTES as u64));
    for address in addresses.clone() {
        let mut raw = [0; 8];
        copy_in(&*space, address, &mut raw).await?;
        let handle = i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        let events = u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
        wanted.push(Item::new(thread, handle, events.into())?);
    }
    let ready = wait_for(thread, &mut wanted, deadline(timeout_ns)).await?;
    for (item, address) in wanted.iter().zip(addresses) {
        let observed = u64::from(item.observed.bits());
        copy_out(&*space, address.wrapping_add(8), &observed.to_le_bytes()).await?;
    }
    Ok(ready as u64)
}
