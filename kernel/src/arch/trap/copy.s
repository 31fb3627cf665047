// Copies to and from user memory, exact to the byte. Words are moved first: TCG counts and
// executes one step per iteration.

.section .text.copy, "ax", @progbits

// Copies rcx bytes from rsi to rdi, of which \user lies in user memory; rax becomes the number of bytes
// copied. What is behind user space is cut off like a page that is missing: whoever retries has to come to an address
// that nobody can make resident.
.macro USER_COPY user
    movabsq ${user_end}, %rax
    subq \user, %rax
    jbe 6f
    cmpq %rax, %rcx
    cmovaq %rax, %rcx
    movq %rcx, %rax
    movl %ecx, %r8d
    andl $7, %r8d
    shrq $3, %rcx
    STAC
2:  rep movsq
    movl %r8d, %ecx
3:  rep movsb
4:  CLAC
    subq %rcx, %rax
    retq
5:  leaq (%r8, %rcx, 8), %rcx           // a word straddles the end: the rest byte by byte
    jmp 3b
6:  xorl %eax, %eax
    retq
    ON_FAULT 2b, 5b
    ON_FAULT 3b, 4b
.endm

// The first argument of both is in nobody's way: so the page tables' methods, which have themselves there, end with a
// jump.

// user_copy_in(_, from: u64, to: *mut u8, length: usize) -> usize: bytes copied.
.balign 16
.global user_copy_in
user_copy_in:
    movq %rdx, %rdi
    USER_COPY %rsi

// user_copy_out(_, to: u64, from: *const u8, length: usize) -> usize: bytes copied.
.balign 16
.global user_copy_out
user_copy_out:
    movq %rsi, %rdi
    movq %rdx, %rsi
    USER_COPY %rdi

// user_compare_exchange(at: u64, current: u32, new: u32) -> u64: the value found, or all ones.
.balign 16
.global user_compare_exchange
user_compare_exchange:
    STAC
    movl %esi, %eax
2:  lock cmpxchgl %edx, (%rdi)
    CLAC
    movl %eax, %eax
    retq
3:  CLAC
    movq $-1, %rax
    retq
    ON_FAULT 2b, 3b
