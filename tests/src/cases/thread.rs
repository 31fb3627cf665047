//! Threads: clone's flags, thread-local storage, joining, robust lists (clone(2), set_robust_list(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use std::arch::asm;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(threads_share_id_and_memory),
    case!(join_returns_the_value),
    case!(thread_locals_are_apart),
    case!(raw_clone_with_tls_and_tids),
    case!(clear_child_tid_wakes_a_futex),
    case!(arch_prctl_sets_the_segment_bases),
    case!(segment_base_survives_blocking_and_preemption),
    case!(vector_registers_survive_other_threads),
    case!(hundred_threads_meet_at_a_barrier),
    case!(mutex_protects_a_counter),
    case!(condition_variable_ping_pong),
    case!(channels_between_threads),
    case!(descriptors_are_shared),
    case!(working_folder_is_shared),
    case!(blocked_thread_does_not_block_others),
    case!(close_during_a_blocked_read),
    case!(many_short_threads),
    case!(fork_from_a_thread_has_one_thread),
    case!(robust_list_marks_a_dead_owner),
    case!(robust_list_calls),
    case!(robust_list_of_garbage_is_harmless),
    case!(thread_names),
    case!(task_folder_lists_threads),
    case!(credentials_are_per_thread).root(),
    case!(segfault_in_a_thread_kills_all),
    case!(panic_stays_in_the_thread_that_exits),
    case!(unshared_files_and_fs),
    case!(sched_yield_lets_others_run),
    case!(process_time_sums_threads),
];

fn threads_share_id_and_memory() {
    let (pid, tid) = (getpid(), gettid());
    let shared = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&shared);
    thread::spawn(move || {
        assert_eq!(getpid(), pid);
        assert_ne!(gettid(), tid);
        theirs.store(7, SeqCst);
    })
    .join()
    .unwrap();
    assert_eq!(shared.load(SeqCst), 7);
}

fn join_returns_the_value() {
    let threads: Vec<_> = (0..20).map(|n| thread::spawn(move || n * n)).collect();
    let squares: Vec<i32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(squares, (0..20).map(|n| n * n).collect::<Vec<_>>());
}

thread_local! {
    static LOCAL: std::cell::Cell<u32> = const { std::cell::Cell::new(1) };
}

fn thread_locals_are_apart() {
    LOCAL.set(5);
    let threads: Vec<_> = (0..10)
        .map(|n| {
            thread::spawn(move || {
                assert_eq!(LOCAL.get(), 1);
                LOCAL.set(n);
                for _ in 0..50 {
                    let _ = syscall!(SYS_sched_yield);
                    assert_eq!(LOCAL.get(), n);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(LOCAL.get(), 5);
}

const THREAD_FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// A bare thread: no C library, no Rust runtime. It stores its `gs:0` word at `result` and ends.
/// `clear` is zeroed and woken by the kernel at its end.
fn raw_thread(extra: i32, block: usize, result: usize, parent_tid: usize, child_tid: usize) -> Sys<usize> {
    let stack_top = map_anonymous(4 * PAGE) + 4 * PAGE;
    let mut answer = libc::SYS_clone;
    // SAFETY: the child runs only the instructions below, on its own stack: it reads its TLS
    // word, stores it, and exits.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rax, fs:[0]",
            "mov [r12], rax",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "2:",
            inlateout("rax") answer,
            in("rdi") (THREAD_FLAGS | extra) as usize,
            in("rsi") stack_top,
            in("rdx") parent_tid,
            in("r10") child_tid,
            in("r8") block,
            in("r12") result,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

fn raw_clone_with_tls_and_tids() {
    let page = map_anonymous(PAGE);
    let (block, result, parent_tid, child_tid) = (page, page + 64, page + 128, page + 192);
    word_at(block).store(0xabcd, SeqCst);
    let flags = libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let tid = raw_thread(flags, block, result, parent_tid, child_tid).unwrap();
    assert_eq!(word_at(parent_tid).load(SeqCst) as usize, tid, "before clone returned");
    wait_until(|| word_at(child_tid).load(SeqCst) == 0 && word_at(result).load(SeqCst) != 0);
    assert_eq!(word_at(result).load(SeqCst), 0xabcd);
    wait_until(|| tgkill(getpid(), tid as i32, 0) == Err(ESRCH));
    // A TLS address that is no user address is refused.
    assert_eq!(raw_thread(libc::CLONE_SETTLS, usize::MAX << 40, result, 0, 0), Err(EPERM));
}

fn clear_child_tid_wakes_a_futex() {
    let page = map_anonymous(PAGE);
    let (result, child_tid) = (page + 64, page + 192);
    word_at(page).store(1, SeqCst);
    let flags = libc::CLONE_SETTLS | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    for _ in 0..200 {
        word_at(child_tid).store(u32::MAX, SeqCst);
        let tid = raw_thread(flags, page, result, 0, child_tid).unwrap() as u32;
        loop {
            let now = word_at(child_tid).load(SeqCst);
            if now == 0 {
                break;
            }
            if now == tid {
                let _ = syscall!(SYS_futex, child_tid, libc::FUTEX_WAIT, now, 0, 0, 0);
            }
        }
    }
}

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;

fn arch_prctl_sets_the_segment_bases() {
    let mut base = 0usize;
    syscall!(SYS_arch_prctl, ARCH_GET_FS, &mut base).unwrap();
    let here: usize;
    // SAFETY: on x86-64 the first word of the TLS block holds its own address.
    unsafe { asm!("mov {}, fs:[0]", out(reg) here) };
    assert_eq!(base, here);
    let memory = map_anonymous(PAGE);
    word_at(memory + 8).store(0x1234, SeqCst);
    syscall!(SYS_arch_prctl, ARCH_SET_GS, memory).unwrap();
    syscall!(SYS_arch_prctl, ARCH_GET_GS, &mut base).unwrap();
    assert_eq!((base, gs_word()), (memory, 0x1234));
    assert_eq!(syscall!(SYS_arch_prctl, ARCH_SET_GS, 1usize << 63), Err(EPERM));
    assert_eq!(syscall!(SYS_arch_prctl, ARCH_GET_GS, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_arch_prctl, 0x7777, 0), Err(EINVAL));
    fork(|| assert_eq!(gs_word(), 0x1234, "the base is inherited")).succeeds();
}

fn gs_word() -> u32 {
    let word: u32;
    // SAFETY: the caller has set the base to mapped memory.
    unsafe { asm!("mov {:e}, gs:[8]", out(reg) word) };
    word
}

fn segment_base_survives_blocking_and_preemption() {
    let threads: Vec<_> = (0..8u32)
        .map(|number| {
            thread::spawn(move || {
                let memory = map_anonymous(PAGE);
                word_at(memory + 8).store(number, SeqCst);
                syscall!(SYS_arch_prctl, ARCH_SET_GS, memory).unwrap();
                for round in 0..100 {
                    assert_eq!(gs_word(), number);
                    if round % 10 == 0 {
                        sleep_a_tick();
                    }
                    let _ = syscall!(SYS_sched_yield);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Threads that each keep their own values in vector registers over a stretch long enough to be
/// preempted, and over blocking calls.
fn vector_registers_survive_other_threads() {
    let threads: Vec<_> = (1..=6u64)
        .map(|number| {
            thread::spawn(move || {
                for round in 0..150 {
                    let mut value = number << 32 | round;
                    let expected = value;
                    let blocking = if round % 10 == 0 { 35i64 } else { 24 }; // nanosleep or sched_yield
                    let time = milliseconds(1);
                    // SAFETY: the registers are declared; the system call keeps them.
                    unsafe {
                        asm!(
                            "movq xmm3, {value}", "movq xmm12, {value}", "pxor {zero}, {zero}",
                            "mov rcx, 30000", "2:", "dec rcx", "jnz 2b",
                            "syscall",
                            "movq {value}, xmm3", "movq rcx, xmm12", "and {value}, rcx",
                            value = inout(reg) value, zero = out(xmm_reg) _,
                            inout("rax") blocking => _, inout("rdi") &raw const time => _, inout("rsi") 0usize => _,
                            out("rcx") _, out("r11") _, out("xmm3") _, out("xmm12") _,
                        );
                    }
                    assert_eq!(value, expected);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn hundred_threads_meet_at_a_barrier() {
    let barrier = Arc::new(Barrier::new(100));
    let threads: Vec<_> = (0..100)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(move || (0..3).filter(|_| barrier.wait().is_leader()).count())
                .unwrap()
        })
        .collect();
    let leaders: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(leaders, 3);
}

fn mutex_protects_a_counter() {
    let counter = Arc::new(Mutex::new(0u64));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || {
                for round in 0..2000 {
                    let mut guard = counter.lock().unwrap();
                    let old = *guard;
                    if round % 64 == 0 {
                        thread::yield_now();
                    }
                    *guard = old + 1;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*counter.lock().unwrap(), 16_000);
}

fn condition_variable_ping_pong() {
    let state = Arc::new((Mutex::new(0u32), Condvar::new()));
    let theirs = Arc::clone(&state);
    let play = |state: &(Mutex<u32>, Condvar), parity: u32| {
        for _ in 0..1000 {
            let mut turn = state.1.wait_while(state.0.lock().unwrap(), |turn| *turn % 2 != parity).unwrap();
            *turn += 1;
            state.1.notify_one();
        }
    };
    let other = thread::spawn(move || play(&theirs, 1));
    play(&state, 0);
    other.join().unwrap();
    assert_eq!(*state.0.lock().unwrap(), 2000);
}

fn channels_between_threads() {
    let (sender, receiver) = mpsc::sync_channel::<u64>(4);
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || (1..=500).for_each(|n| sender.send(n).unwrap()))
        })
        .collect();
    discard(sender);
    assert_eq!(receiver.iter().sum::<u64>(), 4 * 500 * 501 / 2);
    producers.into_iter().for_each(|thread| thread.join().unwrap());
}

fn descriptors_are_shared() {
    let (from, to) = thread::spawn(pipe).join().unwrap();
    assert_eq!(write(to, b"x"), Ok(1));
    thread::spawn(move || close(from).unwrap()).join().unwrap();
    assert!(!is_open(from));
}

fn working_folder_is_shared() {
    mkdir(c"below", 0o755).unwrap();
    thread::spawn(|| syscall!(SYS_chdir, c"below").unwrap()).join().unwrap();
    assert!(stat(c"../below").is_ok());
}

fn blocked_thread_does_not_block_others() {
    let (from, to) = pipe();
    let reader = sleeper(move || read_some(from, 10));
    write(to, b"hello").unwrap();
    assert_eq!(reader.join().unwrap(), Ok(b"hello".to_vec()));
}

fn close_during_a_blocked_read() {
    // Closing the number does not end the read in progress: it holds the open file.
    let (from, to) = pipe();
    let reader = sleeper(move || read_some(from, 10));
    close(from).unwrap();
    assert_eq!(write(to, b"late"), Ok(4), "the pipe still has its reader");
    assert_eq!(reader.join().unwrap(), Ok(b"late".to_vec()));
    ignore(libc::SIGPIPE);
    assert_eq!(write(to, b"x"), Err(EPIPE));
}

fn many_short_threads() {
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..500 {
        let count = Arc::clone(&count);
        let spawned = thread::Builder::new().stack_size(64 << 10).spawn(move || count.fetch_add(1, SeqCst));
        spawned.unwrap().join().unwrap();
    }
    assert_eq!(count.load(SeqCst), 500);
}

fn fork_from_a_thread_has_one_thread() {
    thread::spawn(|| wait_for_ever());
    thread::spawn(|| {
        fork(|| {
            assert_eq!(getpid(), gettid());
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().count();
            assert_eq!(tasks, 1);
        })
        .succeeds();
    })
    .join()
    .unwrap();
}

/// A robust list head at `at` with one lock whose futex word is at `at + 128`.
fn robust_list(at: usize) {
    let store = |place: usize, value: usize| {
        word_at(place).store(value as u32, SeqCst);
        word_at(place + 4).store((value >> 32) as u32, SeqCst);
    };
    let entry = at + 96;
    store(at, entry); // head.list.next
    store(at + 8, 32); // head.futex_offset: from an entry to its word
    store(at + 16, 0); // head.list_op_pending
    store(entry, at); // back to the head
}

const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

fn robust_list_marks_a_dead_owner() {
    let memory = map_shared(PAGE);
    robust_list(memory);
    let word = word_at(memory + 128);
    let ready = Gate::new();
    let child = fork(|| {
        syscall!(SYS_set_robust_list, memory, 24).unwrap();
        word.store(gettid() as u32 | WAITERS, SeqCst);
        ready.open();
        wait_for_ever();
    });
    ready.pass();
    let held = word.load(SeqCst);
    let waiter = fork(|| {
        let result = syscall!(SYS_futex, word, libc::FUTEX_WAIT, held, 0, 0, 0);
        assert!(result == Ok(0) || result == Err(EAGAIN), "{result:?}");
        assert_eq!(word.load(SeqCst) & OWNER_DIED, OWNER_DIED);
    });
    wait_until_blocked(waiter.pid);
    child.finish();
    waiter.succeeds();
    assert_eq!(word.load(SeqCst) & !WAITERS, OWNER_DIED, "the owner's id is gone");
    // A lock that somebody else owns is left alone.
    word.store(1, SeqCst);
    fork(|| {
        syscall!(SYS_set_robust_list, memory, 24).unwrap();
    })
    .succeeds();
    assert_eq!(word.load(SeqCst), 1);
}

fn robust_list_calls() {
    assert_eq!(syscall!(SYS_set_robust_list, 0, 23), Err(EINVAL));
    let memory = map_anonymous(PAGE);
    robust_list(memory);
    thread::spawn(move || {
        syscall!(SYS_set_robust_list, memory, 24).unwrap();
        let (mut head, mut len) = (0usize, 0usize);
        syscall!(SYS_get_robust_list, 0, &mut head, &mut len).unwrap();
        assert_eq!((head, len), (memory, 24));
        assert_eq!(syscall!(SYS_get_robust_list, 99_999_999, &mut head, &mut len), Err(ESRCH));
        assert_eq!(syscall!(SYS_get_robust_list, 0, 8, &mut len), Err(EFAULT));
    })
    .join()
    .unwrap();
}

fn robust_list_of_garbage_is_harmless() {
    let looped = map_anonymous(PAGE);
    robust_list(looped);
    word_at(looped + 96).store((looped + 96) as u32, SeqCst); // An entry that points to itself.
    word_at(looped + 100).store(((looped + 96) >> 32) as u32, SeqCst);
    for head in [8usize, usize::MAX - 7, looped] {
        fork(|| {
            syscall!(SYS_set_robust_list, head, 24).unwrap();
        })
        .succeeds();
    }
}

fn thread_names() {
    let name = |tid: i32| text(&path(format!("/proc/self/task/{tid}/comm"))).unwrap();
    syscall!(SYS_prctl, libc::PR_SET_NAME, c"first-of-them", 0, 0, 0).unwrap();
    let gate = Gate::new();
    let (send_tid, tid) = mpsc::channel();
    let other = thread::spawn(move || {
        syscall!(SYS_prctl, libc::PR_SET_NAME, c"a name that is cut short", 0, 0, 0).unwrap();
        let mut read_back = [0u8; 16];
        syscall!(SYS_prctl, libc::PR_GET_NAME, &mut read_back, 0, 0, 0).unwrap();
        assert_eq!(&read_back, b"a name that is \0");
        send_tid.send(gettid()).unwrap();
        gate.pass();
    });
    assert_eq!(name(tid.recv().unwrap()), "a name that is \n");
    assert_eq!(name(gettid()), "first-of-them\n");
    gate.open();
    other.join().unwrap();
}

fn task_folder_lists_threads() {
    let gate = Gate::new();
    let (send_tid, tids) = mpsc::channel();
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let send_tid = send_tid.clone();
            thread::spawn(move || {
                send_tid.send(gettid()).unwrap();
                gate.pass();
            })
        })
        .collect();
    let mut expected: Vec<i32> = tids.iter().take(5).chain([gettid()]).collect();
    let listed = std::fs::read_dir("/proc/self/task").unwrap();
    let mut seen: Vec<i32> =
        listed.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    expected.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    threads.iter().for_each(|_| gate.open());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn credentials_are_per_thread() {
    thread::spawn(|| {
        syscall!(SYS_setresuid, 1001, 1001, 1001).unwrap();
        assert_eq!(syscall!(SYS_getuid), Ok(1001));
    })
    .join()
    .unwrap();
    assert_eq!(syscall!(SYS_getuid), Ok(0), "the raw call concerns only its thread");
}

fn segfault_in_a_thread_kills_all() {
    let child = fork(|| {
        thread::spawn(|| poke(8, 1));
        wait_for_ever();
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGSEGV));
}

fn panic_stays_in_the_thread_that_exits() {
    // A thread that leaves by exit(2) takes nobody along.
    let gate = Gate::new();
    let page = map_anonymous(PAGE);
    word_at(page).store(3, SeqCst);
    raw_thread(libc::CLONE_SETTLS, page, page + 64, 0, 0).unwrap();
    wait_until(|| word_at(page + 64).load(SeqCst) == 3);
    gate.open();
    gate.pass();
}

fn unshared_files_and_fs() {
    mkdir(c"below", 0o755).unwrap();
    thread::spawn(|| {
        syscall!(SYS_unshare, libc::CLONE_FILES | libc::CLONE_FS).unwrap();
        close(0).unwrap();
        syscall!(SYS_chdir, c"below").unwrap();
        syscall!(SYS_umask, 0o077).unwrap();
    })
    .join()
    .unwrap();
    assert!(is_open(0));
    assert!(stat(c"below").is_ok());
    assert_eq!(syscall!(SYS_umask, 0o022), Ok(0o022));
    assert_eq!(syscall!(SYS_unshare, 1), Err(EINVAL));
}

fn sched_yield_lets_others_run() {
    // Two threads that spin with yields until the other has moved: must end even on one CPU.
    let turn = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&turn);
    let other = thread::spawn(move || {
        for round in 0..500 {
            while theirs.load(SeqCst) != 2 * round + 1 {
                let _ = syscall!(SYS_sched_yield);
            }
            theirs.store(2 * round + 2, SeqCst);
        }
    });
    for round in 0..500 {
        turn.store(2 * round + 1, SeqCst);
        while turn.load(SeqCst) != 2 * round + 2 {
            let _ = syscall!(SYS_sched_yield);
        }
    }
    other.join().unwrap();
}

fn process_time_sums_threads() {
    let burn = |clock: i32| {
        let start = clock_now(clock).unwrap();
        while clock_now(clock).unwrap() < start + 10_000_000 {}
    };
    let before = clock_now(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    let threads: Vec<_> =
        (0..3).map(|_| thread::spawn(move || burn(libc::CLOCK_THREAD_CPUTIME_ID))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let spent = clock_now(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap() - before;
    assert!(spent >= 25_000_000, "three threads of 10 ms each, but the process used {spent} ns");
}
