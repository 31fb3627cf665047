//! System V semaphores. Source: `semget(2)`, `semop(2)`, `semctl(2)`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use base::charge::Charge;
use base::time::Instant;
use base::{Errno, Result, machine};

use crate::declare;
use crate::declare::Pointer;
use crate::sysv::command;
use crate::sysv::ids::to_answer;
use crate::sysv::permission::{self, NewOwner};
use crate::sysv::semaphore::control::{Question, check_value, info};
use crate::sysv::semaphore::{self, Operation, SETS_BY_ID};
use crate::sysv::settings::OPERATIONS;
use crate::thread::Thread;
use crate::time::timespec::from_parts;
use crate::user::{copy_in, copy_out, read_words};

declare! {
    sync 64 => semget(key: i32, count: i32, flags: i32);
    async 65 => semop(id: i32, operations: Pointer, count: u32);
    async 66 => semctl(id: i32, index: i32, command: i32, argument: u64);
    async 220 => semtimedop(id: i32, operations: Pointer, count: u32, timeout: Pointer);
}

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

fn semget(thread: &Thread, key: i32, count: i32, flags: i32) -> Result<u64> {
    semaphore::get(&thread.caller(), key, count, flags).map(to_answer)
}

async fn semop(thread: &Thread, id: i32, operations: Pointer, count: u32) -> Result<u64> {
    operate(thread, id, operations, count, None).await
}

async fn semtimedop(
    thread: &Thread,
    id: i32,
    operations: Pointer,
    count: u32,
    timeout: Pointer,
) -> Result<u64> {
    let timeout = match timeout.is_null() {
        true => None,
        false => Some(read_words::<2>(&*thread.space(), timeout.0).await?),
    };
    operate(thread, id, operations, count, timeout).await
}

async fn operate(
    thread: &Thread,
    id: i32,
    operations: Pointer,
    count: u32,
    timeout: Option<[u64; 2]>,
) -> Result<u64> {
    let caller = thread.caller();
    if u64::from(count) > OPERATIONS.get() {
        return Err(Errno::E2BIG);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    let operations = read_operations(thread, operations, count as usize).await?;
    let deadline = timeout.map(deadline).transpose()?;
    let set = semaphore::find(id)?;
    let undo = operations.iter().any(|operation| operation.undo).then(|| thread.semaphore_undo().list());
    set.operate(&caller, undo.as_ref(), operations, deadline).await?;
    Ok(0)
}

/// When a span of seconds and nanoseconds is over.
fn deadline([seconds, nanoseconds]: [u64; 2]) -> Result<Instant> {
    Ok(machine::now() + from_parts(seconds, nanoseconds, 1)?)
}

async fn read_operations(thread: &Thread, from: Pointer, count: usize) -> Result<Box<[Operation]>> {
    let bytes = read_bytes(thread, from.0, count * Operation::BYTES).await?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| Operation::decode(*bytes)).collect())
}

/// Reads an array whose length has been checked against a limit.
async fn read_bytes(thread: &Thread, from: u64, length: usize) -> Result<Vec<u8>> {
    let _charge = Charge::new(&thread.caller().account, length)?;
    let mut bytes = alloc::vec![0; length];
    copy_in(&*thread.space(), from, &mut bytes).await?;
    Ok(bytes)
}

async fn semctl(thread: &Thread, id: i32, index: i32, command: i32, argument: u64) -> Result<u64> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    let question = match command {
        GETVAL => Question::Value,
        GETPID => Question::Pid,
        GETNCNT => Question::WaitForMore,
        GETZCNT => Question::WaitForZero,
        // An `int` in the union is its lower half.
        SETVAL => return set_value(thread, id, index, argument as i32),
        GETALL | SETALL => return all_values(thread, id, command, argument).await,
        command::IPC_INFO | SEM_INFO => {
            let (record, highest) = info(command == SEM_INFO);
            copy_out(&*thread.space(), argument, record.as_bytes()).await?;
            return Ok(highest.into());
        }
        command::IPC_STAT | SEM_STAT | SEM_STAT_ANY => return status(thread, id, command, argument).await,
        command::IPC_SET => {
            let mut bytes = [0; NewOwner::BYTES];
            copy_in(&*thread.space(), argument, &mut bytes).await?;
            return semaphore::find(id)?.set_owner(&caller, NewOwner::decode(&bytes)).map(|()| 0);
        }
        command::IPC_RMID => return semaphore::find(id)?.remove(&caller).map(|()| 0),
        _ => return Err(Errno::EINVAL),
    };
    semaphore::find(id)?.ask(&caller, index, question)
}

fn set_value(thread: &Thread, id: i32, index: i32, value: i32) -> Result<u64> {
    let value = check_value(value)?;
    semaphore::find(id)?.set_value(&thread.caller(), index, value).map(|()| 0)
}

async fn all_values(thread: &Thread, id: i32, command: i32, array: u64) -> Result<u64> {
    let set = semaphore::find(id)?;
    let caller = thread.caller();
    if command == GETALL {
        let values = set.values(&caller)?;
        copy_out(&*thread.space(), array, &values).await?;
    } else {
        set.check(&caller, permission::WRITE)?;
        let bytes = read_bytes(thread, array, set.status().count * size_of::<u16>()).await?;
        set.set_values(&caller, &bytes)?;
    }
    Ok(0)
}

async fn status(thread: &Thread, id: i32, command: i32, buffer: u64) -> Result<u64> {
    let (answer, set) = match command {
        command::IPC_STAT => (0, semaphore::find(id)?),
        _ => SETS_BY_ID.find_index(id)?,
    };
    if command != SEM_STAT_ANY {
        set.check(&thread.caller(), permission::READ)?;
    }
    copy_out(&*thread.space(), buffer, set.status().record().as_bytes()).await?;
    Ok(to_answer(answer))
}
