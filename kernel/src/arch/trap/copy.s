// Copies to and from user memory, exact to the byte. Words are moved first: TCG counts and
// executes one step per iteration.

.section .text.copy, "ax", @progbits

// user_copy(to: u64, from: u64, length: u64) -> u64: bytes not copied.
.balign 16
.global user_copy
user_copy:
    STAC
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
2:  rep movsq
    movl %edx, %ecx
3:  rep movsb
4:  CLAC
    movq %rcx, %rax
    retq
5:  leaq (%rdx, %rcx, 8), %rcx          // a word straddles the end: the rest byte by byte
    jmp 3b
    ON_FAULT 2b, 5b
    ON_FAULT 3b, 4b

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
