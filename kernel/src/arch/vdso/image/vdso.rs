//! The vDSO: functions that every program can call to read clocks without a trap.
//!
//! Built by build.rs as an ELF image of its own. It must hold no relocation, no writable data and no call
//! into any library. The clock page lies right before its first byte. Sources: vdso(7), clock_gettime(2).
#![no_std]

#[path = "../clock_page.rs"]
mod clock_page;

use core::arch::asm;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::fence;

use clock_page::ClockPage;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_MONOTONIC_RAW: i32 = 4;
const CLOCK_REALTIME_COARSE: i32 = 5;
const CLOCK_MONOTONIC_COARSE: i32 = 6;
const CLOCK_BOOTTIME: i32 = 7;
const SYS_GETTIMEOFDAY: usize = 96;
const SYS_CLOCK_GETTIME: usize = 228;
const SYS_GETCPU: usize = 309;
const SECOND: u64 = 1_000_000_000;

/// `struct timespec`, and `struct timeval` with microseconds.
#[repr(C)]
pub struct Time {
    seconds: i64,
    fraction: i64,
}

/// `struct timezone`.
#[repr(C)]
pub struct TimeZone {
    minutes_west: i32,
    dst: i32,
}

#[inline(always)]
fn clock_page() -> &'static ClockPage {
    let page: *const ClockPage;
    // SAFETY: an address; the kernel maps the page right before the image.
    unsafe { asm!("lea {}, [rip + __ehdr_start - 4096]", out(reg) page, options(pure, nomem, nostack)) };
    // SAFETY: the page stays mapped as long as the image does.
    unsafe { &*page }
}

#[inline(always)]
fn ticks() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads the counter, not before what comes earlier in the program.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Nanoseconds on the monotonic clock, and what to add for the wall clock.
#[inline(always)]
fn now() -> (u64, u64) {
    let page = clock_page();
    loop {
        let sequence = page.sequence.load(Acquire);
        let elapsed = ticks().saturating_sub(page.base_ticks.load(Relaxed));
        let scaled = (u128::from(elapsed) * u128::from(page.scale.load(Relaxed))) >> 32;
        let monotonic = page.base.load(Relaxed).wrapping_add(scaled as u64);
        let wall_offset = page.wall_offset.load(Relaxed);
        fence(Acquire);
        if sequence & 1 == 0 && page.sequence.load(Relaxed) == sequence {
            return (monotonic, wall_offset);
        }
    }
}

#[inline(always)]
unsafe fn syscall(number: usize, arguments: [usize; 3]) -> i32 {
    let result: isize;
    // SAFETY: the caller's arguments are those of the system call, which checks them.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result as i32
}

/// clock_gettime(2).
///
/// # Safety
///
/// `time` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_clock_gettime(clock: i32, time: *mut Time) -> i32 {
    let nanoseconds = match clock {
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => now().0,
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => {
            let (monotonic, wall_offset) = now();
            monotonic.wrapping_add(wall_offset)
        }
        // SAFETY: the kernel checks the pointer.
        _ => return unsafe { syscall(SYS_CLOCK_GETTIME, [clock as usize, time.addr(), 0]) },
    };
    let (seconds, fraction) = ((nanoseconds / SECOND) as i64, (nanoseconds % SECOND) as i64);
    // SAFETY: the caller's promise.
    unsafe { time.write(Time { seconds, fraction }) };
    0
}

/// gettimeofday(2).
///
/// # Safety
///
/// `time` and `zone` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_gettimeofday(time: *mut Time, zone: *mut TimeZone) -> i32 {
    if !zone.is_null() {
        // SAFETY: the kernel checks the pointers.
        return unsafe { syscall(SYS_GETTIMEOFDAY, [time.addr(), zone.addr(), 0]) };
    }
    if !time.is_null() {
        let (monotonic, wall_offset) = now();
        let nanoseconds = monotonic.wrapping_add(wall_offset);
        let (seconds, fraction) = ((nanoseconds / SECOND) as i64, (nanoseconds % SECOND / 1000) as i64);
        // SAFETY: the caller's promise.
        unsafe { time.write(Time { seconds, fraction }) };
    }
    0
}

/// time(2).
///
/// # Safety
///
/// `time` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_time(time: *mut i64) -> i64 {
    let (monotonic, wall_offset) = now();
    let seconds = (monotonic.wrapping_add(wall_offset) / SECOND) as i64;
    if !time.is_null() {
        // SAFETY: the caller's promise.
        unsafe { time.write(seconds) };
    }
    seconds
}

/// getcpu(2).
///
/// # Safety
///
/// `cpu` and `node` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __vdso_getcpu(cpu: *mut u32, node: *mut u32, unused: *mut u8) -> i32 {
    if clock_page().numbers_cpus.load(Relaxed) == 0 {
        // SAFETY: the kernel checks the pointers.
        return unsafe { syscall(SYS_GETCPU, [cpu.addr(), node.addr(), unused.addr()]) };
    }
    let number: u32;
    // SAFETY: the kernel has said that there is RDTSCP, and set what it returns in ecx.
    unsafe { asm!("rdtscp", out("eax") _, out("edx") _, out("ecx") number, options(nostack, nomem)) };
    if !cpu.is_null() {
        // SAFETY: the caller's promise.
        unsafe { cpu.write(number) };
    }
    if !node.is_null() {
        // SAFETY: the caller's promise. There is one node.
        unsafe { node.write(0) };
    }
    0
}
