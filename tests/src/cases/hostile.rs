//! Programs that mean no good: whatever they hand the kernel, it answers with an error or ends them.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{AT_FDCWD, MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE, PROT_READ, SIGSEGV};
use std::arch::asm;

pub(crate) const CASES: &[Case] = &[
    case!(wild_pointers_to_read_from),
    case!(wild_pointers_to_write_to),
    case!(read_only_memory_as_a_result),
    case!(lengths_that_wrap_around),
    case!(wild_jumps),
    case!(privileged_instructions),
    case!(stack_pointer_nowhere),
    case!(signals_without_a_stack),
    case!(descriptors_to_exhaustion),
    case!(mappings_to_exhaustion).long(),
    case!(deep_symlinks_and_paths),
    case!(pipes_in_great_number),
];

/// Pages around a wild place that are just as wild, so that what grows down stays in them.
const MARGIN: usize = 32 * PAGE;

/// Addresses where no program has anything, the first of some in the middle of nothing.
fn wild_addresses() -> Vec<usize> {
    let forbidden = map(0, 2 * MARGIN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).expect("mmap");
    let hole = map_anonymous(PAGE + 2 * MARGIN);
    unmap(hole + PAGE, 2 * MARGIN).expect("munmap");
    vec![
        hole + PAGE + MARGIN,
        forbidden + MARGIN,
        forbidden + MARGIN + 8,
        1,
        8,
        PAGE,
        0x7fff_ffff_f000,
        0x7fff_ffff_fffc,
        0x8000_0000_0000,
        0x1234_5678_9abc_def0,
        0xffff_8000_0000_0000,
        0xffff_ffff_8010_0000,
        usize::MAX - 4095,
        usize::MAX - 7,
        usize::MAX,
        hole + PAGE, // Just behind something: not for stacks.
    ]
}

/// Wild addresses with nothing below them either.
fn wild_stacks() -> Vec<usize> {
    let mut all = wild_addresses();
    all.pop();
    all
}

/// Name, number, arguments; `P` stands for the pointer under test.
type Call = (&'static str, i64, [usize; 6]);

const P: usize = 0xdead_0000_beef_0000;

fn with_pointer((_, number, arguments): &Call, pointer: usize) -> Sys<usize> {
    call(*number, &arguments.map(|argument| if argument == P { pointer } else { argument }))
}

/// Everything the calls below need: descriptors, names, memory.
struct Surroundings {
    file: usize,
    folder: usize,
    pipe_in: usize,
    pipe_out: usize,
    epoll: usize,
    timer: usize,
    name: usize,
    buffer: usize,
}

fn surroundings() -> Surroundings {
    create(c"file", &[b'x'; 100]);
    let (from, to) = pipe();
    write(to, &[1; 1000]).expect("write");
    Surroundings {
        file: open(c"file", libc::O_RDWR).expect("open") as usize,
        folder: open(c".", libc::O_RDONLY).expect("open") as usize,
        pipe_in: from as usize,
        pipe_out: to as usize,
        epoll: syscall!(SYS_epoll_create1, 0).unwrap_or(usize::MAX),
        timer: syscall!(SYS_timerfd_create, 1, 0).unwrap_or(usize::MAX),
        name: c"file".as_ptr() as usize,
        buffer: map_anonymous(4 * PAGE),
    }
}

const CWD: usize = AT_FDCWD as usize;

/// Calls that must read through the pointer.
fn reading_calls(s: &Surroundings) -> Vec<Call> {
    vec![
        ("write", libc::SYS_write, [s.pipe_out, P, 10, 0, 0, 0]),
        ("write to a file", libc::SYS_write, [s.file, P, 10, 0, 0, 0]),
        ("pwrite64", libc::SYS_pwrite64, [s.file, P, 10, 0, 0, 0]),
        ("writev", libc::SYS_writev, [s.file, P, 1, 0, 0, 0]),
        ("readv", libc::SYS_readv, [s.file, P, 1, 0, 0, 0]),
        ("open", libc::SYS_open, [P, 0, 0, 0, 0, 0]),
        ("openat", libc::SYS_openat, [s.folder, P, 0, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [CWD, s.name, P, 24, 0, 0]),
        ("creat", libc::SYS_creat, [P, 0o600, 0, 0, 0, 0]),
        ("stat", libc::SYS_stat, [P, s.buffer, 0, 0, 0, 0]),
        ("lstat", libc::SYS_lstat, [P, s.buffer, 0, 0, 0, 0]),
        ("access", libc::SYS_access, [P, 0, 0, 0, 0, 0]),
        ("faccessat2", libc::SYS_faccessat2, [CWD, P, 0, 0, 0, 0]),
        ("chdir", libc::SYS_chdir, [P, 0, 0, 0, 0, 0]),
        ("rename, from", libc::SYS_rename, [P, s.name, 0, 0, 0, 0]),
        ("rename, to", libc::SYS_rename, [s.name, P, 0, 0, 0, 0]),
        ("mkdir", libc::SYS_mkdir, [P, 0o700, 0, 0, 0, 0]),
        ("rmdir", libc::SYS_rmdir, [P, 0, 0, 0, 0, 0]),
        ("link", libc::SYS_link, [s.name, P, 0, 0, 0, 0]),
        ("unlink", libc::SYS_unlink, [P, 0, 0, 0, 0, 0]),
        ("symlink, target", libc::SYS_symlink, [P, s.name, 0, 0, 0, 0]),
        ("readlink", libc::SYS_readlink, [P, s.buffer, 100, 0, 0, 0]),
        ("chmod", libc::SYS_chmod, [P, 0o600, 0, 0, 0, 0]),
        ("chown", libc::SYS_chown, [P, 0, 0, 0, 0, 0]),
        ("truncate", libc::SYS_truncate, [P, 0, 0, 0, 0, 0]),
        ("statfs", libc::SYS_statfs, [P, s.buffer, 0, 0, 0, 0]),
        ("statx", libc::SYS_statx, [CWD, P, 0, 0, s.buffer, 0]),
        ("utimensat, path", libc::SYS_utimensat, [CWD, P, 0, 0, 0, 0]),
        ("utimensat, times", libc::SYS_utimensat, [CWD, s.name, P, 0, 0, 0]),
        ("mknod", libc::SYS_mknod, [P, 0o100_600, 0, 0, 0, 0]),
        ("execve", libc::SYS_execve, [P, 0, 0, 0, 0, 0]),
        ("poll", libc::SYS_poll, [P, 1, 0, 0, 0, 0]),
        ("ppoll, time", libc::SYS_ppoll, [0, 0, P, 0, 8, 0]),
        ("ppoll, mask", libc::SYS_ppoll, [0, 0, s.buffer, P, 8, 0]),
        ("select", libc::SYS_select, [1, P, 0, 0, s.buffer, 0]),
        ("select, time", libc::SYS_select, [0, 0, 0, 0, P, 0]),
        ("pselect6, mask", libc::SYS_pselect6, [0, 0, 0, 0, s.buffer, P]),
        ("epoll_ctl", libc::SYS_epoll_ctl, [s.epoll, 1, s.pipe_in, P, 0, 0]),
        ("nanosleep", libc::SYS_nanosleep, [P, 0, 0, 0, 0, 0]),
        ("clock_nanosleep", libc::SYS_clock_nanosleep, [1, 0, P, 0, 0, 0]),
        ("setitimer", libc::SYS_setitimer, [0, P, 0, 0, 0, 0]),
        ("timerfd_settime", libc::SYS_timerfd_settime, [s.timer, 0, P, 0, 0, 0]),
        ("timer_create", libc::SYS_timer_create, [1, P, s.buffer, 0, 0, 0]),
        ("rt_sigaction", libc::SYS_rt_sigaction, [10, P, 0, 8, 0, 0]),
        ("rt_sigprocmask", libc::SYS_rt_sigprocmask, [0, P, 0, 8, 0, 0]),
        ("rt_sigsuspend", libc::SYS_rt_sigsuspend, [P, 8, 0, 0, 0, 0]),
        ("rt_sigtimedwait, set", libc::SYS_rt_sigtimedwait, [P, 0, s.buffer, 8, 0, 0]),
        ("rt_sigtimedwait, time", libc::SYS_rt_sigtimedwait, [s.buffer, 0, P, 8, 0, 0]),
        ("sigaltstack", libc::SYS_sigaltstack, [P, 0, 0, 0, 0, 0]),
        ("signalfd4", libc::SYS_signalfd4, [!0, P, 8, 0, 0, 0]),
        ("setrlimit", libc::SYS_setrlimit, [7, P, 0, 0, 0, 0]),
        ("prlimit64, new", libc::SYS_prlimit64, [0, 7, P, 0, 0, 0]),
        ("sched_setaffinity", libc::SYS_sched_setaffinity, [0, 8, P, 0, 0, 0]),
        ("sched_setparam", libc::SYS_sched_setparam, [0, P, 0, 0, 0, 0]),
        ("prctl PR_SET_NAME", libc::SYS_prctl, [15, P, 0, 0, 0, 0]),
        ("futex wait, time", libc::SYS_futex, [s.buffer, 0, 0, P, 0, 0]),
        ("memfd_create", libc::SYS_memfd_create, [P, 0, 0, 0, 0, 0]),
        ("fcntl F_SETLK", libc::SYS_fcntl, [s.file, 6, P, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [P, 88, 0, 0, 0, 0]),
    ]
}

/// Calls that must write through the pointer.
fn writing_calls(s: &Surroundings) -> Vec<Call> {
    vec![
        ("read", libc::SYS_read, [s.pipe_in, P, 10, 0, 0, 0]),
        ("pread64", libc::SYS_pread64, [s.file, P, 10, 0, 0, 0]),
        ("stat", libc::SYS_stat, [s.name, P, 0, 0, 0, 0]),
        ("fstat", libc::SYS_fstat, [s.file, P, 0, 0, 0, 0]),
        ("newfstatat", libc::SYS_newfstatat, [CWD, s.name, P, 0, 0, 0]),
        ("statx", libc::SYS_statx, [CWD, s.name, 0, 0, P, 0]),
        ("statfs", libc::SYS_statfs, [s.name, P, 0, 0, 0, 0]),
        ("getdents64", libc::SYS_getdents64, [s.folder, P, 4096, 0, 0, 0]),
        ("getcwd", libc::SYS_getcwd, [P, 4096, 0, 0, 0, 0]),
        ("pipe", libc::SYS_pipe, [P, 0, 0, 0, 0, 0]),
        ("pipe2", libc::SYS_pipe2, [P, 0, 0, 0, 0, 0]),
        ("uname", libc::SYS_uname, [P, 0, 0, 0, 0, 0]),
        ("sysinfo", libc::SYS_sysinfo, [P, 0, 0, 0, 0, 0]),
        ("times", libc::SYS_times, [P, 0, 0, 0, 0, 0]),
        ("time", libc::SYS_time, [P, 0, 0, 0, 0, 0]),
        ("gettimeofday", libc::SYS_gettimeofday, [P, 0, 0, 0, 0, 0]),
        ("clock_gettime", libc::SYS_clock_gettime, [1, P, 0, 0, 0, 0]),
        ("clock_getres", libc::SYS_clock_getres, [1, P, 0, 0, 0, 0]),
        ("getitimer", libc::SYS_getitimer, [0, P, 0, 0, 0, 0]),
        ("timerfd_gettime", libc::SYS_timerfd_gettime, [s.timer, P, 0, 0, 0, 0]),
        ("timer_create", libc::SYS_timer_create, [1, 0, P, 0, 0, 0]),
        ("getrusage", libc::SYS_getrusage, [0, P, 0, 0, 0, 0]),
        ("getrlimit", libc::SYS_getrlimit, [7, P, 0, 0, 0, 0]),
        ("prlimit64, old", libc::SYS_prlimit64, [0, 7, 0, P, 0, 0]),
        ("getresuid", libc::SYS_getresuid, [P, s.buffer, s.buffer, 0, 0, 0]),
        ("getresgid", libc::SYS_getresgid, [s.buffer, s.buffer, P, 0, 0, 0]),
        ("rt_sigaction", libc::SYS_rt_sigaction, [10, 0, P, 8, 0, 0]),
        ("rt_sigprocmask", libc::SYS_rt_sigprocmask, [0, 0, P, 8, 0, 0]),
        ("rt_sigpending", libc::SYS_rt_sigpending, [P, 8, 0, 0, 0, 0]),
        ("sigaltstack", libc::SYS_sigaltstack, [0, P, 0, 0, 0, 0]),
        ("sched_getaffinity", libc::SYS_sched_getaffinity, [0, 128, P, 0, 0, 0]),
        ("sched_getparam", libc::SYS_sched_getparam, [0, P, 0, 0, 0, 0]),
        ("sched_rr_get_interval", libc::SYS_sched_rr_get_interval, [0, P, 0, 0, 0, 0]),
        ("getcpu", libc::SYS_getcpu, [P, 0, 0, 0, 0, 0]),
        ("getrandom", libc::SYS_getrandom, [P, 10, 0, 0, 0, 0]),
        ("prctl PR_GET_NAME", libc::SYS_prctl, [16, P, 0, 0, 0, 0]),
        ("arch_prctl ARCH_GET_FS", libc::SYS_arch_prctl, [0x1003, P, 0, 0, 0, 0]),
        ("get_robust_list", libc::SYS_get_robust_list, [0, P, s.buffer, 0, 0, 0]),
        ("ioctl FIONREAD", libc::SYS_ioctl, [s.pipe_in, 0x541b, P, 0, 0, 0]),
        ("mincore", libc::SYS_mincore, [s.buffer, 4096, P, 0, 0, 0]),
    ]
}

/// Without the calls that this kernel was built without.
fn present(calls: Vec<Call>) -> Vec<Call> {
    calls.into_iter().filter(|(_, number, _)| call(*number, &[usize::MAX; 6]) != Err(ENOSYS)).collect()
}

fn wild_pointers_to_read_from() {
    let calls = present(reading_calls(&surroundings()));
    for call in &calls {
        for address in wild_addresses() {
            assert_eq!(with_pointer(call, address), Err(EFAULT), "{} with {address:#x}", call.0);
        }
    }
}

fn wild_pointers_to_write_to() {
    let surroundings = surroundings();
    for call in &present(writing_calls(&surroundings)) {
        for address in wild_addresses() {
            lseek(surroundings.folder as Fd, 0, libc::SEEK_SET).unwrap();
            assert_eq!(with_pointer(call, address), Err(EFAULT), "{} with {address:#x}", call.0);
        }
    }
    let next = dup(0).unwrap();
    assert!(next < 20, "a failed pipe left descriptors behind: {next}");
}

fn read_only_memory_as_a_result() {
    let surroundings = surroundings();
    let page = map(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).unwrap();
    let code = wild_jumps as *const () as usize;
    for call in &present(writing_calls(&surroundings)) {
        for address in [page, code & !7] {
            lseek(surroundings.folder as Fd, 0, libc::SEEK_SET).unwrap();
            assert_eq!(with_pointer(call, address), Err(EFAULT), "{} with {address:#x}", call.0);
        }
    }
    assert!((0..PAGE).all(|at| peek(page + at) == 0));
}

fn lengths_that_wrap_around() {
    let s = surroundings();
    // The pipe is not to wait for somebody who reads.
    syscall!(SYS_fcntl, s.pipe_out, libc::F_SETFL, libc::O_NONBLOCK).unwrap();
    let huge = [usize::MAX, usize::MAX - 4095, 1 << 63, 1 << 47, 1 << 32];
    for len in huge {
        write(s.pipe_out as Fd, &[1; 100]).unwrap();
        let result = syscall!(SYS_read, s.pipe_in, s.buffer, len);
        assert!(
            matches!(result, Err(EFAULT | EINVAL)) || result.is_ok_and(|count| count <= 65_536),
            "read {len:#x}"
        );
        assert!(syscall!(SYS_getdents64, s.folder, s.buffer, len).is_err() || len as u32 > 0);
        // The smallest one is possible, and takes the program itself away.
        assert!(len == 1 << 32 || syscall!(SYS_munmap, s.buffer, len).is_err());
        assert!(syscall!(SYS_mmap, 0, len, 3, 0x22, -1, 0).is_err() || len == 1 << 32);
        assert!(syscall!(SYS_madvise, s.buffer, len, libc::MADV_NORMAL).is_err());
        assert!(syscall!(SYS_mprotect, s.name & !4095, len, 7).is_err());
        assert!(syscall!(SYS_poll, s.buffer, len | 1 << 31, 0).is_err());
        let part = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(s.buffer), iov_len: len };
        let _ = syscall!(SYS_writev, s.pipe_out, &part, 1);
    }
}

fn wild_jumps() {
    for address in wild_addresses() {
        let child = fork(|| {
            // SAFETY: the process dies of it.
            unsafe { asm!("jmp {}", in(reg) address, options(noreturn)) };
        });
        let status = child.wait();
        assert!(
            matches!(status, Status::Killed(libc::SIGSEGV | libc::SIGBUS)),
            "a jump to {address:#x}: {status:?}"
        );
    }
}

/// A named attempt to execute an instruction that ends its process.
macro_rules! attempt {
    ($name:literal, $($instruction:tt)*) => {
        ($name, || {
            // SAFETY: the instruction faults, and its process, made for it alone, dies of it.
            unsafe { asm!($($instruction)*) }
        })
    };
}

fn privileged_instructions() {
    let attempts: [(&str, fn()); 12] = [
        attempt!("cli", "cli"),
        attempt!("hlt", "hlt"),
        attempt!("mov cr3", "mov {0}, cr3", "mov cr3, {0}", out(reg) _),
        attempt!("wrmsr", "wrmsr", in("ecx") 0xc000_0082u32, in("eax") 0, in("edx") 0),
        attempt!("rdmsr", "rdmsr", in("ecx") 0xc000_0080u32, out("eax") _, out("edx") _),
        attempt!("out", "out dx, al", in("dx") 0xf4u16, in("al") 0u8),
        attempt!("lgdt", "lgdt [rsp]"),
        attempt!("ltr", "ltr {:x}", in(reg) 0u64),
        attempt!("invlpg", "invlpg [rsp]"),
        attempt!("swapgs", "swapgs"),
        attempt!("int 0x20", "int 0x20"),
        attempt!(
            "iretq to ring 0",
            "push 0", "push rsp", "push 2", "push 8", "lea rax, [rip]", "push rax", "iretq", out("rax") _
        ),
    ];
    for (name, attempt) in attempts {
        let status = fork(attempt).wait();
        assert_eq!(status, Status::Killed(SIGSEGV), "{name}");
    }
    // sysret and sysenter entries other than `syscall` must not be doors either.
    let status = fork(|| {
        // SAFETY: as above.
        unsafe { asm!("int 0x81") }
    })
    .wait();
    assert_eq!(status, Status::Killed(SIGSEGV));
}

fn stack_pointer_nowhere() {
    for address in wild_stacks() {
        // A push faults.
        let child = fork(|| {
            // SAFETY: the process dies of it.
            unsafe { asm!("mov rsp, {}", "push rax", "ud2", in(reg) address, options(noreturn)) };
        });
        let status = child.wait();
        assert!(matches!(status, Status::Killed(libc::SIGSEGV | libc::SIGBUS)), "{address:#x}: {status:?}");
        // A system call with such a stack pointer is an ordinary system call.
        let child = fork(|| {
            // SAFETY: exits by system call, without touching the stack.
            unsafe {
                asm!("mov rsp, {}", "mov eax, 231", "mov edi, 7", "syscall", "ud2", in(reg) address, options(noreturn))
            };
        });
        assert_eq!(child.wait(), Status::Exited(7), "exit_group with rsp {address:#x}");
    }
}

fn signals_without_a_stack() {
    for address in wild_stacks() {
        let child = fork(|| {
            catch(libc::SIGALRM, 0);
            // Again and again, for the first one may come before the stack is lost.
            let soon = libc::itimerval {
                it_interval: libc::timeval { tv_sec: 0, tv_usec: 10_000 },
                it_value: libc::timeval { tv_sec: 0, tv_usec: 500 },
            };
            syscall!(SYS_setitimer, libc::ITIMER_REAL, &soon, 0).unwrap();
            // SAFETY: spins with a wild stack pointer until the signal ends it.
            unsafe { asm!("mov rsp, {}", "2:", "pause", "jmp 2b", in(reg) address, options(noreturn)) };
        });
        assert_eq!(child.wait(), Status::Killed(SIGSEGV), "rsp {address:#x}");
    }
}

fn descriptors_to_exhaustion() {
    fork(|| {
        let makers: [fn() -> Sys<usize>; 6] = [
            || syscall!(SYS_eventfd2, 0, 0),
            || syscall!(SYS_epoll_create1, 0),
            || syscall!(SYS_memfd_create, c"m", 0),
            || syscall!(SYS_timerfd_create, 1, 0),
            || pipe2(0).map(|_| 0),
            || open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).map(|fd| fd as usize),
        ];
        let mut round = 0;
        let errno = loop {
            match makers[round % makers.len()]() {
                Ok(_) | Err(ENOSYS) => round += 1,
                Err(errno) => break errno,
            }
        };
        assert!([EMFILE, ENFILE, ENOMEM, ENOSPC].contains(&errno), "{errno:?}");
        assert!(round > 50);
    })
    .succeeds();
    assert!(pipe2(0).is_ok(), "the others still get theirs");
}

fn mappings_to_exhaustion() {
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_AS, &limit, 0).unwrap();
        let mut count = 0;
        // Alternating protections, so that neighbours do not merge.
        while map(0, PAGE, [PROT_NONE, PROT_READ][count % 2], MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).is_ok() {
            count += 1;
            if count > 100_000 {
                break;
            }
        }
        assert!(count > 1000);
    })
    .succeeds();
}

fn deep_symlinks_and_paths() {
    // A link that doubles at each step: 2^40 components if somebody expanded it eagerly.
    symlink(c".", c"l0").unwrap();
    for number in 1..40 {
        let target = format!("l{0}/l{0}", number - 1);
        symlink(&path(target), &path(format!("l{number}"))).unwrap();
    }
    assert_eq!(stat(c"l39").err(), Some(ELOOP));
    let dots = path("./".repeat(2000));
    assert!(stat(&dots).is_ok());
    let ups = path("../".repeat(1300));
    assert!(same_file(&ups, c"/"));
}

fn pipes_in_great_number() {
    // Full pipes up to the descriptor limit, given up at once by dying.
    let child = fork(|| {
        let limit = libc::rlimit { rlim_cur: 512, rlim_max: 512 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limit, 0).unwrap();
        while let Ok((_, to)) = pipe2(libc::O_NONBLOCK) {
            let _ = write(to, &[7; 65536]);
        }
        wait_for_ever();
    });
    wait_until_blocked(child.pid);
    child.finish();
    let (from, to) = pipe();
    write(to, b"fine").unwrap();
    assert_eq!(read_some(from, 9), Ok(b"fine".to_vec()));
}
