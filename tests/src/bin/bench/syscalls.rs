//! System calls that need not wait.

use super::Operation;
use super::meter::{Meter, call, sure, syscall};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "syscall", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("getppid", |meter| meter.each(2000, || call!(SYS_getppid))),
    operation("unknown", |meter| meter.each(2000, || syscall(1000, [0; 6]))),
    operation("clock_gettime", clock_gettime),
    operation("read_zero_1b", read_zero),
    operation("eventfd_write_read", eventfd),
    operation("fstat", fstat),
    operation("stat", stat),
    operation("open_close", open_close),
    operation("futex_wake_nobody", futex_wake),
    operation("sched_yield_alone", |meter| meter.each(1000, || call!(SYS_sched_yield))),
];

fn clock_gettime(meter: &Meter) -> u64 {
    let mut time = [0u64; 2];
    meter.each(2000, || call!(SYS_clock_gettime, libc::CLOCK_MONOTONIC, time.as_mut_ptr()))
}

fn open(path: &[u8]) -> usize {
    sure(call!(SYS_open, path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600))
}

const FILE: &[u8] = b"/tmp/bench\0";

fn read_zero(meter: &Meter) -> u64 {
    let fd = open(b"/dev/zero\0");
    let mut byte = 0u8;
    let cost = meter.each(1000, || sure(call!(SYS_read, fd, &raw mut byte, 1)));
    call!(SYS_close, fd);
    cost
}

fn eventfd(meter: &Meter) -> u64 {
    let result = call!(SYS_eventfd2, 0, 0);
    if result < 0 {
        return 0;
    }
    let mut value = 1u64;
    let cost = meter.each(1000, || {
        sure(call!(SYS_write, result, &raw const value, 8));
        sure(call!(SYS_read, result, &raw mut value, 8));
    });
    call!(SYS_close, result);
    cost
}

fn fstat(meter: &Meter) -> u64 {
    let fd = open(FILE);
    let mut buffer = [0u8; 256];
    let cost = meter.each(1000, || sure(call!(SYS_fstat, fd, buffer.as_mut_ptr())));
    call!(SYS_close, fd);
    cost
}

fn stat(meter: &Meter) -> u64 {
    call!(SYS_close, open(FILE));
    let mut buffer = [0u8; 256];
    meter.each(1000, || sure(call!(SYS_stat, FILE.as_ptr(), buffer.as_mut_ptr())))
}

fn open_close(meter: &Meter) -> u64 {
    meter.each(500, || {
        call!(SYS_close, open(FILE));
    })
}

fn futex_wake(meter: &Meter) -> u64 {
    let word = 0u32;
    meter.each(1000, || call!(SYS_futex, &raw const word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1))
}
