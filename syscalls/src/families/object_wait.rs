//! Waiting for objects by their handles, whatever they are. The exact ABI: `docs/abi.md`.

use alloc::vec::Vec;
use core::time::Duration;

use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::Events;
use ipc::AccessOp;
use ipc::wait::{Awaited, wait_for};

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

/// What is asked for by number.
fn awaited(thread: &Thread, handle: i32, wanted: u64) -> Result<Awaited> {
    let bits = u32::try_from(wanted).map_err(|_| Errno::EINVAL)?;
    let wanted = Events::from_bits(bits).ok_or(Errno::EINVAL)?;
    Ok(Awaited::new(thread.handles().get(handle, AccessOp::Poll)?, wanted))
}

fn deadline(timeout_ns: u64) -> Option<Instant> {
    (timeout_ns != u64::MAX).then(|| machine::now() + Duration::from_nanos(timeout_ns))
}

async fn object_wait_one(
    thread: &Thread,
    handle: i32,
    events: u64,
    timeout_ns: u64,
    observed: Pointer,
) -> Result<u64> {
    let out = required(observed)?;
    let mut objects = [awaited(thread, handle, events)?];
    wait_for(&thread.caller().account, &mut objects, deadline(timeout_ns)).await?;
    let [object] = objects;
    copy_out(&*thread.space(), out, &object.observed().bits().to_le_bytes()).await?;
    Ok(0)
}

async fn object_wait_many(thread: &Thread, items: Pointer, count: u64, timeout_ns: u64) -> Result<u64> {
    if count == 0 || count > ITEMS_MAX {
        return Err(Errno::EINVAL);
    }
    let at = required(items)?;
    let space = thread.space();
    let mut objects = Vec::with_capacity(usize::try_from(count).map_err(|_| Errno::EINVAL)?);
    check_user_range(at, count * ITEM_BYTES as u64, base::memory::Access::Read)?;
    let addresses = (0..count).map(|index| at.wrapping_add(index * ITEM_BYTES as u64));
    for address in addresses.clone() {
        let mut raw = [0; 8];
        copy_in(&*space, address, &mut raw).await?;
        let handle = i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        let events = u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]);
        objects.push(awaited(thread, handle, events.into())?);
    }
    let ready = wait_for(&thread.caller().account, &mut objects, deadline(timeout_ns)).await?;
    for (object, address) in objects.iter().zip(addresses) {
        let observed = u64::from(object.observed().bits());
        copy_out(&*space, address.wrapping_add(8), &observed.to_le_bytes()).await?;
    }
    Ok(ready as u64)
}
