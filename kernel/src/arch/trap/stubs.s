// One stub of 16 bytes per vector: it completes the frame with an error code (0 where the
// processor pushes none) and the vector.

.section .text.trap, "ax", @progbits
.balign 16
.global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .else
        pushq $0
    .endif
    pushq $vector
    .if vector == 1 || vector == 2 || vector == 8 || vector == 18
        jmp trap_on_own_stack
    .else
        jmp trap
    .endif
    .set vector, vector + 1
    .endr

// From ring 3 the frame lies in the thread's registers already, since TSS.RSP0 points to their end:
// nothing is left to do but to return from run_user. From ring 0 it lies on the kernel stack.
.balign 16
trap:
    PUSH_GENERAL
    cld
    CLAC
    testb $3, F_CS(%rsp)
    jz trap_from_kernel
    swapgs
trap_leave_user:
    movq %gs:CPU_KERNEL_RSP, %rsp
    popq %rcx
    popq %rbx
    popq %rbp
    movl $1, %eax
    jmpq *%rcx

trap_from_kernel:
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call {kernel_trap}
    movq %rbx, %rsp
    POP_GENERAL
    addq $16, %rsp
    iretq

// Debug, NMI, double fault, machine check: on their own stacks, and possibly between an entry and
// its swapgs. The word above the frame is the address of the CPU's area (arch/stacks.rs); the GS
// base is set to it whatever it was, and put back.
.balign 16
trap_on_own_stack:
    PUSH_GENERAL
    cld
    CLAC
    cmpb $1, F_VECTOR(%rsp)
    jne 1f
    testb $3, F_CS(%rsp)
    jz 1f
    // A debug exception of a program is like any other: move its frame to the thread's registers.
    swapgs
    movq %rsp, %rsi
    movq %gs:CPU_REGISTERS, %rdi
    movl $(F_END / 8), %ecx
    rep movsq
    jmp trap_leave_user
1:
    movl $MSR_GS_BASE, %ecx
    rdmsr
    movl %eax, %r12d
    movl %edx, %r13d
    movl F_END(%rsp), %eax
    movl F_END + 4(%rsp), %edx
    wrmsr
    movq %rsp, %rdi
    movq %rsp, %rbx
    andq $-16, %rsp
    call {urgent_trap}
    movq %rbx, %rsp
    movl $MSR_GS_BASE, %ecx
    movl %r12d, %eax
    movl %r13d, %edx
    wrmsr
    POP_GENERAL
    addq $16, %rsp
    iretq
