//! Capability sets. Source: `capget(2)`.

use base::caller::Capabilities;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::process::{identity, table};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, read_u32, write_u32};

declare! {
    async 125 => capget(header: Pointer, data: Pointer);
    async 126 => capset(header: Pointer, data: Pointer);
}

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// Bytes of one `__user_cap_data_struct`: three words for 32 capabilities.
const ELEMENT_BYTES: usize = 12;

/// The number of data elements of the version in the header; for an unknown version the header learns ours.
async fn elements(thread: &Thread, header: Pointer) -> Result<usize> {
    match read_u32(&*thread.space(), header.0).await? {
        VERSION_1 => Ok(1),
        VERSION_2 | VERSION_3 => Ok(2),
        _ => {
            write_u32(&*thread.space(), header.0, VERSION_3).await?;
            Err(Errno::EINVAL)
        }
    }
}

async fn header_pid(thread: &Thread, header: Pointer) -> Result<i32> {
    Ok(read_u32(&*thread.space(), header.0.wrapping_add(4)).await?.cast_signed())
}

async fn capget(thread: &Thread, header: Pointer, data: Pointer) -> Result<u64> {
    let count = match elements(thread, header).await {
        // A program asks so which version this kernel speaks.
        Err(Errno::EINVAL) if data.is_null() => return Ok(0),
        other => other?,
    };
    let pid = header_pid(thread, header).await?;
    let of = match u32::try_from(pid).map_err(|_| Errno::EINVAL)? {
        0 => thread.credentials(),
        tid if tid == thread.tid() => thread.credentials(),
        tid => {
            let other = table::find_thread(tid).and_then(|other| other.resources()).ok_or(Errno::ESRCH)?;
            other.caller.credentials.clone()
        }
    };
    if data.is_null() {
        return Ok(0);
    }
    let mut bytes = [0; 2 * ELEMENT_BYTES];
    for (index, element) in bytes.chunks_exact_mut(ELEMENT_BYTES).enumerate() {
        let sets = [of.effective, of.permitted, of.inheritable];
        for (word, set) in element.chunks_exact_mut(4).zip(sets) {
            word.copy_from_slice(&half(set, index).to_le_bytes());
        }
    }
    copy_out(&*thread.space(), data.0, &bytes[..count * ELEMENT_BYTES]).await?;
    Ok(0)
}

/// 32 of a set's 64 bits, the low ones for index 0.
fn half(set: Capabilities, index: usize) -> u32 {
    let [a, b, c, d, e, f, g, h] = set.bits().to_le_bytes();
    u32::from_le_bytes(if index == 0 { [a, b, c, d] } else { [e, f, g, h] })
}

async fn capset(thread: &Thread, header: Pointer, data: Pointer) -> Result<u64> {
    let count = elements(thread, header).await?;
    let pid = header_pid(thread, header).await?;
    if pid != 0 && u32::try_from(pid).ok() != Some(thread.tid()) {
        return Err(Errno::EPERM);
    }
    let mut bytes = [0; 2 * ELEMENT_BYTES];
    copy_in(&*thread.space(), data.0, &mut bytes[..count * ELEMENT_BYTES]).await?;
    let mut sets = [0u64; 3];
    for (index, element) in bytes.chunks_exact(ELEMENT_BYTES).enumerate() {
        for (set, word) in sets.iter_mut().zip(element.chunks_exact(4)) {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            *set |= u64::from(word) << (32 * index);
        }
    }
    let [effective, permitted, inheritable] = sets.map(Capabilities::from_bits_retain);
    let old = thread.credentials();
    thread.set_credentials(identity::capabilities::set(&old, effective, permitted, inheritable)?);
    Ok(0)
}
