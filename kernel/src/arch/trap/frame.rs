//! What the entry stubs push, and the control registers that go with it.

use core::fmt;

use x86_64::registers::control::{Cr2, Cr3};

/// The registers at a trap from ring 0, in the order of the stubs.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the fields are the registers' names")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// True when the trap came from a program.
    #[must_use]
    pub fn from_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = self;
        writeln!(out, "  rip {:#018x} cs {:#x} rflags {:#x} rsp {:#018x}", f.rip, f.cs, f.rflags, f.rsp)?;
        writeln!(out, "  rax {:#018x} rbx {:#018x} rcx {:#018x} rdx {:#018x}", f.rax, f.rbx, f.rcx, f.rdx)?;
        writeln!(out, "  rsi {:#018x} rdi {:#018x} rbp {:#018x} r8  {:#018x}", f.rsi, f.rdi, f.rbp, f.r8)?;
        writeln!(out, "  r9  {:#018x} r10 {:#018x} r11 {:#018x} r12 {:#018x}", f.r9, f.r10, f.r11, f.r12)?;
        write!(out, "  r13 {:#018x} r14 {:#018x} r15 {:#018x}", f.r13, f.r14, f.r15)
    }
}

/// CR2: the address of the last page fault.
#[must_use]
pub fn fault_address() -> u64 {
    Cr2::read_raw()
}

/// CR3: the physical address of the page tables in use.
#[must_use]
pub fn page_table() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

/// The name of an exception.
#[must_use]
pub fn name(vector: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug",
        "NMI",
        "breakpoint",
        "overflow",
        "bound range",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "reserved",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "virtualization",
        "control protection",
    ];
    NAMES.get(usize::from(vector)).copied().unwrap_or("exception")
}
