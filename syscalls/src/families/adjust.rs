//! How well the wall clock runs: adjtimex(2), clock_adjtime(2).
//!
//! The clock is as good as the hardware's counter and nothing disciplines it, so the state that Linux
//! shows before anything synchronised it is the state, and there is nothing to change.

use base::caller::Capabilities;
use base::{Errno, Result};

use crate::declare;
use crate::declare::Pointer;
use crate::thread::Thread;
use crate::time::clock::{self, Clock};
use crate::user::{copy_in, copy_out};

declare! {
    async 159 => adjtimex(buffer: Pointer);
    async 305 => clock_adjtime(clock: i32, buffer: Pointer);
}

/// Bytes of a `struct timex`.
const TIMEX_BYTES: usize = 208;
/// The answer of a clock that nothing synchronises.
const TIME_ERROR: u64 = 5;
const STA_UNSYNC: u64 = 0x40;
/// `ADJ_OFFSET_SS_READ`: reads what adjtime(3) has left to do.
const OFFSET_READ: u32 = 0xa001;

async fn adjtimex(thread: &Thread, buffer: Pointer) -> Result<u64> {
    let space = thread.space();
    let mut bytes = [0; TIMEX_BYTES];
    copy_in(&*space, buffer.0, &mut bytes).await?;
    let [m0, m1, m2, m3, ..] = bytes;
    let modes = u32::from_le_bytes([m0, m1, m2, m3]);
    if modes != 0 && modes != OFFSET_READ {
        let may = thread.credentials().capable(Capabilities::SYS_TIME);
        return Err(if may { Errno::EINVAL } else { Errno::EPERM });
    }
    describe(&mut bytes);
    copy_out(&*space, buffer.0, &bytes).await?;
    Ok(TIME_ERROR)
}

async fn clock_adjtime(thread: &Thread, clock: i32, buffer: Pointer) -> Result<u64> {
    copy_in(&*thread.space(), buffer.0, &mut [0; TIMEX_BYTES]).await?;
    Clock::from_id(clock)?;
    if clock != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    adjtimex(thread, buffer).await
}

/// Fills in everything but `modes`.
fn describe(bytes: &mut [u8; TIMEX_BYTES]) {
    let now = clock::realtime();
    let fields: [(usize, u64); 9] = [
        (24, 16_000_000),                 // maxerror, microseconds
        (32, 16_000_000),                 // esterror, microseconds
        (40, STA_UNSYNC),                 // status (32 bits)
        (48, 2),                          // time constant of the control loop
        (56, 1),                          // precision, microseconds
        (64, 32_768_000),                 // tolerance, scaled parts per million
        (72, now.as_secs()),              // time
        (80, now.subsec_micros().into()), // its microseconds
        (88, 10_000),                     // tick, microseconds
    ];
    bytes[8..].fill(0);
    for (at, value) in fields {
        if let Some(place) = bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}
