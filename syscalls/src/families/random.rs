//! getrandom(2).

use base::memory::{Access, UserBuffer};
use base::{Errno, Result};
use fs::dev::fill_random;

use crate::declare;
use crate::declare::Pointer;
use crate::thread::Thread;

declare! {
    async 318 => getrandom(buffer: Pointer, length: usize, flags: u32) [restart];
}

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;
/// Bytes that one step makes.
const STEP: usize = 256;
/// Most bytes of one call.
const MOST: usize = i32::MAX as usize;

async fn getrandom(thread: &Thread, buffer: Pointer, length: usize, flags: u32) -> Result<u64> {
    let known = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;
    let contradiction = GRND_RANDOM | GRND_INSECURE;
    if flags & !known != 0 || flags & contradiction == contradiction {
        return Err(Errno::EINVAL);
    }
    let space = thread.space();
    let mut buffer = UserBuffer::new(&*space, buffer.0, length.min(MOST), Access::Write);
    while !buffer.is_empty() {
        let mut bytes = [0; STEP];
        let wanted = buffer.remaining().min(STEP);
        fill_random(&mut bytes[..wanted]);
        if buffer.put(&bytes[..wanted]).is_err()
            && let Err(error) = buffer.fault_in().await
        {
            return if buffer.moved() > 0 { Ok(buffer.moved() as u64) } else { Err(error) };
        }
        executor::yield_point().await;
        // A long call ends early for a signal, once it has given something.
        if buffer.moved() >= STEP && !thread.attention().get().is_empty() {
            break;
        }
    }
    Ok(buffer.moved() as u64)
}
