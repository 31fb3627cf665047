//! What a handler finds and leaves: stacks, registers, faults. Listed in `signal`.

use crate::sys::*;
use libc::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGUSR1, SIGUSR2, c_void, siginfo_t, ucontext_t};
use std::arch::asm;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

static STACK_POINTER: AtomicUsize = AtomicUsize::new(0);
static STACK_FLAGS: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note_stack(signal: i32, _: *mut siginfo_t, _: *mut c_void) {
    let local = 0u8;
    STACK_POINTER.store(&raw const local as usize, Relaxed);
    STACK_FLAGS.store(current_stack().ss_flags, Relaxed);
    if signal == SIGUSR2 {
        raise(SIGUSR1);
    }
}

fn current_stack() -> libc::stack_t {
    let mut stack: libc::stack_t = zeroed();
    syscall!(SYS_sigaltstack, 0, &mut stack).expect("sigaltstack");
    stack
}

const STACK: usize = 16 * PAGE;

pub(super) fn alternate_stack_is_used() {
    let stack = map_anonymous(STACK);
    use_alternate_stack(stack, STACK);
    assert_eq!(current_stack().ss_flags, 0);
    on_signal(SIGUSR1, note_stack, 0);
    raise(SIGUSR1);
    assert!(!(stack..stack + STACK).contains(&STACK_POINTER.load(Relaxed)), "not without SA_ONSTACK");
    on_signal(SIGUSR1, note_stack, libc::SA_ONSTACK);
    raise(SIGUSR1);
    assert!((stack..stack + STACK).contains(&STACK_POINTER.load(Relaxed)));
    assert_eq!(STACK_FLAGS.load(Relaxed), libc::SS_ONSTACK);
    assert_eq!(current_stack().ss_flags, 0, "off the stack again");
}

pub(super) fn alternate_stack_errors() {
    let try_stack = |flags: i32, len: usize| {
        let stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: flags, ss_size: len };
        syscall!(SYS_sigaltstack, &stack, 0)
    };
    assert_eq!(try_stack(0, 1000), Err(ENOMEM));
    assert_eq!(try_stack(8, STACK), Err(EINVAL));
    assert_eq!(try_stack(libc::SS_ONSTACK, STACK), Ok(0), "tolerated for old programs");
    assert_eq!(try_stack(libc::SS_DISABLE, 0), Ok(0));
    assert_eq!(current_stack().ss_flags, libc::SS_DISABLE);
    assert_eq!(syscall!(SYS_sigaltstack, 8, 0), Err(EFAULT));
    // While on it, it can't be changed.
    use_alternate_stack(map_anonymous(STACK), STACK);
    on_signal(SIGUSR1, change_stack, libc::SA_ONSTACK);
    raise(SIGUSR1);
    assert_eq!(STACK_FLAGS.load(Relaxed), libc::EPERM);
}

extern "C" fn change_stack(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    let stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    let result = syscall!(SYS_sigaltstack, &stack, 0);
    STACK_FLAGS.store(result.err().map_or(0, |errno| errno.0), Relaxed);
}

pub(super) fn alternate_stack_autodisarm() {
    const SS_AUTODISARM: i32 = i32::MIN;
    let at = map_anonymous(STACK);
    let stack = libc::stack_t {
        ss_sp: std::ptr::with_exposed_provenance_mut(at),
        ss_flags: SS_AUTODISARM,
        ss_size: STACK,
    };
    syscall!(SYS_sigaltstack, &stack, 0).unwrap();
    on_signal(SIGUSR1, note_stack, libc::SA_ONSTACK);
    raise(SIGUSR1);
    assert!((at..at + STACK).contains(&STACK_POINTER.load(Relaxed)));
    assert_eq!(STACK_FLAGS.load(Relaxed), libc::SS_DISABLE, "disarmed inside the handler");
    assert_eq!(current_stack().ss_flags, SS_AUTODISARM, "armed again afterwards");
}

pub(super) fn nested_handlers_share_the_alternate_stack() {
    let stack = map_anonymous(STACK);
    use_alternate_stack(stack, STACK);
    on_signal(SIGUSR1, note_stack, libc::SA_ONSTACK);
    on_signal(SIGUSR2, note_stack, libc::SA_ONSTACK);
    raise(SIGUSR2); // Its handler raises SIGUSR1, which continues below it on the same stack.
    let inner = STACK_POINTER.load(Relaxed);
    assert!((stack..stack + STACK).contains(&inner));
    raise(SIGUSR1);
    assert!(inner < STACK_POINTER.load(Relaxed), "the nested handler started deeper");
}

extern "C" fn clobber(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: all clobbered registers are declared.
    unsafe {
        asm!(
            "mov rax, -1", "mov rcx, -1", "mov rdx, -1", "mov rsi, -1", "mov rdi, -1",
            "mov r8, -1", "mov r9, -1", "mov r10, -1", "mov r11, -1",
            "pcmpeqd xmm0, xmm0", "pcmpeqd xmm7, xmm7", "pcmpeqd xmm15, xmm15",
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("xmm0") _, out("xmm7") _, out("xmm15") _,
        );
    }
}

/// A child that shoots at this process as long as `body` runs, which tells how often it was hit.
fn under_fire(body: impl FnOnce()) {
    let target = getpid();
    let shooter = fork(|| {
        while kill(target, SIGUSR1).is_ok() {
            let _ = syscall!(SYS_sched_yield);
        }
    });
    body();
    shooter.finish();
}

pub(super) fn sigreturn_restores_registers() {
    on_signal(SIGUSR1, clobber, libc::SA_RESTART);
    under_fire(|| {
        for _ in 0..200 {
            let mut values: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
            // SAFETY: a counting loop; signals come in the middle of it.
            unsafe {
                asm!(
                    "mov rcx, 20000", "2:", "dec rcx", "jnz 2b",
                    inout("rax") values[0], inout("rdx") values[1], inout("rsi") values[2],
                    inout("rdi") values[3], inout("r8") values[4], inout("r9") values[5],
                    inout("r10") values[6], inout("r11") values[7], out("rcx") _,
                );
            }
            assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8]);
        }
    });
}

pub(super) fn sigreturn_keeps_vector_registers() {
    on_signal(SIGUSR1, clobber, libc::SA_RESTART);
    under_fire(|| {
        for round in 0..200u64 {
            let (mut low, mut middle, mut high) = (round, round + 1, round + 2);
            // SAFETY: as above; the vector registers are declared.
            unsafe {
                asm!(
                    "movq xmm0, {low}", "movq xmm7, {middle}", "movq xmm15, {high}",
                    "mov rcx, 20000", "2:", "dec rcx", "jnz 2b",
                    "movq {low}, xmm0", "movq {middle}, xmm7", "movq {high}, xmm15",
                    low = inout(reg) low, middle = inout(reg) middle, high = inout(reg) high,
                    out("rcx") _, out("xmm0") _, out("xmm7") _, out("xmm15") _,
                );
            }
            assert_eq!((low, middle, high), (round, round + 1, round + 2));
        }
    });
}

static CONTROL_WORD: AtomicI32 = AtomicI32::new(0);
static MXCSR: AtomicI32 = AtomicI32::new(0);

fn control_words() -> (u16, u32) {
    let (mut control, mut mxcsr) = (0u16, 0u32);
    // SAFETY: both instructions store into live locals.
    unsafe { asm!("fnstcw [{}]", "stmxcsr [{}]", in(reg) &raw mut control, in(reg) &raw mut mxcsr) };
    (control, mxcsr)
}

extern "C" fn note_control_words(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    let (control, mxcsr) = control_words();
    CONTROL_WORD.store(i32::from(control), Relaxed);
    MXCSR.store(mxcsr as i32, Relaxed);
}

pub(super) fn handler_starts_with_a_clean_fpu() {
    on_signal(SIGUSR1, note_control_words, 0);
    let (control, mxcsr) = (0x0f7fu16, 0x7f80u32); // Round towards zero.
    // SAFETY: loads from live locals; no floating point work is done until they are reset.
    unsafe { asm!("fldcw [{}]", "ldmxcsr [{}]", in(reg) &raw const control, in(reg) &raw const mxcsr) };
    raise(SIGUSR1);
    let after = control_words();
    let (control_default, mxcsr_default) = (0x037fu16, 0x1f80u32);
    // SAFETY: as above.
    unsafe {
        asm!("fldcw [{}]", "ldmxcsr [{}]", in(reg) &raw const control_default, in(reg) &raw const mxcsr_default);
    }
    assert_eq!(after, (control, mxcsr), "restored after the handler");
    let seen = (CONTROL_WORD.load(Relaxed), MXCSR.load(Relaxed));
    assert_eq!(seen, (0x037f, 0x1f80), "the handler gets the initial control words");
}

extern "C" fn change_rax(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid context that may be changed.
    unsafe {
        let context = &mut *context.cast::<ucontext_t>();
        context.uc_mcontext.gregs[libc::REG_RIP as usize] += 2; // Over `ud2`.
        context.uc_mcontext.gregs[libc::REG_RBX as usize] = 0x5eed;
    }
}

pub(super) fn handler_may_change_the_saved_registers() {
    on_signal(SIGILL, change_rax, 0);
    let mut value = 1u64;
    // SAFETY: the handler steps over the instruction and changes rbx, which is handed over.
    unsafe {
        asm!("xchg {v}, rbx", "ud2", "xchg {v}, rbx", v = inout(reg) value);
    }
    assert_eq!(value, 0x5eed);
}

static JUMP_TO: AtomicUsize = AtomicUsize::new(0);
static JUMP_STACK: AtomicUsize = AtomicUsize::new(0);

extern "C" fn jump_away(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: `handler_may_leave_by_a_jump` stored a live place and its stack pointer.
    unsafe {
        asm!(
            "mov rsp, {stack}", "jmp {to}",
            stack = in(reg) JUMP_STACK.load(Relaxed), to = in(reg) JUMP_TO.load(Relaxed),
            options(noreturn),
        );
    }
}

pub(super) fn handler_may_leave_by_a_jump() {
    let mask_before = current_mask();
    on_signal(SIGILL, jump_away, libc::SA_NODEFER);
    for _ in 0..100 {
        // SAFETY: every register may change over the fault, and is declared so; the frame
        // pointer is kept on the stack.
        unsafe {
            asm!(
                "push rbp", "push rbx",
                "lea rax, [rip + 2f]", "mov [{to}], rax", "mov [{stack}], rsp",
                "ud2",
                "2:", "pop rbx", "pop rbp",
                to = in(reg) JUMP_TO.as_ptr(), stack = in(reg) JUMP_STACK.as_ptr(),
                out("rax") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
                clobber_abi("C"),
            );
        }
    }
    assert_eq!(current_mask(), mask_before);
}

pub(super) fn segv_codes_and_addresses() {
    let memory = map_anonymous(2 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    assert_eq!(fault_of(|| poke(memory, 1)), None);
    assert_eq!(fault_of(|| discard(peek(memory + PAGE + 5))), unmapped_at(memory + PAGE + 5));
    mprotect(memory, PAGE, libc::PROT_READ).unwrap();
    assert_eq!(fault_of(|| poke(memory + 7, 1)), forbidden_at(memory + 7));
    assert_eq!(fault_of(|| discard(peek(memory + 7))), None);
    assert_eq!(fault_of(|| discard(peek(8))), unmapped_at(8));
    // Not executable.
    let jump = |at: usize| {
        fault_of(|| {
            // SAFETY: this faults, which is what is wanted.
            unsafe { asm!("call {}", in(reg) at, clobber_abi("C")) };
        })
    };
    assert_eq!(jump(memory + 16), forbidden_at(memory + 16));
    // A kernel address: the address is told, not whether something is there.
    let kernel = 0xffff_8000_0000_1000;
    assert_eq!(fault_of(|| discard(peek(kernel))), unmapped_at(kernel));
    // No canonical address at all: a general protection fault, without an address.
    let fault = fault_of(|| discard(peek(0x1234_5678_9abc_def0))).unwrap();
    assert_eq!((fault.signal, fault.code, fault.address), (SIGSEGV, 128 /* SI_KERNEL */, 0));
}

static FAULT_CODE: AtomicI32 = AtomicI32::new(0);
static FAULT_AT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_fault(signal: i32, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    unsafe {
        FAULT_CODE.store((*info).si_code, Relaxed);
        FAULT_AT.store((*info).si_addr() as usize, Relaxed);
    }
    exit_group(signal);
}

/// Runs `body`, which faults, in a child: `(signal, exited by the handler)`; the handler checks the
/// code.
fn trap_of(signal: i32, expected_code: i32, body: impl FnOnce()) {
    let shared = map_shared(PAGE);
    SHARED.store(shared, Relaxed);
    let child = fork(|| {
        on_signal(signal, share_code, 0);
        body();
    });
    assert_eq!(child.wait(), Status::Exited(signal), "the handler ran");
    assert_eq!(word_at(shared).load(Relaxed) as i32, expected_code, "si_code of signal {signal}");
}

static SHARED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn share_code(signal: i32, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    let code = unsafe { (*info).si_code };
    word_at(SHARED.load(Relaxed)).store(code as u32, Relaxed);
    note_fault(signal, info, context);
}

pub(super) fn illegal_instruction_and_division() {
    // SAFETY: the instructions fault, which is what is wanted.
    trap_of(SIGILL, 2 /* ILL_ILLOPN */, || unsafe { asm!("ud2") });
    trap_of(SIGFPE, 1 /* FPE_INTDIV */, || {
        // SAFETY: as above.
        unsafe { asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, inout("edx") 0 => _) }
    });
    // SAFETY: as above; a privileged instruction is a protection fault.
    trap_of(SIGSEGV, 128, || unsafe { asm!("hlt") });
    // SAFETY: as above.
    trap_of(SIGSEGV, 128, || unsafe { asm!("in al, 0x60", out("al") _) });
}

pub(super) fn breakpoint_and_trap_codes() {
    // SAFETY: traps, which is what is wanted.
    trap_of(SIGTRAP, 128, || unsafe { asm!("int3") });
    // SAFETY: the single-step flag traps after the next instruction.
    trap_of(SIGTRAP, libc::TRAP_TRACE, || unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop")
    });
}

/// Whether the processor is QEMU's interpreter, which never raises SSE exceptions.
fn is_interpreted() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0x4000_0000);
    [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).concat() == b"TCGTCGTCGTCG"
}

pub(super) fn floating_point_exception_code() {
    if is_interpreted() {
        crate::harness::skip("QEMU's TCG raises no SSE exceptions");
    }
    trap_of(SIGFPE, 3 /* FPE_FLTDIV */, || {
        let mxcsr = 0x1f80u32 & !(1 << 9); // Unmask division by zero.
        // SAFETY: loads from a live local; the division traps.
        unsafe {
            asm!(
                "ldmxcsr [{}]", "mov eax, 1", "cvtsi2sd xmm0, eax", "xorpd xmm1, xmm1", "divsd xmm0, xmm1",
                in(reg) &raw const mxcsr, out("eax") _, out("xmm0") _, out("xmm1") _,
            );
        }
    });
}

pub(super) fn blocked_fault_kills() {
    let child = fork(|| {
        catch(SIGSEGV, 0);
        block(&[SIGSEGV]);
        poke(8, 1);
    });
    assert_eq!(child.wait(), Status::Killed(SIGSEGV));
}

pub(super) fn ignored_fault_kills() {
    let child = fork(|| {
        ignore(SIGSEGV);
        poke(8, 1);
    });
    assert_eq!(child.wait(), Status::Killed(SIGSEGV));
    let child = fork(|| {
        ignore(SIGBUS);
        raise(SIGBUS);
    });
    assert_eq!(child.wait(), Status::Exited(0), "sent by hand, it is ignored");
}

pub(super) fn unwritable_signal_frame_kills() {
    // The handler's stack is nowhere: the frame can't be written, SIGSEGV ends the process.
    let child = fork(|| {
        let stack = map(0, STACK, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).unwrap();
        use_alternate_stack(stack, STACK);
        on_signal(SIGUSR1, note_stack, libc::SA_ONSTACK);
        raise(SIGUSR1);
    });
    assert_eq!(child.wait(), Status::Killed(SIGSEGV));
    // Even if SIGSEGV has a handler (on the same stack).
    let child = fork(|| {
        let stack = map(0, STACK, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).unwrap();
        use_alternate_stack(stack, STACK);
        on_signal(SIGUSR1, note_stack, libc::SA_ONSTACK);
        on_signal(SIGSEGV, note_stack, libc::SA_ONSTACK);
        raise(SIGUSR1);
    });
    assert_eq!(child.wait(), Status::Killed(SIGSEGV));
}

/// `rt_sigreturn` with a frame full of garbage must not give the program anything it may not
/// have (a kernel segment, an I/O privilege level), whatever else happens to it.
pub(super) fn forged_sigreturn_frame_ends_in_a_fault() {
    for fill in [0u8, 0xff, 0x41] {
        let child = fork(|| {
            let stack = map_anonymous(4 * PAGE);
            (0..4 * PAGE).for_each(|at| poke(stack + at, fill));
            // SAFETY: the process does not come back from this.
            unsafe {
                asm!("mov rsp, {}", "mov eax, 15", "syscall", "ud2", in(reg) stack + PAGE, options(noreturn));
            }
        });
        let status = child.wait();
        assert!(
            [Status::Killed(SIGSEGV), Status::Killed(SIGBUS)].contains(&status),
            "filled with {fill:#x}: {status:?}"
        );
    }
    // A frame on no memory at all.
    let child = fork(|| {
        // SAFETY: as above.
        unsafe { asm!("mov rsp, 4096", "mov eax, 15", "syscall", "ud2", options(noreturn)) };
    });
    assert_eq!(child.wait(), Status::Killed(SIGSEGV));
}
