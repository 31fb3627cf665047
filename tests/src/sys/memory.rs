//! Mappings, and looking at memory that may not be there.

use super::{Fd, Sys, close, exit_group, fork, pipe, read_to_end, write};
use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, c_void, siginfo_t};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

pub(crate) const PAGE: usize = 4096;
pub(crate) const READ_WRITE: i32 = PROT_READ | PROT_WRITE;

/// `mmap`, all arguments.
pub(crate) fn map(at: usize, len: usize, prot: i32, flags: i32, fd: Fd, offset: usize) -> Sys<usize> {
    syscall!(SYS_mmap, at, len, prot, flags, fd, offset)
}

/// Private anonymous memory, readable and writable.
pub(crate) fn map_anonymous(len: usize) -> usize {
    map(0, len, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).expect("mmap")
}

/// Anonymous memory that children share.
pub(crate) fn map_shared(len: usize) -> usize {
    map(0, len, READ_WRITE, libc::MAP_SHARED | MAP_ANONYMOUS, -1, 0).expect("mmap")
}

pub(crate) fn unmap(at: usize, len: usize) -> Sys<()> {
    syscall!(SYS_munmap, at, len).map(drop)
}

pub(crate) fn mprotect(at: usize, len: usize, prot: i32) -> Sys<()> {
    syscall!(SYS_mprotect, at, len, prot).map(drop)
}

/// The byte at an address.
pub(crate) fn peek(at: usize) -> u8 {
    // SAFETY: the address lies in a mapping of the case, or the fault is what the case wants.
    unsafe { ptr::with_exposed_provenance::<u8>(at).read_volatile() }
}

/// Stores a byte at an address.
pub(crate) fn poke(at: usize, value: u8) {
    // SAFETY: as in `peek`; no Rust object lives in the mappings of a case.
    unsafe { ptr::with_exposed_provenance_mut::<u8>(at).write_volatile(value) }
}

/// A word in (shared) memory of the case; the address must be mapped and aligned.
pub(crate) fn word_at(at: usize) -> &'static AtomicU32 {
    assert!(at != 0 && at.is_multiple_of(4));
    // SAFETY: cases pass addresses inside mappings that they keep.
    unsafe { &*ptr::with_exposed_provenance::<AtomicU32>(at) }
}

/// A memory fault as the handler saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) signal: i32,
    pub(crate) code: i32,
    pub(crate) address: usize,
}

const FAULT_STACK_LEN: usize = 64 << 10;

/// The handler's stack is no mapping of its own: that could land in the hole a case looks at.
struct FaultStack(std::cell::UnsafeCell<[u8; FAULT_STACK_LEN]>);

// SAFETY: only the kernel writes to it, on behalf of the one handler of a forked child.
unsafe impl Sync for FaultStack {}

static FAULT_STACK: FaultStack = FaultStack(std::cell::UnsafeCell::new([0; FAULT_STACK_LEN]));

static FAULT_PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn report_fault(signal: i32, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo of a fault.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let mut record = [0u8; 16];
    record[0..4].copy_from_slice(&signal.to_ne_bytes());
    record[4..8].copy_from_slice(&code.to_ne_bytes());
    record[8..16].copy_from_slice(&address.to_ne_bytes());
    let _ = write(FAULT_PIPE.load(Ordering::Relaxed), &record);
    exit_group(0);
}

/// Runs `body` in a child and tells which fault ended it, or None when none did.
pub(crate) fn fault_of(body: impl FnOnce()) -> Option<Fault> {
    let (from, to) = pipe();
    let child = fork(|| {
        FAULT_PIPE.store(to, Ordering::Relaxed);
        super::use_alternate_stack(FAULT_STACK.0.get() as usize, FAULT_STACK_LEN);
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            super::on_signal(signal, report_fault, libc::SA_ONSTACK);
        }
        body();
    });
    close(to).expect("close");
    let record = read_to_end(from).expect("read");
    close(from).expect("close");
    child.succeeds();
    let number =
        |range: std::ops::Range<usize>| i32::from_ne_bytes(record[range].try_into().expect("four bytes"));
    (!record.is_empty()).then(|| Fault {
        signal: number(0..4),
        code: number(4..8),
        address: usize::from_ne_bytes(record[8..16].try_into().expect("eight bytes")),
    })
}

/// SIGSEGV at an address where nothing is mapped.
pub(crate) fn unmapped_at(address: usize) -> Option<Fault> {
    Some(Fault { signal: libc::SIGSEGV, code: 1 /* SEGV_MAPERR */, address })
}

/// SIGSEGV at an address whose mapping does not allow the access.
pub(crate) fn forbidden_at(address: usize) -> Option<Fault> {
    Some(Fault { signal: libc::SIGSEGV, code: 2 /* SEGV_ACCERR */, address })
}

/// SIGBUS at an address of a file mapping behind the end of the file.
pub(crate) fn beyond_file_at(address: usize) -> Option<Fault> {
    Some(Fault { signal: libc::SIGBUS, code: 2 /* BUS_ADRERR */, address })
}
