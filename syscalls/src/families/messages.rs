//! System V message queues. Source: `msgget(2)`, `msgop(2)`, `msgctl(2)`.

use alloc::sync::Arc;

use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::sysv::command;
use crate::sysv::ids::to_answer;
use crate::sysv::message::control::info;
use crate::sysv::message::queue::{Message, Wish};
use crate::sysv::message::selection::{MSG_COPY, Selection};
use crate::sysv::message::{self, QUEUES_BY_ID};
use crate::sysv::permission::{self, NewOwner};
use crate::sysv::settings::MESSAGE_BYTES;
use crate::thread::Thread;
use crate::user::{copy_in, copy_out, read_words, write_words};

declare! {
    sync 68 => msgget(key: i32, flags: i32);
    async 69 => msgsnd(id: i32, message: Pointer, size: usize, flags: i32) [nohand];
    async 70 => msgrcv(id: i32, message: Pointer, size: usize, kind: i64, flags: i32) [nohand];
    async 71 => msgctl(id: i32, command: i32, buffer: Pointer);
}

const IPC_NOWAIT: i32 = 0o4000;
/// Cut a text that is too long.
const MSG_NOERROR: i32 = 0o10000;
/// Combination of flags that msgrcv(2) refuses with `MSG_COPY`.
const MSG_EXCEPT: i32 = 0o20000;

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// Bytes of the type in front of a text.
const KIND_BYTES: u64 = size_of::<i64>() as u64;
/// Bytes of `struct msqid64_ds` up to the field that `IPC_SET` reads, and with it.
const CAPACITY_AT: usize = 88;
const SET_BYTES: usize = CAPACITY_AT + 8;

fn msgget(thread: &Thread, key: i32, flags: i32) -> Result<u64> {
    message::get(&thread.caller(), key, flags).map(to_answer)
}

async fn msgsnd(thread: &Thread, id: i32, message: Pointer, size: usize, flags: i32) -> Result<u64> {
    let space = thread.space();
    let [kind] = read_words::<1>(&*space, message.0).await?;
    if size as u64 > MESSAGE_BYTES.get() || id < 0 || kind.cast_signed() < 1 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    let charge = Message::charge(&caller, size)?;
    let mut text: Arc<[u8]> = core::iter::repeat_n(0, size).collect();
    if let Some(text) = Arc::get_mut(&mut text) {
        copy_in(&*space, message.0.wrapping_add(KIND_BYTES), text).await?;
    }
    let message = Message::new(kind.cast_signed(), text, charge);
    message::find(id)?.send(&caller, message, flags & IPC_NOWAIT != 0).await?;
    Ok(0)
}

async fn msgrcv(
    thread: &Thread,
    id: i32,
    message: Pointer,
    size: usize,
    kind: i64,
    flags: i32,
) -> Result<u64> {
    if id < 0 || isize::try_from(size).is_err() {
        return Err(Errno::EINVAL);
    }
    let copy = flags & MSG_COPY != 0;
    if copy && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL);
    }
    let wish = Wish {
        selection: Selection::new(kind, flags),
        longest: if flags & MSG_NOERROR != 0 { usize::MAX } else { size },
        no_wait: flags & IPC_NOWAIT != 0,
    };
    let received = message::find(id)?.receive(&thread.caller(), wish).await?;
    if copy && received.text.len() > size {
        return Err(Errno::EINVAL);
    }
    // As on Linux, a message whose buffer is bad is lost.
    let space = thread.space();
    let text = received.text.get(..size).unwrap_or(&received.text);
    write_words(&*space, message.0, &[received.kind.cast_unsigned()]).await?;
    copy_out(&*space, message.0.wrapping_add(KIND_BYTES), text).await?;
    Ok(text.len() as u64)
}

async fn msgctl(thread: &Thread, id: i32, command: i32, buffer: Pointer) -> Result<u64> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    match command {
        command::IPC_INFO | MSG_INFO => {
            let (record, highest) = info(command == MSG_INFO);
            copy_out(&*thread.space(), buffer.0, record.as_bytes()).await?;
            Ok(highest.into())
        }
        command::IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let (answer, queue) = match command {
                command::IPC_STAT => (0, message::find(id)?),
                _ => QUEUES_BY_ID.find_index(id)?,
            };
            if command != MSG_STAT_ANY {
                queue.check(&caller, permission::READ)?;
            }
            copy_out(&*thread.space(), buffer.0, queue.status().record().as_bytes()).await?;
            Ok(to_answer(answer))
        }
        command::IPC_SET => {
            let mut bytes = [0; SET_BYTES];
            copy_in(&*thread.space(), buffer.0, &mut bytes).await?;
            let owner = bytes.first_chunk().map(NewOwner::decode).ok_or(Errno::EINVAL)?;
            let capacity = bytes.last_chunk().copied().map(u64::from_le_bytes).ok_or(Errno::EINVAL)?;
            message::find(id)?.set(&caller, owner, capacity)?;
            Ok(0)
        }
        command::IPC_RMID => message::find(id)?.remove(&caller).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}
