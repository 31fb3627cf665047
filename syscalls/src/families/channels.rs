//! Channels: create, send, receive, call. The exact ABI: `docs/abi.md`.
//!
//! What can be done at once is done without a future: the program's memory is resident and the other end has
//! room, or has sent something. A receive or call that then only has to wait goes on in
//! [`Rest`]; everything else starts over.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use base::memory::UserMemory;
use base::time::Instant;
use base::{Errno, Result, machine};
use ipc::channel::{
    CALL_PREFIX_BYTES, Endpoint, HANDLES_PER_MESSAGE, INLINE_BYTES, MESSAGE_BYTES, Options, Outcome,
    Outgoing, Sizes,
};
use ipc::table::reserve::Reserved;
use ipc::{Access, AccessOp};

use super::channel_message::{Buffers, Header, decode_handles, finish};
use super::channel_wait::{Held, Rest};
use super::handles::{cloexec_of, no_flags, required};
use crate::declare;
use crate::declare::{Pointer, Tried};
use crate::mm::AddressSpace;
use crate::thread::Thread;
use crate::thread::resources::Resources;
use crate::user::{copy_in, copy_out};

declare! {
    async 4602 => channel_create(out0: Pointer, out1: Pointer, flags: u64);
    async 4603 => channel_send(handle: i32, msg: Pointer, options: u64) after try_send;
    async 4604 => channel_recv(handle: i32, msg: Pointer, options: u64) resuming try_recv;
    async 4616 => channel_call(handle: i32, send: Pointer, recv: Pointer, timeout_ns: u64, options: u64) resuming try_call;
}

/// `channel_call`: the handles that arrive are closed on exec.
const CALL_CLOEXEC: u64 = 4;

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

/// The endpoint behind a handle, or why it is none.
#[inline]
fn endpoint(access: &Access) -> Result<&Arc<Endpoint>> {
    access.object().channel().ok_or(Errno::ENOTSUP)
}

/// Options of a receive.
fn receive_options(options: u64) -> Result<Options> {
    u32::try_from(options).ok().and_then(Options::from_bits).ok_or(Errno::EINVAL)
}

/// Options of a send, which installs no handles here.
fn send_options(options: u64) -> Result<Options> {
    receive_options(options)
        .and_then(|options| if options.contains(Options::CLOEXEC) { Err(Errno::EINVAL) } else { Ok(options) })
}

/// Options of a call, of which only CLOEXEC is known.
fn call_options(options: u64) -> Result<Options> {
    no_flags(options & !CALL_CLOEXEC)?;
    Ok(if options == 0 { Options::empty() } else { Options::CLOEXEC })
}

/// When a call with this timeout is over; `None` for never.
fn deadline_of(timeout_ns: u64) -> Option<Instant> {
    (timeout_ns != u64::MAX).then(|| machine::now() + Duration::from_nanos(timeout_ns))
}

/// Sends if that needs no wait for anything.
fn try_send(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Option<Result<u64>> {
    let options = send_options(options).ok()?;
    let msg = required(msg).ok()?;
    let resources = thread.resources()?;
    let memory = &*resources.space;
    let header = Header::now(memory, msg)?;
    let send = || {
        header.check_message()?;
        let access = resources.handles.get(handle, AccessOp::Write)?;
        let mut outgoing = Outgoing::new(header.payload(memory));
        prepare_now(&resources, &header, &mut outgoing)?;
        endpoint(&access)?.try_send(&resources.caller, Some(access.node()), &mut outgoing, options)
    };
    match send() {
        Ok(()) => Some(Ok(0)),
        Err(Errno::EAGAIN) if !options.contains(Options::NONBLOCK) => None,
        Err(error) => refused(memory, &header, error),
    }
}

/// Takes the handles of a message out of the table; `EFAULT` when a page of the message is missing. Nothing is taken, and
/// nothing allocated later, for a payload that would have to be faulted in first.
#[inline]
fn prepare_now(resources: &Resources, header: &Header, outgoing: &mut Outgoing<'_>) -> Result<()> {
    match header.sizes {
        Sizes { handles: 0, bytes: 0..=INLINE_BYTES } => Ok(()),
        sizes => prepare_resident(resources, header, sizes, outgoing),
    }
}

/// The rest of [`prepare_now`] for a message that needs memory of the kernel.
#[inline(never)]
fn prepare_resident(
    resources: &Resources,
    header: &Header,
    sizes: Sizes,
    outgoing: &mut Outgoing<'_>,
) -> Result<()> {
    let memory = &*resources.space;
    let (mut one, mut many);
    let raw = if sizes.handles == 1 {
        // Which is most: spares it the clearing of the others.
        one = [0; 4];
        &mut one[..]
    } else {
        many = [0; 4 * HANDLES_PER_MESSAGE];
        many.get_mut(..4 * sizes.handles).ok_or(Errno::EMSGSIZE)?
    };
    if memory.copy_in_nofault(header.handles, raw) < raw.len() || !header.payload_is_resident(memory) {
        return Err(Errno::EFAULT);
    }
    if sizes.handles == 0 {
        return Ok(());
    }
    let reserved = outgoing.handles.insert(Reserved::none(&resources.handles, &resources.caller));
    match raw.as_array() {
        Some(one) => reserved.take(&[i32::from_le_bytes(*one)]),
        None => reserved.take(decode_handles(raw, &mut [0; HANDLES_PER_MESSAGE])),
    }
}

/// Why a message was not sent. Unreadable memory comes before everything that was found out about handles and
/// channel: if some of it is missing, the call starts over and sees.
#[cold]
fn refused<T>(memory: &AddressSpace, header: &Header, error: Errno) -> Option<Result<T>> {
    let mut bytes = [0; MESSAGE_BYTES];
    let payload = bytes.get_mut(..header.sizes.bytes.min(MESSAGE_BYTES))?;
    let is_there = memory.copy_in_nofault(header.bytes, payload) == payload.len();
    (error != Errno::EFAULT && (error == Errno::EMSGSIZE || is_there)).then_some(Err(error))
}

async fn channel_send(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Result<u64> {
    let options = send_options(options)?;
    let msg = required(msg)?;
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    let memory = &*resources.space;
    let header = Header::read(memory, msg).await?;
    header.check_message()?;
    let (payload, handles) = read_message(memory, &header).await?;
    let (access, mut outgoing) = prepare(&resources, handle, &payload, &handles)?;
    endpoint(&access)?.send(&resources.caller, &access, &mut outgoing, options).await?;
    Ok(0)
}

/// What a message to send brings, in kernel memory.
async fn read_message(memory: &AddressSpace, header: &Header) -> Result<(Vec<u8>, Vec<i32>)> {
    let mut payload = Vec::new();
    payload.try_reserve_exact(header.sizes.bytes).map_err(|_| Errno::ENOMEM)?;
    payload.resize(header.sizes.bytes, 0);
    copy_in(memory, header.bytes, &mut payload).await?;
    let mut raw = [0; 4 * HANDLES_PER_MESSAGE];
    let raw = raw.get_mut(..4 * header.sizes.handles).ok_or(Errno::EMSGSIZE)?;
    copy_in(memory, header.handles, raw).await?;
    Ok((payload, decode_handles(raw, &mut [0; HANDLES_PER_MESSAGE]).to_vec()))
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

/// Receives if that needs no wait for anything.
fn try_recv(thread: &Thread, rest: &mut Rest, handle: i32, msg: Pointer, options: u64) -> Tried {
    let (Ok(options), Ok(msg)) = (receive_options(options), required(msg)) else { return Tried::Nothing };
    let Some(resources) = thread.resources() else { return Tried::Nothing };
    let Some(header) = Header::now(&resources.space, msg) else { return Tried::Nothing };
    let receive = || {
        header.check_buffers()?;
        resources.handles.get(handle, AccessOp::Read)
    };
    match receive() {
        Ok(access) => receive_now(rest, resources, access, header, options),
        Err(error) => Tried::Done(Err(error)),
    }
}

#[inline]
fn receive_now(
    rest: &mut Rest,
    resources: Arc<Resources>,
    access: Access,
    header: Header,
    options: Options,
) -> Tried {
    if let Err(error) = endpoint(&access) {
        return Tried::Done(Err(error));
    }
    (rest.header, rest.options, rest.deadline) = (header, options, None);
    rest.hold(Held { resources, access, reply: None });
    rest.try_now()
}

async fn channel_recv(thread: &Thread, handle: i32, msg: Pointer, options: u64) -> Result<u64> {
    let options = receive_options(options)?;
    let at = required(msg)?;
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    let memory = &*resources.space;
    let header = Header::read(memory, at).await?;
    header.check_buffers()?;
    let access = resources.handles.get(handle, AccessOp::Read)?;
    let mut buffers = Buffers::new(memory, &header);
    let receiver = resources.receiver(&access, options);
    let outcome = endpoint(&access)?.receive(receiver, &mut buffers).await?;
    finish(memory, at, outcome).await
}

/// The handle of a call: what comes back is read through the same one.
fn access_for_call(resources: &Resources, handle: i32) -> Result<Access> {
    let access = resources.handles.get(handle, AccessOp::Write)?;
    if AccessOp::Read.is_allowed_by(access.rights()) { Ok(access) } else { Err(Errno::EACCES) }
}

/// Checks both messages of a call.
fn check_call(question: &Header, answer: &Header) -> Result<()> {
    question.check_message()?;
    if question.sizes.bytes < CALL_PREFIX_BYTES {
        return Err(Errno::EINVAL);
    }
    answer.check_buffers()
}

/// Sends the question if that needs no wait for anything; what is left is to wait for the answer.
fn try_call(
    thread: &Thread,
    rest: &mut Rest,
    handle: i32,
    send: Pointer,
    recv: Pointer,
    timeout_ns: u64,
    options: u64,
) -> Tried {
    let Ok(options) = call_options(options) else { return Tried::Nothing };
    let (Ok(send), Ok(recv)) = (required(send), required(recv)) else { return Tried::Nothing };
    let Some(resources) = thread.resources() else { return Tried::Nothing };
    let memory = &*resources.space;
    let (Some(question), Some(header)) = (Header::now(memory, send), Header::now(memory, recv)) else {
        return Tried::Nothing;
    };
    let call = || {
        check_call(&question, &header)?;
        let access = access_for_call(&resources, handle)?;
        let mut outgoing = Outgoing::new(question.payload(memory));
        prepare_now(&resources, &question, &mut outgoing)?;
        let endpoint = endpoint(&access)?;
        let seen = endpoint.calls().observe();
        let place = endpoint.begin_call(&mut outgoing)?;
        endpoint.try_send(&resources.caller, Some(access.node()), &mut outgoing, Options::empty())?;
        Ok((access, seen, place))
    };
    match call() {
        Ok((access, seen, place)) => {
            let deadline = deadline_of(timeout_ns);
            (rest.header, rest.options, rest.seen, rest.deadline) = (header, options, seen, deadline);
            rest.hold(Held { resources, access, reply: Some(place) });
            Tried::Waits
        }
        // The queue is full, or too many wait: the future tells them apart.
        Err(Errno::EAGAIN) => Tried::Nothing,
        Err(error) => refused(memory, &question, error).into(),
    }
}

async fn channel_call(
    thread: &Thread,
    handle: i32,
    send: Pointer,
    recv: Pointer,
    timeout_ns: u64,
    options: u64,
) -> Result<u64> {
    let options = call_options(options)?;
    let (send, recv) = (required(send)?, required(recv)?);
    let Some(resources) = thread.resources() else { return Err(Errno::ESRCH) };
    let call = call_and_wait(&resources, handle, (send, recv), timeout_ns, options);
    let outcome = Box::pin(call).await?;
    finish(&resources.space, recv, outcome).await
}

async fn call_and_wait(
    resources: &Resources,
    handle: i32,
    (send, recv): (u64, u64),
    timeout_ns: u64,
    options: Options,
) -> Result<Outcome> {
    let memory = &*resources.space;
    let question = Header::read(memory, send).await?;
    let answer = Header::read(memory, recv).await?;
    check_call(&question, &answer)?;
    let (payload, handles) = read_message(memory, &question).await?;
    access_for_call(resources, handle)?;
    let (access, mut outgoing) = prepare(resources, handle, &payload, &handles)?;
    let mut buffers = Buffers::new(memory, &answer);
    let deadline = deadline_of(timeout_ns);
    let receiver = resources.receiver(&access, options);
    endpoint(&access)?.call(receiver, &mut outgoing, &mut buffers, deadline).await
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
