// PVH entry: 32-bit protected mode, paging off, ebx = physical address of hvm_start_info.
// Turns on long mode with the boot tables below and goes on in the high half.

.set KERNEL_BASE, 0xffffffff80000000

.section .note.pvh, "a", @note
.balign 4
    .long 4                             // size of the name
    .long 8                             // size of the descriptor
    .long 18                            // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry - KERNEL_BASE

.section .text.boot, "ax", @progbits
.code32
.global pvh_entry
pvh_entry:
    cli
    cld
    movl %ebx, %edi
    lgdtl boot_gdt_pointer - KERNEL_BASE
    movl %cr4, %eax
    orl $0x20, %eax                     // PAE
    movl %eax, %cr4
    movl $(boot_pml4 - KERNEL_BASE), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              // EFER
    rdmsr
    orl $0x100, %eax                    // LME
    wrmsr
    movl %cr0, %eax
    andl $~0x4, %eax                    // EM off
    orl $0x80010003, %eax               // PG, WP, MP, PE
    movl %eax, %cr0
    ljmpl $0x08, $(boot_long_mode - KERNEL_BASE)

.code64
boot_long_mode:
    movl $0x10, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movabsq $boot_high_half, %rax
    jmpq *%rax

boot_high_half:
    movq $(boot_stacks + {boot_stack_top}), %rsp
    xorl %ebp, %ebp                     // the backtrace ends here
    movl %edi, %edi                     // start_info, zero-extended
    call {start}
    ud2

.section .rodata.boot, "a", @progbits
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // 08: 64-bit code
    .quad 0x00cf93000000ffff            // 10: data
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .quad boot_gdt - KERNEL_BASE

// The first 4 GiB at 0 and in the physmap, the first 1 GiB at KERNEL_BASE.
// The APs start on these tables too, so they stay.
.section .data.page_tables, "aw", @progbits
.balign 4096
.global boot_pml4
boot_pml4:
    .quad boot_pdpt_low - KERNEL_BASE + 3
    .fill 255, 8, 0
    .quad boot_pdpt_low - KERNEL_BASE + 3
    .fill 254, 8, 0
    .quad boot_pdpt_high - KERNEL_BASE + 3
boot_pdpt_low:
    .quad boot_directories - KERNEL_BASE + 0x0003
    .quad boot_directories - KERNEL_BASE + 0x1003
    .quad boot_directories - KERNEL_BASE + 0x2003
    .quad boot_directories - KERNEL_BASE + 0x3003
    .fill 508, 8, 0
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_directories - KERNEL_BASE + 0x0003
    .quad 0
boot_directories:
    .set page, 0
    .rept 2048
    .quad page + 0x83                   // present, writable, 2 MiB
    .set page, page + 0x200000
    .endr
