// Into ring 3 and back: to its caller, run_user is a function.

.section .text.user, "ax", @progbits

// The ways out: rdi holds the registers, rax the place to come back to. The caller has set TSS.RSP0 and
// CPU_REGISTERS to these registers, and gives up every register but rsp, rbp and rbx (see arch/user.rs).
.balign 16
.global leave_by_iret
leave_by_iret:
    pushq %rbp
    pushq %rbx
    pushq %rax
    movq %rsp, %gs:CPU_KERNEL_RSP
    movq %rdi, %rsp
    POP_GENERAL
    addq $16, %rsp
    swapgs
    iretq

.balign 16
.global leave_by_sysret
leave_by_sysret:
    pushq %rbp
    pushq %rbx
    pushq %rax
    movq %rsp, %gs:CPU_KERNEL_RSP
    movq F_R15(%rdi), %r15
    movq F_R14(%rdi), %r14
    movq F_R13(%rdi), %r13
    movq F_R12(%rdi), %r12
    movq F_RBP(%rdi), %rbp
    movq F_RBX(%rdi), %rbx
    movq F_R10(%rdi), %r10
    movq F_R9(%rdi), %r9
    movq F_R8(%rdi), %r8
    movq F_RAX(%rdi), %rax
    movq F_RDX(%rdi), %rdx
    movq F_RSI(%rdi), %rsi
    movq F_RIP(%rdi), %rcx
    movq F_RFLAGS(%rdi), %r11
    movq F_RSP(%rdi), %rsp
    movq F_RDI(%rdi), %rdi
    swapgs
    sysretq

// The processor comes here from `syscall`: rcx holds rip, r11 rflags; interrupts are off.
.balign 16
.global syscall_entry
syscall_entry:
    swapgs
    movq %rsp, %gs:CPU_USER_RSP
    movq %gs:CPU_REGISTERS, %rsp
    movq %r15, F_R15(%rsp)
    movq %r14, F_R14(%rsp)
    movq %r13, F_R13(%rsp)
    movq %r12, F_R12(%rsp)
    movq %rbp, F_RBP(%rsp)
    movq %rbx, F_RBX(%rsp)
    movq %r11, F_R11(%rsp)
    movq %r10, F_R10(%rsp)
    movq %r9, F_R9(%rsp)
    movq %r8, F_R8(%rsp)
    movq %rax, F_RAX(%rsp)
    movq %rcx, F_RCX(%rsp)
    movq %rdx, F_RDX(%rsp)
    movq %rsi, F_RSI(%rsp)
    movq %rdi, F_RDI(%rsp)
    movq %rcx, F_RIP(%rsp)
    movq %r11, F_RFLAGS(%rsp)
    movq %gs:CPU_USER_RSP, %rcx
    movq %rcx, F_RSP(%rsp)
    movq %gs:CPU_KERNEL_RSP, %rsp
    popq %rcx
    popq %rbx
    popq %rbp
    xorl %eax, %eax
    jmpq *%rcx
