//! System V shared memory. Source: `shmget(2)`, `shmat(2)`, `shmctl(2)`.

use base::caller::Capabilities;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::machine::PageFlags;
use crate::mm::map::Place;
use crate::mm::placement::Window;
use crate::mm::{Backing, MapRequest, RegionFlags, is_page_aligned, page_floor};
use crate::sysv::command;
use crate::sysv::ids::to_answer;
use crate::sysv::memory::control::{limits, usage};
use crate::sysv::memory::{self, SEGMENTS_BY_ID};
use crate::sysv::permission::{self, NewOwner};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out};

declare! {
    sync 29 => shmget(key: i32, size: u64, flags: i32);
    async 30 => shmat(id: i32, address: u64, flags: i32);
    async 31 => shmctl(id: i32, command: i32, buffer: Pointer);
    async 67 => shmdt(address: u64);
}

const SHM_RDONLY: i32 = 0o10000;
const SHM_RND: i32 = 0o20000;
const SHM_REMAP: i32 = 0o40000;
const SHM_EXEC: i32 = 0o100_000;

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

fn shmget(thread: &Thread, key: i32, size: u64, flags: i32) -> Result<u64> {
    memory::get(&thread.caller(), key, size, flags).map(to_answer)
}

async fn shmat(thread: &Thread, id: i32, address: u64, flags: i32) -> Result<u64> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let (address, place) = place(address, flags)?;
    let (mut access, mut wanted) = (PageFlags::READ, permission::READ);
    let mut allowed = PageFlags::all();
    if flags & SHM_RDONLY != 0 {
        allowed.remove(PageFlags::WRITE);
    } else {
        access |= PageFlags::WRITE;
        wanted |= permission::WRITE;
    }
    if flags & SHM_EXEC != 0 {
        access |= PageFlags::EXECUTE;
        wanted |= permission::EXECUTE;
    }
    let segment = memory::find(id)?;
    segment.check(&thread.caller(), wanted)?;
    if place == Place::FixedNoReplace && address.checked_add(segment.size()).is_none() {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let mapping = segment.mapping(&space, allowed.contains(PageFlags::WRITE))?;
    let request = MapRequest {
        address,
        place,
        allowed,
        flags: RegionFlags::SHARED,
        backing: Backing::File(mapping),
        may_exceed_lock_limit: thread.credentials().capable(Capabilities::IPC_LOCK),
        may_map_low: thread.credentials().capable(Capabilities::SYS_RAWIO),
        ..MapRequest::anonymous(segment.size(), access)
    };
    drop(segment);
    space.map(request).await.map_err(|errno| if errno == Errno::EEXIST { Errno::EINVAL } else { errno })
}

/// Where an attachment goes.
fn place(address: u64, flags: i32) -> Result<(u64, Place)> {
    let replace = flags & SHM_REMAP != 0;
    if address == 0 {
        return if replace { Err(Errno::EINVAL) } else { Ok((0, Place::Hint(Window::Any))) };
    }
    let floor = page_floor(address);
    if !is_page_aligned(address) && (flags & SHM_RND == 0 || replace && floor == 0) {
        return Err(Errno::EINVAL);
    }
    Ok((floor, if replace { Place::Fixed } else { Place::FixedNoReplace }))
}

async fn shmdt(thread: &Thread, address: u64) -> Result<u64> {
    thread.space().detach_segment(address).await.map(|()| 0)
}

async fn shmctl(thread: &Thread, id: i32, command: i32, buffer: Pointer) -> Result<u64> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let caller = thread.caller();
    match command {
        command::IPC_INFO | SHM_INFO => {
            let (record, highest) = if command == SHM_INFO { usage() } else { limits() };
            copy_out(&*thread.space(), buffer.0, record.as_bytes()).await?;
            Ok(highest.into())
        }
        command::IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let (answer, segment) = match command {
                command::IPC_STAT => (0, memory::find(id)?),
                _ => SEGMENTS_BY_ID.find_index(id)?,
            };
            if command != SHM_STAT_ANY {
                segment.check(&caller, permission::READ)?;
            }
            copy_out(&*thread.space(), buffer.0, segment.status().record().as_bytes()).await?;
            Ok(to_answer(answer))
        }
        command::IPC_SET => {
            let mut bytes = [0; NewOwner::BYTES];
            copy_in(&*thread.space(), buffer.0, &mut bytes).await?;
            memory::find(id)?.set_owner(&caller, NewOwner::decode(&bytes)).map(|()| 0)
        }
        command::IPC_RMID => memory::find(id)?.remove(&caller).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => memory::find(id)?.set_locked(&caller, command == SHM_LOCK).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}
