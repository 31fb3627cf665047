//! Mappings without files (mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), mincore(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_EXEC,
    PROT_NONE, PROT_READ, PROT_WRITE,
};

pub(crate) const CASES: &[Case] = &[
    case!(anonymous_memory_is_zero),
    case!(argument_errors),
    case!(hints_are_followed_when_free),
    case!(fixed_replaces_what_was_there),
    case!(fixed_noreplace_refuses),
    case!(addresses_out_of_range),
    case!(unmap_a_hole),
    case!(unmap_over_several_and_nothing),
    case!(protections_are_kept),
    case!(mprotect_splits),
    case!(mprotect_errors),
    case!(code_can_run_where_allowed),
    case!(copy_on_write_across_fork),
    case!(copy_on_write_by_the_kernel),
    case!(shared_anonymous_memory),
    case!(huge_reservation_costs_nothing),
    case!(stack_grows_down),
    case!(stack_stops_at_its_limit),
    case!(grown_down_mapping),
    case!(guard_page_below_a_thread_stack),
    case!(address_space_limit),
    case!(data_limit_bounds_brk),
    case!(wrong_pointers_to_mapped_calls),
    case!(partial_copies_at_an_edge),
    case!(arguments_at_the_end_of_user_space),
    case!(many_small_mappings),
    case!(map_count_is_limited).long().vm(),
    case!(concurrent_faults_on_one_page),
    case!(unmap_while_another_thread_touches),
    case!(fork_while_another_thread_writes),
    case!(no_page_is_leaked_to_the_next_owner),
];

pub(super) const ANONYMOUS: i32 = MAP_PRIVATE | MAP_ANONYMOUS;

fn anonymous_memory_is_zero() {
    let len = 300 * PAGE;
    let memory = map_anonymous(len);
    assert!((0..len).step_by(64).all(|at| peek(memory + at) == 0));
    (0..len).step_by(PAGE).for_each(|at| poke(memory + at, 0xff));
    unmap(memory, len).unwrap();
    let memory = map_anonymous(len);
    assert!((0..len).step_by(64).all(|at| peek(memory + at) == 0), "memory of a former mapping");
}

fn argument_errors() {
    assert_eq!(map(0, 0, READ_WRITE, ANONYMOUS, -1, 0), Err(EINVAL));
    assert_eq!(map(0, PAGE, READ_WRITE, MAP_ANONYMOUS, -1, 0), Err(EINVAL), "neither shared nor private");
    assert_eq!(map(0, PAGE, READ_WRITE, MAP_PRIVATE, -1, 0), Err(EBADF));
    assert_eq!(map(0, PAGE, READ_WRITE, ANONYMOUS, -1, 1), Err(EINVAL), "offset not in pages");
    assert_eq!(map(0, usize::MAX, READ_WRITE, ANONYMOUS, -1, 0), Err(ENOMEM));
    assert_eq!(map(0, 1 << 47, READ_WRITE, ANONYMOUS, -1, 0), Err(ENOMEM));
    assert_eq!(map(123, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0), Err(EINVAL));
    assert_eq!(unmap(123, PAGE), Err(EINVAL));
    assert_eq!(unmap(0, 0), Err(EINVAL));
    assert_eq!(unmap(PAGE, usize::MAX - PAGE), Err(EINVAL));
    assert_eq!(unmap(1 << 47, PAGE), Err(EINVAL));
}

fn hints_are_followed_when_free() {
    let memory = map_anonymous(10 * PAGE);
    unmap(memory, 10 * PAGE).unwrap();
    assert_eq!(map(memory, PAGE, READ_WRITE, ANONYMOUS, -1, 0), Ok(memory));
    let other = map(memory, PAGE, READ_WRITE, ANONYMOUS, -1, 0).unwrap();
    assert_ne!(other, memory, "a hint never replaces");
    assert_eq!(map(memory + 2 * PAGE + 77, PAGE, READ_WRITE, ANONYMOUS, -1, 0), Ok(memory + 2 * PAGE));
    // A length that is no multiple of the page size is rounded up.
    let odd = map(0, PAGE + 1, READ_WRITE, ANONYMOUS, -1, 0).unwrap();
    poke(odd + 2 * PAGE - 1, 1);
    assert_eq!(unmap(odd, PAGE + 1), Ok(()));
    assert_eq!(fault_of(|| poke(odd + PAGE, 1)), unmapped_at(odd + PAGE));
}

fn fixed_replaces_what_was_there() {
    let memory = map_anonymous(3 * PAGE);
    (0..3).for_each(|page| poke(memory + page * PAGE, 9));
    let middle = memory + PAGE;
    assert_eq!(map(middle, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0), Ok(middle));
    assert_eq!([peek(memory), peek(middle), peek(middle + PAGE)], [9, 0, 9]);
    assert_eq!(fault_of(|| poke(middle, 1)), forbidden_at(middle));
}

fn fixed_noreplace_refuses() {
    let flags = ANONYMOUS | MAP_FIXED_NOREPLACE;
    let memory = map_anonymous(3 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    assert_eq!(map(memory, PAGE, READ_WRITE, flags, -1, 0), Err(EEXIST));
    assert_eq!(map(memory + PAGE, 2 * PAGE, READ_WRITE, flags, -1, 0), Err(EEXIST));
    assert_eq!(map(memory + PAGE, PAGE, READ_WRITE, flags, -1, 0), Ok(memory + PAGE));
}

fn addresses_out_of_range() {
    let flags = ANONYMOUS | MAP_FIXED;
    for at in [1usize << 47, 0xffff_8000_0000_0000, usize::MAX - PAGE + 1] {
        assert_eq!(map(at, PAGE, READ_WRITE, flags, -1, 0), Err(ENOMEM), "at {at:#x}");
    }
    assert_eq!(map((1 << 47) - PAGE, PAGE, READ_WRITE, flags, -1, 0), Err(ENOMEM), "the guard page on top");
    // As an ordinary user nothing is mapped at the very bottom.
    as_nobody(|| assert_eq!(map(0, PAGE, READ_WRITE, flags, -1, 0), Err(EPERM)));
}

fn unmap_a_hole() {
    let memory = map_anonymous(5 * PAGE);
    (0..5).for_each(|page| poke(memory + page * PAGE, page as u8 + 1));
    unmap(memory + 2 * PAGE, PAGE).unwrap();
    assert_eq!([0, 1, 3, 4].map(|page| peek(memory + page * PAGE)), [1, 2, 4, 5]);
    let hole = memory + 2 * PAGE;
    assert_eq!(fault_of(|| discard(peek(hole))), unmapped_at(hole));
}

fn unmap_over_several_and_nothing() {
    let memory = map_anonymous(9 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    unmap(memory + 5 * PAGE, PAGE).unwrap();
    assert_eq!(unmap(memory, 9 * PAGE), Ok(()));
    assert_eq!(unmap(memory, 9 * PAGE), Ok(()), "nothing there is fine");
    for page in 0..9 {
        assert_eq!(fault_of(|| discard(peek(memory + page * PAGE))), unmapped_at(memory + page * PAGE));
    }
}

fn protections_are_kept() {
    let with = |prot: i32| map(0, PAGE, prot, ANONYMOUS, -1, 0).unwrap();
    let none = with(PROT_NONE);
    assert_eq!(fault_of(|| discard(peek(none))), forbidden_at(none));
    let read = with(PROT_READ);
    assert_eq!(fault_of(|| discard(peek(read))), None);
    assert_eq!(fault_of(|| poke(read, 1)), forbidden_at(read));
    let write = with(PROT_WRITE);
    assert_eq!(fault_of(|| poke(write, 1)), None);
    assert_eq!(fault_of(|| discard(peek(write))), None, "on x86, writable is readable");
    // The kernel obeys too.
    let (from, to) = pipe();
    write_byte(to);
    assert_eq!(syscall!(SYS_read, from, read, 1), Err(EFAULT));
    assert_eq!(syscall!(SYS_write, to, none, 1), Err(EFAULT));
}

fn write_byte(to: Fd) {
    assert_eq!(write(to, b"b"), Ok(1));
}

fn mprotect_splits() {
    let memory = map_anonymous(5 * PAGE);
    mprotect(memory + PAGE, 2 * PAGE, PROT_READ).unwrap();
    mprotect(memory + 2 * PAGE, 2 * PAGE, PROT_NONE).unwrap();
    let writable = |page: usize| fault_of(|| poke(memory + page * PAGE, 1)).is_none();
    let readable = |page: usize| fault_of(|| discard(peek(memory + page * PAGE))).is_none();
    assert_eq!([0, 1, 2, 3, 4].map(writable), [true, false, false, false, true]);
    assert_eq!([0, 1, 2, 3, 4].map(readable), [true, true, false, false, true]);
    mprotect(memory, 5 * PAGE, READ_WRITE).unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(writable), [true; 5]);
    // Contents survive a time without access.
    poke(memory, 77);
    mprotect(memory, PAGE, PROT_NONE).unwrap();
    mprotect(memory, PAGE, PROT_READ).unwrap();
    assert_eq!(peek(memory), 77);
}

fn mprotect_errors() {
    let memory = map_anonymous(3 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    assert_eq!(mprotect(memory + 1, PAGE, PROT_READ), Err(EINVAL));
    assert_eq!(mprotect(memory, 3 * PAGE, PROT_READ), Err(ENOMEM), "a hole");
    assert_eq!(fault_of(|| poke(memory, 1)), forbidden_at(memory), "the part before the hole was done");
    assert_eq!(fault_of(|| poke(memory + 2 * PAGE, 1)), None, "the part behind it was not");
    assert_eq!(mprotect(memory, 0, PROT_READ), Ok(()));
    assert_eq!(mprotect(memory, PAGE, 1 << 20), Err(EINVAL));
    create(c"file", b"x");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    let at = map(0, PAGE, PROT_READ, MAP_SHARED, file, 0).unwrap();
    assert_eq!(mprotect(at, PAGE, READ_WRITE), Err(EACCES), "the file is open for reading only");
}

fn code_can_run_where_allowed() {
    use std::arch::asm;
    let memory = map_anonymous(PAGE);
    poke(memory, 0xc3); // ret
    let call = |at: usize| {
        // SAFETY: one `ret` lies there, or the fault is what the case wants.
        unsafe { asm!("call {}", in(reg) at, clobber_abi("C")) }
    };
    assert_eq!(fault_of(|| call(memory)), forbidden_at(memory));
    mprotect(memory, PAGE, PROT_READ | PROT_EXEC).unwrap();
    assert_eq!(fault_of(|| call(memory)), None);
    mprotect(memory, PAGE, READ_WRITE).unwrap();
    assert_eq!(fault_of(|| call(memory)), forbidden_at(memory), "the permission is taken back");
}

fn copy_on_write_across_fork() {
    let memory = map_anonymous(8 * PAGE);
    (0..8).for_each(|page| poke(memory + page * PAGE, 1));
    // Three generations, each writes its own page and sees its ancestors' pages as they were.
    fork(|| {
        poke(memory, 2);
        fork(|| {
            poke(memory + PAGE, 3);
            assert_eq!([0, 1, 2].map(|page| peek(memory + page * PAGE)), [2, 3, 1]);
        })
        .succeeds();
        assert_eq!([0, 1, 2].map(|page| peek(memory + page * PAGE)), [2, 1, 1]);
    })
    .succeeds();
    assert_eq!([0, 1, 2].map(|page| peek(memory + page * PAGE)), [1, 1, 1]);
    // Read-only memory made writable later is still private.
    mprotect(memory, PAGE, PROT_READ).unwrap();
    fork(|| {
        mprotect(memory, PAGE, READ_WRITE).unwrap();
        poke(memory, 9);
    })
    .succeeds();
    assert_eq!(peek(memory), 1);
}

fn copy_on_write_by_the_kernel() {
    let memory = map_anonymous(2 * PAGE);
    poke(memory, 1);
    let (from, to) = pipe();
    fork(|| {
        write(to, &[5; 10]).unwrap();
        // The kernel's write into the shared page must copy it first.
        assert_eq!(syscall!(SYS_read, from, memory, 10), Ok(10));
        assert_eq!(peek(memory), 5);
    })
    .succeeds();
    assert_eq!(peek(memory), 1);
    // Into a page that was never touched.
    write(to, &[6; 10]).unwrap();
    assert_eq!(syscall!(SYS_read, from, memory + PAGE, 10), Ok(10));
    assert_eq!(peek(memory + PAGE + 9), 6);
}

fn shared_anonymous_memory() {
    let memory = map_shared(4 * PAGE);
    poke(memory, 1);
    fork(|| {
        assert_eq!(peek(memory), 1);
        poke(memory, 2);
        poke(memory + 3 * PAGE, 3); // Never touched before the fork.
        fork(|| poke(memory + 2 * PAGE, 4)).succeeds();
    })
    .succeeds();
    assert_eq!([0, 1, 2, 3].map(|page| peek(memory + page * PAGE)), [2, 0, 4, 3]);
}

fn huge_reservation_costs_nothing() {
    let len = 1usize << 40;
    let memory = map(0, len, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0).unwrap();
    let window = memory + (len / 2);
    mprotect(window, 4 * PAGE, READ_WRITE).unwrap();
    poke(window, 1);
    assert_eq!(fault_of(|| poke(window + 4 * PAGE, 1)), forbidden_at(window + 4 * PAGE));
    let writable = map(0, 1 << 36, READ_WRITE, ANONYMOUS | MAP_NORESERVE, -1, 0).unwrap();
    (0..16).for_each(|step| poke(writable + (step << 32), 1));
    unmap(memory, len).unwrap();
}

/// Touches the stack at this distance below here, page by page.
fn use_stack(bytes: usize) {
    let here = 0u8;
    let at = &raw const here as usize;
    for offset in (0..bytes).step_by(PAGE) {
        poke(at - offset - 512, 1);
    }
}

fn stack_grows_down() {
    assert_eq!(fork(|| use_stack(6 << 20)).wait(), Status::Exited(0));
}

fn stack_stops_at_its_limit() {
    // The limit holds for the running program too, not only after the next exec.
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: libc::RLIM_INFINITY };
    let with_limit = |bytes: usize| {
        fork(|| {
            syscall!(SYS_prlimit64, 0, libc::RLIMIT_STACK, &limit, 0).unwrap();
            use_stack(bytes);
        })
        .wait()
    };
    assert_eq!(with_limit(700 << 10), Status::Exited(0));
    assert_eq!(with_limit(2 << 20), Status::Killed(libc::SIGSEGV));
    #[expect(unconditional_recursion)]
    fn recurse(depth: u64) -> u64 {
        std::hint::black_box(recurse(std::hint::black_box(depth + 1))) + 1
    }
    assert_eq!(fork(|| discard(recurse(0))).wait(), Status::Killed(libc::SIGSEGV));
    // With an alternate stack the program can tell.
    let fault = fault_of(|| discard(recurse(0))).unwrap();
    assert_eq!(fault.signal, libc::SIGSEGV);
}

fn grown_down_mapping() {
    // Something mapped far below gives a known place; the mapping may grow towards it.
    let base = map_anonymous(1024 * PAGE);
    unmap(base, 1024 * PAGE).unwrap();
    let top = base + 1000 * PAGE;
    let flags = ANONYMOUS | libc::MAP_GROWSDOWN | MAP_FIXED;
    map(top, PAGE, READ_WRITE, flags, -1, 0).unwrap();
    poke(top - 1, 5);
    poke(top - 3 * PAGE, 6);
    assert_eq!((peek(top - 1), peek(top - 3 * PAGE)), (5, 6));
    // It keeps a distance from its neighbour below.
    map(base + 980 * PAGE, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0).unwrap();
    let close_to_it = base + 981 * PAGE;
    assert_eq!(fault_of(|| poke(close_to_it, 1)), unmapped_at(close_to_it));
}

fn guard_page_below_a_thread_stack() {
    let child = fork(|| {
        let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(|| use_stack(1 << 20));
        let _ = thread.unwrap().join();
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGSEGV));
}

fn address_space_limit() {
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_AS, &limit, 0).unwrap();
        // Not reserved: the machine may have less memory than that.
        let reserve = |len: usize| map(0, len, READ_WRITE, ANONYMOUS | MAP_NORESERVE, -1, 0);
        assert_eq!(reserve(2 << 30), Err(ENOMEM));
        let memory = reserve(512 << 20).unwrap();
        assert_eq!(map(0, 600 << 20, PROT_NONE, ANONYMOUS, -1, 0), Err(ENOMEM));
        unmap(memory, 512 << 20).unwrap();
        assert!(reserve(600 << 20).is_ok());
    })
    .succeeds();
}

fn data_limit_bounds_brk() {
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_DATA, &limit, 0).unwrap();
        let now = syscall!(SYS_brk, 0).unwrap();
        assert_eq!(syscall!(SYS_brk, now + (16 << 20)), Ok(now));
    })
    .succeeds();
}

fn wrong_pointers_to_mapped_calls() {
    let (from, to) = pipe();
    write(to, b"12345678").unwrap();
    let memory = map_anonymous(PAGE);
    unmap(memory, PAGE).unwrap();
    assert_eq!(syscall!(SYS_read, from, memory, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_fstat, from, memory), Err(EFAULT));
    assert_eq!(syscall!(SYS_uname, memory), Err(EFAULT));
    assert_eq!(readable_bytes(from), 8);
}

/// Structures that cross from a mapped to an unmapped page are refused whole or cut, not leaked.
fn partial_copies_at_an_edge() {
    let memory = map_anonymous(2 * PAGE);
    unmap(memory + PAGE, PAGE).unwrap();
    let edge = memory + PAGE;
    assert_eq!(syscall!(SYS_fstat, 1, edge - 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_fstat, 1, edge - size_of::<libc::stat>()), Ok(0), "just fits");
    assert_eq!(syscall!(SYS_clock_gettime, 1, edge - 8), Err(EFAULT));
    // A path that runs into the hole without its NUL.
    poke(edge - 1, b'x');
    assert_eq!(syscall!(SYS_openat, libc::AT_FDCWD, edge - 1, 0), Err(EFAULT));
    poke(edge - 1, 0);
    poke(edge - 2, b'.');
    assert!(syscall!(SYS_openat, libc::AT_FDCWD, edge - 2, 0).is_ok(), "a NUL on the last byte");
}

/// The last page that a program may have ends where nobody may ever have one.
fn arguments_at_the_end_of_user_space() {
    fork(|| {
        let end = (1 << 47) - PAGE;
        // Without address randomisation the stack is there already, and its last bytes name the program.
        match map(end - PAGE, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) {
            Ok(_) | Err(EEXIST) => {}
            other => panic!("{other:?}"),
        }
        (end - 200..end).for_each(|at| poke(at, b'a'));
        for at in [end - 1, end - 8, end - 100, end - 128, end - 129, end - 200] {
            assert_eq!(syscall!(SYS_openat, libc::AT_FDCWD, at, 0), Err(EFAULT), "open, {}", end - at);
            assert_eq!(syscall!(SYS_execve, at, 0, 0), Err(EFAULT), "execve, {}", end - at);
            let strings = [at, 0];
            assert_eq!(syscall!(SYS_execve, c"/proc/self/exe", &strings, 0), Err(EFAULT), "argument");
            assert_eq!(syscall!(SYS_execve, c"/proc/self/exe", 0, &strings), Err(EFAULT), "environment");
        }
        for at in [end - 4, end - 8, end - 12, end, end + PAGE, usize::MAX - 3] {
            assert_eq!(syscall!(SYS_nanosleep, at, 0), Err(EFAULT), "nanosleep, {:#x}", at);
            assert_eq!(syscall!(SYS_clock_gettime, 1, at), Err(EFAULT), "clock_gettime, {:#x}", at);
            assert_eq!(syscall!(SYS_execve, c"/proc/self/exe", at, 0), Err(EFAULT), "list, {:#x}", at);
        }
        let (from, to) = pipe();
        assert_eq!(syscall!(SYS_write, to, end - 4, 8), Err(EFAULT));
        assert_eq!(syscall!(SYS_write, to, end - 4, 4), Ok(4));
        assert_eq!(syscall!(SYS_read, from, end - 2, 3), Err(EFAULT));
        assert_eq!(syscall!(SYS_read, from, end - 4, 4), Ok(4));
        poke(end - 1, 0);
        assert_eq!(syscall!(SYS_openat, libc::AT_FDCWD, end - 5, 0), Err(ENOENT), "a NUL on the last byte");
    })
    .succeeds();
}

fn many_small_mappings() {
    let base = map(0, 4000 * PAGE, PROT_NONE, ANONYMOUS, -1, 0).unwrap();
    for page in (0..4000).step_by(2) {
        mprotect(base + page * PAGE, PAGE, READ_WRITE).unwrap();
        poke(base + page * PAGE, page as u8);
    }
    assert!((0..4000).step_by(2).all(|page| peek(base + page * PAGE) == page as u8));
    fork(|| assert!((0..4000).step_by(2).all(|page| peek(base + page * PAGE) == page as u8))).succeeds();
    mprotect(base, 4000 * PAGE, READ_WRITE).unwrap();
    assert!((1..4000).step_by(2).all(|page| peek(base + page * PAGE) == 0));
    unmap(base, 4000 * PAGE).unwrap();
}

fn map_count_is_limited() {
    fork(|| {
        let base = map(0, 400_000 * PAGE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0).unwrap();
        let made = (0..400_000)
            .step_by(2)
            .take_while(|page| mprotect(base + page * PAGE, PAGE, PROT_READ).is_ok())
            .count();
        assert!((10_000..100_000).contains(&made), "{made} regions were split off");
        assert_eq!(mprotect(base + 399_000 * PAGE, PAGE, PROT_READ), Err(ENOMEM));
    })
    .succeeds();
}

fn concurrent_faults_on_one_page() {
    for _ in 0..50 {
        let memory = map_anonymous(16 * PAGE);
        let threads: Vec<_> = (0..4)
            .map(|number: usize| {
                std::thread::spawn(move || {
                    (0..16).for_each(|page| poke(memory + page * PAGE + number, number as u8 + 1));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for page in 0..16 {
            let bytes = [0, 1, 2, 3].map(|number| peek(memory + page * PAGE + number));
            assert_eq!(bytes, [1, 2, 3, 4], "two threads got different pages");
        }
        unmap(memory, 16 * PAGE).unwrap();
    }
}

/// One thread keeps reading through the kernel from a page that another maps and unmaps: every
/// read gives the byte or EFAULT, and afterwards no stale translation is left.
fn unmap_while_another_thread_touches() {
    let place = map_anonymous(PAGE);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let toucher = std::thread::spawn(move || {
        let (from, to) = pipe();
        let mut count = 0u32;
        while !seen.load(std::sync::atomic::Ordering::Relaxed) || count < 100 {
            match syscall!(SYS_write, to, place, 1) {
                Ok(1) => assert!([0, 0x5a].contains(&read_some(from, 1).unwrap()[0]), "somebody else's byte"),
                result => assert_eq!(result, Err(EFAULT)),
            }
            count += 1;
        }
    });
    for _ in 0..300 {
        unmap(place, PAGE).unwrap();
        let _ = syscall!(SYS_sched_yield);
        map(place, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0).unwrap();
        poke(place, 0x5a);
        let _ = syscall!(SYS_sched_yield);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    toucher.join().unwrap();
}

/// While a thread writes a page with two equal counters, forked children must see them equal or
/// one apart, and unchanging.
fn fork_while_another_thread_writes() {
    let memory = map_anonymous(2 * PAGE);
    let (one, two) = (word_at(memory), word_at(memory + PAGE));
    std::thread::spawn(move || {
        loop {
            let next = one.load(std::sync::atomic::Ordering::SeqCst).wrapping_add(1);
            one.store(next, std::sync::atomic::Ordering::SeqCst);
            two.store(next, std::sync::atomic::Ordering::SeqCst);
        }
    });
    for _ in 0..50 {
        fork(|| {
            let look = || [one, two].map(|word| word.load(std::sync::atomic::Ordering::SeqCst));
            let first = look();
            for _ in 0..10 {
                let _ = syscall!(SYS_sched_yield);
                assert_eq!(look(), first, "the parent still writes into the child's memory");
            }
        })
        .succeeds();
    }
}

/// A process that fills its memory with a pattern and dies; the next finds none of it.
fn no_page_is_leaked_to_the_next_owner() {
    for _ in 0..5 {
        fork(|| {
            let memory = map_anonymous(500 * PAGE);
            (0..500 * PAGE).step_by(16).for_each(|at| poke(memory + at, 0xd1));
        })
        .succeeds();
        fork(|| {
            let memory = map_anonymous(500 * PAGE);
            assert!((0..500 * PAGE).step_by(16).all(|at| peek(memory + at) == 0));
        })
        .succeeds();
    }
}
