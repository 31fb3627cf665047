//! The machine as a whole: its name, its state, its end. Source: `uname(2)`, `sysinfo(2)`, `reboot(2)`,
//! `getrandom(2)`.

use base::caller::Capabilities;
use base::frame::PAGE_SIZE;
use base::machine::Outcome;
use base::memory::{Access, UserBuffer};
use base::sync::atomic::Ordering;
use base::{Errno, Result, machine};

use crate::declare;
use crate::declare::Pointer;
use crate::process::table;
use crate::system_name::{self, FIELD_BYTES};
use crate::thread::Thread;
use crate::user::{copy_in, copy_out};

declare! {
    async 63 => uname(buffer: Pointer);
    async 99 => sysinfo(buffer: Pointer);
    sync 135 => personality(persona: u32);
    sync 169 => reboot(magic: u32, magic2: u32, command: u32, argument: u64);
    async 170 => sethostname(name: Pointer, length: i32);
    async 171 => setdomainname(name: Pointer, length: i32);
    async 309 => getcpu(cpu: Pointer, node: Pointer, unused: u64);
    async 318 => getrandom(buffer: Pointer, count: usize, flags: u32) [restart];
}

async fn uname(thread: &Thread, buffer: Pointer) -> Result<u64> {
    copy_out(&*thread.space(), buffer.0, &system_name::encode()).await?;
    Ok(0)
}

async fn sethostname(thread: &Thread, name: Pointer, length: i32) -> Result<u64> {
    let (bytes, length) = read_name(thread, name, length).await?;
    system_name::set_host(&bytes[..length]);
    Ok(0)
}

async fn setdomainname(thread: &Thread, name: Pointer, length: i32) -> Result<u64> {
    let (bytes, length) = read_name(thread, name, length).await?;
    system_name::set_domain(&bytes[..length]);
    Ok(0)
}

async fn read_name(thread: &Thread, name: Pointer, length: i32) -> Result<([u8; FIELD_BYTES], usize)> {
    if !thread.credentials().capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let length = usize::try_from(length).ok().filter(|&n| n < FIELD_BYTES).ok_or(Errno::EINVAL)?;
    let mut bytes = [0; FIELD_BYTES];
    copy_in(&*thread.space(), name.0, &mut bytes[..length]).await?;
    Ok((bytes, length))
}

/// Bytes of a `struct sysinfo`.
const SYSINFO_BYTES: usize = 112;

async fn sysinfo(thread: &Thread, buffer: Pointer) -> Result<u64> {
    let frames = machine().frames().totals();
    let bytes_of = |count: usize| (count as u64) * PAGE_SIZE as u64;
    let mut words = [0u64; SYSINFO_BYTES / 8];
    words[0] = machine::now().as_nanos().div_ceil(1_000_000_000);
    words[4] = bytes_of(frames.total);
    words[5] = bytes_of(frames.free + frames.cached);
    // The number of threads is 16 bits wide, with padding behind.
    let threads = table::lock().counts().1 as u64;
    words[10] = threads & 0xffff;
    words[13] = 1;
    let mut bytes = [0; SYSINFO_BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    copy_out(&*thread.space(), buffer.0, &bytes).await?;
    Ok(0)
}

fn personality(thread: &Thread, persona: u32) -> Result<u64> {
    const ASK: u32 = u32::MAX;
    let own = &thread.settings().personality;
    let old = own.load(Ordering::Relaxed);
    if persona != ASK {
        own.store(persona, Ordering::Relaxed);
    }
    Ok(old.into())
}

const MAGIC_1: u32 = 0xfee1_dead;
const MAGIC_2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
const RESTART: u32 = 0x0123_4567;
const HALT: u32 = 0xcdef_0123;
const POWER_OFF: u32 = 0x4321_fedc;
const CTRL_ALT_DELETE_ON: u32 = 0x89ab_cdef;
const CTRL_ALT_DELETE_OFF: u32 = 0;

fn reboot(thread: &Thread, magic: u32, magic2: u32, command: u32, _argument: u64) -> Result<u64> {
    if !thread.credentials().capable(Capabilities::SYS_BOOT) {
        return Err(Errno::EPERM);
    }
    if magic != MAGIC_1 || !MAGIC_2.contains(&magic2) {
        return Err(Errno::EINVAL);
    }
    match command {
        RESTART | HALT | POWER_OFF => machine().power_off(Outcome::Exit(0)),
        // There is no keyboard whose three keys could be told what to do.
        CTRL_ALT_DELETE_ON | CTRL_ALT_DELETE_OFF => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

async fn getcpu(thread: &Thread, cpu: Pointer, node: Pointer, _unused: u64) -> Result<u64> {
    let space = thread.space();
    let here = u32::try_from(machine().cpu_id()).unwrap_or(0);
    for (to, value) in [(cpu, here), (node, 0)] {
        if !to.is_null() {
            crate::user::write_u32(&*space, to.0, value).await?;
        }
    }
    Ok(0)
}

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;

/// Bytes that are made at a time.
const RANDOM_CHUNK: usize = 256;

/// Most bytes that one call answers: what a read(2) may move.
const MOST_AT_ONCE: usize = 0x7fff_f000;

async fn getrandom(thread: &Thread, buffer: Pointer, count: usize, flags: u32) -> Result<u64> {
    let known = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;
    let contradiction = GRND_RANDOM | GRND_INSECURE;
    if flags & !known != 0 || flags & contradiction == contradiction {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let mut to = UserBuffer::new(&*space, buffer.0, count.min(MOST_AT_ONCE), Access::Write);
    let mut chunk = [0; RANDOM_CHUNK];
    while !to.is_empty() {
        for word in chunk.chunks_exact_mut(8) {
            word.copy_from_slice(&machine().entropy().to_le_bytes());
        }
        let length = chunk.len().min(to.remaining());
        if to.put(&chunk[..length]).is_err() {
            match to.fault_in().await {
                Err(error) if to.moved() == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        // A signal ends a long answer early, as on Linux.
        if to.moved() >= RANDOM_CHUNK && !thread.attention().get().is_empty() {
            break;
        }
        executor::yield_point().await;
    }
    Ok(to.moved() as u64)
}
