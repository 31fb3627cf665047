// Where an application processor starts: real mode, at TRAMPOLINE, after INIT and SIPI. The code runs from
// a copy in low memory, so it names its own places relative to that.

.set TRAMPOLINE, {trampoline}
.set KERNEL_BASE, 0xffffffff80000000

.section .rodata.trampoline, "a", @progbits
.balign 16
.code16
.global trampoline_start
trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline_start
    movl %cr0, %eax
    orl $1, %eax                        // PE
    movl %eax, %cr0
    ljmpl $0x08, $(TRAMPOLINE + trampoline_protected - trampoline_start)

.code32
trampoline_protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x20, %eax                    // PAE
    movl %eax, %cr4
    movl $(boot_pml4 - KERNEL_BASE), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              // EFER
    rdmsr
    orl $0x100, %eax                    // LME
    wrmsr
    movl $0x80010033, %eax              // PG, WP, NE, ET, MP, PE; caches on
    movl %eax, %cr0
    ljmpl $0x18, $(TRAMPOLINE + trampoline_long - trampoline_start)

.code64
trampoline_long:
    movabsq $ap_high_half, %rax
    jmpq *%rax

.balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            // 08: 32-bit code
    .quad 0x00cf93000000ffff            // 10: data
    .quad 0x00af9b000000ffff            // 18: 64-bit code
trampoline_gdt_pointer:
    .word . - trampoline_gdt - 1
    .long TRAMPOLINE + trampoline_gdt - trampoline_start
.global trampoline_end
trampoline_end:

// The kernel's own tables need EFER.NXE, and show the stack, which the boot tables don't.
.section .text.boot, "ax", @progbits
ap_high_half:
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl $0xc0000080, %ecx
    rdmsr
    orl {parameters} + {efer}(%rip), %eax
    wrmsr
    movq {parameters} + {page_table}(%rip), %rax
    movq {parameters} + {stack}(%rip), %rsp
    movq {parameters} + {area}(%rip), %rdi
    movq %rax, %cr3
    xorl %ebp, %ebp
    call {ap_start}
    ud2
