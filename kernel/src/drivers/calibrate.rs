//! How fast the time-stamp counter and the local APIC's timer run.
//!
//! Both are counted over a millisecond of the PIT. The host may take the CPU away at any moment, so each
//! measurement knows how uncertain its ends are, and the best of a few counts. Without a PIT (microvm may have
//! none) the CPU's own statement is taken, and at last the fact that hypervisors run APIC timers at 1 GHz.

use core::arch::x86_64::__cpuid;

use super::port::IoPort;
use super::{local_apic, tsc};

/// Ticks per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// Of the time-stamp counter.
    pub tsc: u64,
    /// Of the local APIC's timer.
    pub timer: u64,
}

const PIT_HERTZ: u64 = 1_193_182;
/// A millisecond of the PIT.
const PIT_COUNT: u16 = 1193;
const TRIES: usize = 12;
/// A measurement is good enough when its ends are this small a part of it.
const GOOD: u64 = 2000;
/// Longest wait for the PIT, in ticks of any plausible counter: then there is none.
const NO_PIT: u64 = 1 << 32;
/// What KVM and QEMU give their APIC timers.
const HYPERVISOR_TIMER_HERTZ: u64 = 1_000_000_000;

// SAFETY: PIT channel 2 and the port that gates it; the speaker is all they reach.
const PIT_CHANNEL_2: IoPort<u8> = unsafe { IoPort::new(0x42) };
// SAFETY: as above.
const PIT_MODE: IoPort<u8> = unsafe { IoPort::new(0x43) };
// SAFETY: as above.
const SYSTEM_CONTROL: IoPort<u8> = unsafe { IoPort::new(0x61) };

/// Channel 2, low byte then high byte, mode 0: the output rises when the count is over.
const ONE_SHOT: u8 = 0xb0;
const GATE: u8 = 1;
const SPEAKER: u8 = 2;
const OUTPUT: u8 = 0x20;

/// One measurement: what was counted, and how much of it is doubtful.
#[derive(Clone, Copy)]
struct Measurement {
    ticks: u64,
    doubt: u64,
    timer: u64,
}

/// Counts over one run of the PIT. `None` when there is no PIT.
fn measure_with_pit() -> Option<Measurement> {
    let control = SYSTEM_CONTROL.read() & !(SPEAKER | OUTPUT);
    SYSTEM_CONTROL.write(control | GATE);
    PIT_MODE.write(ONE_SHOT);
    let [low, high] = PIT_COUNT.to_le_bytes();
    PIT_CHANNEL_2.write(low);
    local_apic::arm(u32::MAX);
    let before_start = tsc::ticks();
    PIT_CHANNEL_2.write(high);
    let after_start = tsc::ticks();
    let timer_start = local_apic::remaining();
    let timer_started = tsc::ticks();
    if SYSTEM_CONTROL.read() & OUTPUT != 0 {
        return None;
    }
    let mut before_end = after_start;
    let after_end = loop {
        // Before the look and after it: the CPU may be taken away on either side.
        let before = tsc::ticks();
        let over = SYSTEM_CONTROL.read() & OUTPUT != 0;
        let after = tsc::ticks();
        if over {
            break after;
        }
        if after.wrapping_sub(after_start) > NO_PIT {
            return None;
        }
        before_end = before;
    };
    let timer = timer_start.wrapping_sub(local_apic::remaining());
    let timer_read = tsc::ticks();
    local_apic::arm(0);
    let doubt = (timer_started - before_start) + (timer_read - before_end);
    let ends = (after_start - before_start) + (after_end - before_end);
    Some(Measurement { ticks: after_end - before_start - ends / 2, doubt, timer: u64::from(timer) })
}

fn by_pit() -> Option<Frequencies> {
    let mut best = measure_with_pit()?;
    for _ in 1..TRIES {
        if best.doubt < best.ticks / GOOD {
            break;
        }
        let next = measure_with_pit()?;
        if u128::from(next.doubt) * u128::from(best.ticks) < u128::from(best.doubt) * u128::from(next.ticks) {
            best = next;
        }
    }
    let scale = |count: u64| count * PIT_HERTZ / u64::from(PIT_COUNT);
    let measured = scale(best.timer);
    // The timer's ends lie further apart; where its frequency is known, that is better.
    let known =
        in_virtual_machine() && measured.abs_diff(HYPERVISOR_TIMER_HERTZ) < HYPERVISOR_TIMER_HERTZ / 20;
    let timer = if known { HYPERVISOR_TIMER_HERTZ } else { measured };
    let frequencies = Frequencies { tsc: scale(best.ticks), timer };
    (frequencies.tsc > 0 && frequencies.timer > 0).then_some(frequencies)
}

fn in_virtual_machine() -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    __cpuid(1).ecx & HYPERVISOR != 0
}

/// What CPUID says: leaf 0x15 (crystal and ratio), or a hypervisor's leaf 0x40000010 (in kHz).
fn by_cpuid() -> Option<Frequencies> {
    if in_virtual_machine() && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let leaf = __cpuid(0x4000_0010);
        if leaf.eax != 0 {
            let timer = if leaf.ebx != 0 { u64::from(leaf.ebx) * 1000 } else { HYPERVISOR_TIMER_HERTZ };
            return Some(Frequencies { tsc: u64::from(leaf.eax) * 1000, timer });
        }
    }
    if __cpuid(0).eax >= 0x15 {
        let leaf = __cpuid(0x15);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            let crystal = u64::from(leaf.ecx);
            return Some(Frequencies {
                tsc: crystal * u64::from(leaf.ebx) / u64::from(leaf.eax),
                timer: crystal,
            });
        }
    }
    None
}

/// The timer's remaining count, the ticks at which it was read, and how uncertain those are.
fn read_timer() -> (u32, u64, u64) {
    let before = tsc::ticks();
    let remaining = local_apic::remaining();
    let doubt = tsc::ticks() - before;
    (remaining, before + doubt / 2, doubt)
}

/// The time-stamp counter against the timer of a hypervisor's APIC.
fn by_hypervisor_timer() -> Frequencies {
    const MILLISECOND: u32 = (HYPERVISOR_TIMER_HERTZ / 1000) as u32;
    let mut best = Measurement { ticks: 0, doubt: u64::MAX, timer: 0 };
    for _ in 0..TRIES {
        local_apic::arm(u32::MAX);
        let start = read_timer();
        let mut end = start;
        while start.0 - end.0 < MILLISECOND && end.1 - start.1 < NO_PIT {
            end = read_timer();
        }
        let (ticks, doubt) = (end.1 - start.1, start.2 + end.2);
        if doubt < best.doubt {
            best = Measurement { ticks, doubt, timer: u64::from(start.0 - end.0) };
        }
        if doubt < ticks / GOOD {
            break;
        }
    }
    local_apic::arm(0);
    let hertz =
        best.ticks.checked_mul(HYPERVISOR_TIMER_HERTZ).and_then(|ticks| ticks.checked_div(best.timer));
    Frequencies {
        tsc: hertz.filter(|&hertz| hertz > 0).unwrap_or(1_000_000_000),
        timer: HYPERVISOR_TIMER_HERTZ,
    }
}

/// Measures both. The local APIC is on, and its timer is not in use.
#[must_use]
pub fn measure() -> Frequencies {
    by_pit().or_else(by_cpuid).unwrap_or_else(by_hypervisor_timer)
}
