// Offsets in the frame (the order of syscalls::machine::Registers) and in the CPU's area.

.set F_R15, 0
.set F_R14, 8
.set F_R13, 16
.set F_R12, 24
.set F_RBP, 32
.set F_RBX, 40
.set F_R11, 48
.set F_R10, 56
.set F_R9, 64
.set F_R8, 72
.set F_RAX, 80
.set F_RCX, 88
.set F_RDX, 96
.set F_RSI, 104
.set F_RDI, 112
.set F_VECTOR, 120
.set F_RIP, 136
.set F_CS, 144
.set F_RFLAGS, 152
.set F_RSP, 160
.set F_END, 176

.set CPU_KERNEL_RSP, {kernel_rsp}
.set CPU_REGISTERS, {registers}
.set CPU_USER_RSP, {user_rsp}

.set MSR_GS_BASE, 0xc0000101

// Three bytes that become `stac` or `clac` on a processor with SMAP (arch/features.rs).
.macro PATCHED_BY_SMAP instruction
771:
    .byte 0x0f, 0x1f, 0x00
    .pushsection .smap_sites, "a", @progbits
    .quad 771b, \instruction
    .popsection
.endm
.macro STAC
    PATCHED_BY_SMAP 0xcb010f
.endm
.macro CLAC
    PATCHED_BY_SMAP 0xca010f
.endm

// A fault at `from` goes on at `to`.
.macro ON_FAULT from, to
    .pushsection .ex_table, "a", @progbits
    .quad \from, \to
    .popsection
.endm

// The fifteen general registers, so that rsp then points to a frame.
.macro PUSH_GENERAL
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
.endm

.macro POP_GENERAL
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
.endm
