//! The battery-backed clock of the PC (MC146818): the time of day at boot.

use super::calendar::DateTime;
use super::port::IoPort;

// SAFETY: index and data of the clock's registers; neither touches memory.
const INDEX: IoPort<u8> = unsafe { IoPort::new(0x70) };
// SAFETY: as above.
const DATA: IoPort<u8> = unsafe { IoPort::new(0x71) };

const STATUS_A: u8 = 0x0a;
const UPDATING: u8 = 0x80;
const STATUS_B: u8 = 0x0b;
const BINARY: u8 = 4;
const HOURS_24: u8 = 2;
/// QEMU and most firmware keep the century here.
const CENTURY: u8 = 0x32;
const AFTERNOON: u8 = 0x80;

fn register(index: u8) -> u8 {
    INDEX.write(index);
    DATA.read()
}

/// Second, minute, hour, day, month, year, century, as they stand in the registers.
fn registers() -> [u8; 7] {
    [0x00, 0x02, 0x04, 0x07, 0x08, 0x09, CENTURY].map(register)
}

/// Registers that didn't change under the reader's hands. `None` when there is no clock.
fn stable_registers() -> Option<[u8; 7]> {
    const TRIES: usize = 10_000;
    let mut before = None;
    for _ in 0..TRIES {
        if register(STATUS_A) & UPDATING != 0 {
            continue;
        }
        let now = Some(registers());
        if before == now {
            return now;
        }
        before = now;
    }
    None
}

/// Seconds since 1970 by the clock, taken to run in UTC. `None` when there is no clock or it says nonsense.
#[must_use]
pub fn unix_seconds() -> Option<u64> {
    let registers = stable_registers()?;
    let status = register(STATUS_B);
    let decode = |value: u8| {
        let value = u32::from(value);
        if status & BINARY != 0 { value } else { (value >> 4) * 10 + (value & 15) }
    };
    let [second, minute, raw_hour, day, month, year, century] = registers;
    let hour = match (status & HOURS_24 != 0, raw_hour & AFTERNOON != 0) {
        (true, _) => decode(raw_hour),
        (false, afternoon) => decode(raw_hour & !AFTERNOON) % 12 + if afternoon { 12 } else { 0 },
    };
    let century = match decode(century) {
        century @ 19..=29 => century,
        _ => 20,
    };
    DateTime {
        year: century * 100 + decode(year),
        month: decode(month),
        day: decode(day),
        hour,
        minute: decode(minute),
        second: decode(second),
    }
    .unix_seconds()
}
