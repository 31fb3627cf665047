//! Mappings and page faults.

use super::Operation;
use super::meter::{Meter, call, sure};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "memory", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("mmap_munmap_untouched", |meter| meter.each(200, || unmap(map(PAGE), PAGE))),
    operation("mmap_munmap_touched", mmap_touched),
    operation("anonymous_fault", anonymous_fault),
    operation("copy_on_write_fault", copy_on_write_fault),
    operation("mprotect_there_and_back", mprotect),
];

const PAGE: usize = 4096;
/// Pages touched in one round of the fault operations; the mapping's own cost is spread over them.
const PAGES: usize = 256;

fn map(len: usize) -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    sure(call!(SYS_mmap, 0, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1i32, 0))
}

fn unmap(at: usize, len: usize) {
    sure(call!(SYS_munmap, at, len));
}

fn touch(at: usize) {
    // SAFETY: each caller passes a page that it mapped writable.
    unsafe { std::ptr::write_volatile(at as *mut u8, 1) };
}

fn mmap_touched(meter: &Meter) -> u64 {
    meter.each(200, || {
        let at = map(PAGE);
        touch(at);
        unmap(at, PAGE);
    })
}

fn anonymous_fault(meter: &Meter) -> u64 {
    // Rounds of their own mapping, so that no huge page and no earlier fault answers.
    let mut at = map(PAGES * PAGE * 5);
    call!(SYS_madvise, at, PAGES * PAGE * 5, libc::MADV_NOHUGEPAGE);
    meter.each(PAGES as u64, || {
        touch(at);
        at += PAGE;
    })
}

fn copy_on_write_fault(meter: &Meter) -> u64 {
    let len = PAGES * PAGE * 5;
    let start = map(len);
    call!(SYS_madvise, start, len, libc::MADV_NOHUGEPAGE);
    (0..len).step_by(PAGE).for_each(|offset| touch(start + offset));
    // A child that keeps the pages shared for as long as they are written here.
    // SAFETY: the program has one thread; the child only sleeps until it is killed.
    let peer = unsafe {
        match libc::fork() {
            0 => loop {
                libc::pause();
            },
            pid => pid,
        }
    };
    let mut at = start;
    let cost = meter.each(PAGES as u64, || {
        touch(at);
        at += PAGE;
    });
    // SAFETY: our own child.
    unsafe {
        libc::kill(peer, libc::SIGKILL);
        libc::waitpid(peer, std::ptr::null_mut(), 0);
    }
    unmap(start, len);
    cost
}

fn mprotect(meter: &Meter) -> u64 {
    let at = map(PAGE);
    touch(at);
    let cost = meter.each(300, || {
        sure(call!(SYS_mprotect, at, PAGE, libc::PROT_READ));
        sure(call!(SYS_mprotect, at, PAGE, libc::PROT_READ | libc::PROT_WRITE));
    });
    unmap(at, PAGE);
    cost
}
