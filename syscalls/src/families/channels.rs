//! Channels: create, send, receive, call. The exact ABI: `docs/abi.md`.
//!
//! What can be done at once is done without a future: the program's memory is resident and the other end has
//! room, or has sent something. Everything else starts over.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::caller::Caller;
use base::memory::{Access as MemoryAccess, BoxFuture, UserMemory};
use base::{Errno, Result, machine};
use ipc::channel::{
    CALL_PREFIX_BYTES, Endpoint, HANDLES_PER_MESSAGE, INLINE_BYTES, Incoming, MESSAGE_BYTES, Options,
    Outcome, Outgoing, Sizes,
};
use ipc::{Access, AccessOp};

use super::handles::{cloexec_of, no_flags, required};
use crate::declare;
use crate::declare::Pointer;
use crate::thread::Thread;
use crate::thread::resources::Resources;
use crate::user::{copy_in, copy_out};

declare! {
    async 4602 => channel_create(out0: Pointer, out1: Pointer, flags: u64);
    async 4603 => channel_send(handle: i32, msg: Pointer, options: u64) after try_send;
    async 4604 => channel_recv(handle: i32, msg: Pointer, options: u64) after try_recv;
    async 4616 => channel_call(handle: i32, send: Pointer, recv: Pointer, timeout_ns: u64, options: u64);
}

/// `channel_call`: the handles that arrive are closed on exec.
const CALL_CLOEXEC: u64 = 4;

/// Bytes of a `channel_msg`.
const HEADER_BYTES: usize = 24;

async fn channel_create(thread: &Thread, out0: Pointer, out1: Pointer, flags: u64) -> Result<u64> {
    let cloexec = cloexec_of(flags)?;
    let (out0, out1) = (required(out0)?, required(out1)?);
    let (table, caller) = (thread.handles(), thread.caller());
    let (first, second) = Endpoint::create(&caller)?;
    let mut landing = table.land(&caller, 2, cloexec)?;
    // Nothing is there yet if this fails.
    copy_out(&*caller.memory, out0, &landing.number(0).to_le_bytes()).await?;
    copy_out(&*caller.memory, out1, &landing.number(1).to_le_bytes()).await?;
    landing.install(first)?;
    landing.install(second)?;
    Ok(0)
}

/// A `channel_msg`: two addresses and two counts.
#[derive(Clone, Copy)]
struct Header {
    at: u64,
    bytes: u64,
    handles: u64,
    sizes: Sizes,
}

impl Header {
    fn decode(at: u64, raw: [u8; HEADER_BYTES]) -> Header {
        let word = |from: usize| {
            raw.get(from..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
        };
        let counts = word(16);
        #[allow(clippy::cast_possible_truncation, reason = "two 32-bit halves")]
        let (bytes, handles) = (counts as u32, (counts >> 32) as u32);
        let sizes = Sizes { bytes: bytes as usize, handles: handles as usize };
        Header { at, bytes: word(0), handles: word(8), sizes }
    }

    /// The header at `at`, if it is resident.
    fn now(memory: &dyn UserMemory, at: u64) -> Option<Header> {
        let mut raw = [0; HEADER_BYTES];
        (memory.copy_in_nofault(at, &mut raw) == raw.len()).then(|| Self::decode(at, raw))
    }

    async fn read(memory: &dyn UserMemory, at: u64) -> Result<Header> {
        let mut raw = [0; HEADER_BYTES];
        copy_in(memory, at, &mut raw).await?;
        Ok(Self::decode(at, raw))
    }

    fn check_buffers(&self) -> Result<()> {
        let missing = self.sizes.bytes > 0 && self.bytes == 0 || self.sizes.handles > 0 && self.handles == 0;
        if missing { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// Of a message to send.
    fn check_message(&self) -> Result<()> {
        if self.sizes.bytes > MESSAGE_BYTES || self.sizes.handles > HANDLES_PER_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        self.check_buffers()
    }

    /// Writes the counts back.
    fn counts(sizes: Sizes) -> [u8; 8] {
        // Both fit: a message is no larger.
        (sizes.bytes as u64 | (sizes.handles as u64) << 32).to_le_bytes()
    }
}

/// The endpoint behind a handle, or why it is none.
fn endpoint(access: &Access) -> Result<&Arc<Endpoint>> {
    access.object().channel().ok_or(Errno::ENOTSUP)
}

/// Options of a send, which installs no handles here.
fn send_options(options: u64) -> Result<Options> {
    receive_options(options)
        .and_then(|options| if options.contains(Options::CLOEXEC) { Err(Errno::EINVAL) } else { Ok(options) })
}

/// Sends if that needs no wait for anything.
fn try_send(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Option<Result<u64>> {
    let options = send_options(options).ok()?;
    let msg = required(msg).ok()?;
    let resources = thread.resources()?;
    send_now(&resources, handle, msg, options).map(|sent| sent.map(|()| 0))
}

async fn channel_send(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Result<u64> {
    let options = send_options(options)?;
    let msg = required(msg)?;
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    send_later(&resources, handle, msg, options).await?;
    Ok(0)
}

fn send_now(resources: &Resources, handle: i32, msg: u64, options: Options) -> Option<Result<()>> {
    let header = Header::now(&*resources.caller.memory, msg)?;
    if let Err(error) = header.check_message() {
        return Some(Err(error));
    }
    // Two sizes, since clearing the larger one would cost more than all the rest.
    if header.sizes.bytes <= INLINE_BYTES {
        send_buffered::<INLINE_BYTES>(resources, handle, header, options)
    } else {
        send_buffered::<MESSAGE_BYTES>(resources, handle, header, options)
    }
}

fn send_buffered<const SIZE: usize>(
    resources: &Resources,
    handle: i32,
    header: Header,
    options: Options,
) -> Option<Result<()>> {
    let memory = &*resources.caller.memory;
    let mut payload = [0; SIZE];
    let payload = payload.get_mut(..header.sizes.bytes)?;
    let mut raw = [0; 4 * HANDLES_PER_MESSAGE];
    let raw = raw.get_mut(..4 * header.sizes.handles)?;
    if memory.copy_in_nofault(header.bytes, payload) < payload.len()
        || memory.copy_in_nofault(header.handles, raw) < raw.len()
    {
        return None;
    }
    let mut handles = [0; HANDLES_PER_MESSAGE];
    let handles = decode_handles(raw, &mut handles);
    let send = || {
        let (access, mut outgoing) = prepare(resources, handle, payload, handles)?;
        endpoint(&access)?.try_send(&resources.caller, &mut outgoing, options)
    };
    match send() {
        Err(Errno::EAGAIN) if !options.contains(Options::NONBLOCK) => None,
        result => Some(result),
    }
}

fn decode_handles<'a>(raw: &[u8], into: &'a mut [i32; HANDLES_PER_MESSAGE]) -> &'a [i32] {
    for (word, handle) in raw.chunks_exact(4).zip(into.iter_mut()) {
        *handle = word.first_chunk().map_or(-1, |word| i32::from_le_bytes(*word));
    }
    into.get(..raw.len() / 4).unwrap_or_default()
}

/// Looks the channel up and takes the handles out of the table.
fn prepare<'a>(
    resources: &Resources,
    handle: i32,
    payload: &'a [u8],
    handles: &[i32],
) -> Result<(Access, Outgoing<'a>)> {
    let access = resources.handles.get(handle, AccessOp::Write)?;
    let outgoing = match handles {
        [] => Outgoing::bytes(payload),
        handles => Outgoing::with_handles(payload, resources.handles.reserve(&resources.caller, handles)?),
    };
    Ok((access, outgoing))
}

/// What a message to send brings, in kernel memory.
async fn read_message(memory: &dyn UserMemory, header: &Header) -> Result<(Vec<u8>, Vec<i32>)> {
    let mut payload = Vec::new();
    payload.try_reserve_exact(header.sizes.bytes).map_err(|_| Errno::ENOMEM)?;
    payload.resize(header.sizes.bytes, 0);
    copy_in(memory, header.bytes, &mut payload).await?;
    let mut raw = [0; 4 * HANDLES_PER_MESSAGE];
    let raw = raw.get_mut(..4 * header.sizes.handles).ok_or(Errno::EMSGSIZE)?;
    copy_in(memory, header.handles, raw).await?;
    Ok((payload, decode_handles(raw, &mut [0; HANDLES_PER_MESSAGE]).to_vec()))
}

async fn send_later(resources: &Resources, handle: i32, msg: u64, options: Options) -> Result<()> {
    let memory = &*resources.caller.memory;
    let header = Header::read(memory, msg).await?;
    header.check_message()?;
    let (payload, handles) = read_message(memory, &header).await?;
    let (access, mut outgoing) = prepare(resources, handle, &payload, &handles)?;
    endpoint(&access)?.send(&resources.caller, &access, &mut outgoing, options).await
}

/// The program's buffers for a message.
struct Buffers<'a> {
    memory: &'a dyn UserMemory,
    header: Header,
    /// The address and length at which the last delivery stopped.
    missing: (u64, usize),
}

impl<'a> Buffers<'a> {
    fn new(memory: &'a dyn UserMemory, header: Header) -> Buffers<'a> {
        // More room than a message can take is as good as enough.
        let sizes = Sizes {
            bytes: header.sizes.bytes.min(MESSAGE_BYTES),
            handles: header.sizes.handles.min(HANDLES_PER_MESSAGE),
        };
        Buffers { memory, header: Header { sizes, ..header }, missing: (0, 0) }
    }

    fn put(&mut self, to: u64, bytes: &[u8]) -> Result<()> {
        let done = self.memory.copy_out_nofault(to, bytes);
        if done == bytes.len() {
            return Ok(());
        }
        self.missing = (to.wrapping_add(done as u64), bytes.len() - done);
        Err(Errno::EFAULT)
    }
}

impl Incoming for Buffers<'_> {
    fn room(&self) -> Sizes {
        self.header.sizes
    }

    fn deliver(&mut self, payload: &[u8], handles: &[i32]) -> Result<()> {
        let header = self.header;
        self.put(header.bytes, payload)?;
        let mut raw = [0; 4 * HANDLES_PER_MESSAGE];
        for (handle, place) in handles.iter().zip(raw.chunks_exact_mut(4)) {
            place.copy_from_slice(&handle.to_le_bytes());
        }
        self.put(header.handles, raw.get(..4 * handles.len()).unwrap_or_default())?;
        let sizes = Sizes { bytes: payload.len(), handles: handles.len() };
        self.put(header.at.wrapping_add(16), &Header::counts(sizes))
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        let (at, length) = self.missing;
        self.memory.fault_in(at, length, MemoryAccess::Write)
    }
}

/// Options of a receive.
fn receive_options(options: u64) -> Result<Options> {
    u32::try_from(options).ok().and_then(Options::from_bits).ok_or(Errno::EINVAL)
}

/// Receives if that needs no wait for anything.
fn try_recv(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Option<Result<u64>> {
    let options = receive_options(options).ok()?;
    let msg = required(msg).ok()?;
    let resources = thread.resources()?;
    let memory = &*resources.caller.memory;
    let header = Header::now(memory, msg)?;
    let receive = || {
        header.check_buffers()?;
        let access = resources.handles.get(handle, AccessOp::Read)?;
        let mut buffers = Buffers::new(memory, header);
        let cloexec = options.contains(Options::CLOEXEC);
        endpoint(&access)?.try_receive(&resources.caller, &resources.handles, cloexec, &mut buffers)
    };
    let (sizes, result) = match receive() {
        Ok(Outcome::Message(_)) => return Some(Ok(0)),
        Ok(Outcome::TooSmall(sizes)) => (sizes, Err(Errno::EMSGSIZE)),
        Ok(Outcome::End) => (Sizes::default(), Ok(0)),
        // Perhaps only a page is missing.
        Err(Errno::EFAULT) => return None,
        Err(Errno::EAGAIN) if !options.contains(Options::NONBLOCK) => return None,
        Err(error) => return Some(Err(error)),
    };
    let counts = Header::counts(sizes);
    let told = memory.copy_out_nofault(msg.wrapping_add(16), &counts) == counts.len();
    told.then_some(result)
}

/// In one piece, since each async function that is called keeps its arguments twice, and a receiver that waits
/// is to need no allocation.
async fn channel_recv(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Result<u64> {
    let options = receive_options(options)?;
    let at = required(msg)?;
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    let memory = &*resources.caller.memory;
    let header = Header::read(memory, at).await?;
    header.check_buffers()?;
    let access = resources.handles.get(handle, AccessOp::Read)?;
    let mut buffers = Buffers::new(memory, header);
    let Resources { caller, handles, .. } = &*resources;
    let outcome = endpoint(&access)?.receive(caller, &access, handles, &mut buffers, options).await?;
    finish(caller, at, outcome).await
}

/// Writes back what the delivery did not.
async fn finish(caller: &Caller, msg: u64, outcome: Outcome) -> Result<u64> {
    let (sizes, result) = match outcome {
        Outcome::Message(_) => return Ok(0),
        Outcome::TooSmall(sizes) => (sizes, Err(Errno::EMSGSIZE)),
        Outcome::End => (Sizes::default(), Ok(0)),
    };
    copy_out(&*caller.memory, msg.wrapping_add(16), &Header::counts(sizes)).await?;
    result
}

async fn channel_call(
    thread: &Thread,
    handle: i32,
    send: Pointer,
    recv: Pointer,
    timeout_ns: u64,
    options: u64,
) -> Result<u64> {
    let cloexec = options & CALL_CLOEXEC != 0;
    no_flags(options & !CALL_CLOEXEC)?;
    let (send, recv) = (required(send)?, required(recv)?);
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    let call = call_and_wait(&resources, handle, (send, recv), timeout_ns, cloexec);
    let outcome = Box::pin(call).await?;
    finish(&resources.caller, recv, outcome).await
}

async fn call_and_wait(
    resources: &Resources,
    handle: i32,
    (send, recv): (u64, u64),
    timeout_ns: u64,
    cloexec: bool,
) -> Result<Outcome> {
    let memory = &*resources.caller.memory;
    let header = Header::read(memory, send).await?;
    let room = Header::read(memory, recv).await?;
    header.check_message()?;
    if header.sizes.bytes < CALL_PREFIX_BYTES {
        return Err(Errno::EINVAL);
    }
    room.check_buffers()?;
    let (payload, handles) = read_message(memory, &header).await?;
    // What comes back is read through the same handle.
    resources.handles.get(handle, AccessOp::Read)?;
    let (access, mut outgoing) = prepare(resources, handle, &payload, &handles)?;
    let mut buffers = Buffers::new(memory, room);
    let deadline = (timeout_ns != u64::MAX).then(|| machine().now() + Duration::from_nanos(timeout_ns));
    let endpoint = endpoint(&access)?;
    let table = &resources.handles;
    endpoint.call(&resources.caller, &access, &mut outgoing, table, &mut buffers, deadline, cloexec).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::SLOT_BYTES;

    fn size_of_future<'a, F: Future + 'a>(_call: fn(&'a Thread, i32, Pointer, u64) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_blocked_receive_needs_no_allocation() {
        let size = size_of_future(channel_recv);
        assert!(size <= SLOT_BYTES, "{size} bytes");
    }
}
