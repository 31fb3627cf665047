//! The rest a program asks the system for: names, randomness, limits, scheduling, prctl.

use crate::harness::{Case, case};
use crate::sys::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(uname_says_linux),
    case!(sysinfo_is_plausible),
    case!(getrandom_gives_bytes),
    case!(getrandom_arguments),
    case!(limits_are_read_and_set),
    case!(limits_are_inherited),
    case!(limits_of_another_process),
    case!(affinity),
    case!(affinity_errors),
    case!(getcpu_agrees_with_affinity),
    case!(a_spinning_thread_is_moved),
    case!(policies),
    case!(nice_and_yield),
    case!(membarrier_commands),
    case!(prctl_calls),
    case!(no_new_privileges_is_kept),
    case!(rseq_is_real_or_absent),
    case!(personality),
    case!(left_out_calls_answer_honestly),
    case!(sync_and_getdomainname),
    case!(process_vm_reads).root(),
    case!(hostname_can_change).vm().root(),
    case!(tmpfs_can_be_mounted).vm().root(),
    case!(legacy_calls),
    case!(wide_arguments_are_cut),
];

fn names() -> [String; 5] {
    let mut names: libc::utsname = zeroed();
    syscall!(SYS_uname, &mut names).expect("uname");
    [names.sysname, names.nodename, names.release, names.version, names.machine]
        .map(|field| field.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect())
}

fn uname_says_linux() {
    let [system, node, release, _, machine] = names();
    assert_eq!((system.as_str(), machine.as_str()), ("Linux", "x86_64"));
    assert!(!node.is_empty());
    let major: u32 = release.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 5, "{release}: the C library refuses old kernels");
    assert_eq!(syscall!(SYS_uname, 8), Err(EFAULT));
}

fn sysinfo_is_plausible() {
    let boot = || clock_now(libc::CLOCK_BOOTTIME).unwrap() / NANOS_PER_SECOND;
    let mut info: libc::sysinfo = zeroed();
    let before = boot();
    syscall!(SYS_sysinfo, &mut info).unwrap();
    let after = boot();
    assert!(info.totalram >= info.freeram && info.freeram > 0 && info.mem_unit > 0 && info.procs > 0);
    assert!((before..=after + 1).contains(&info.uptime), "{} not in {before}..={after}", info.uptime);
    assert_eq!(syscall!(SYS_sysinfo, 8), Err(EFAULT));
}

fn getrandom_gives_bytes() {
    let mut one = [0u8; 256];
    let mut two = [0u8; 256];
    assert_eq!(syscall!(SYS_getrandom, &mut one, 256, 0), Ok(256));
    assert_eq!(syscall!(SYS_getrandom, &mut two, 256, libc::GRND_NONBLOCK), Ok(256));
    assert_ne!(one, two);
    let distinct: std::collections::BTreeSet<u8> = one.into_iter().collect();
    assert!(distinct.len() > 100, "{} values among 256 bytes", distinct.len());
    let mut large = vec![0u8; 1 << 20];
    assert_eq!(syscall!(SYS_getrandom, large.as_mut_ptr(), large.len(), 0), Ok(1 << 20));
    let zeros = large.iter().filter(|byte| **byte == 0).count();
    assert!((3000..5500).contains(&zeros), "{zeros} zero bytes in a mebibyte");
    let seen = map_shared(PAGE);
    fork(|| discard(syscall!(SYS_getrandom, seen, 16, 0))).succeeds();
    fork(|| discard(syscall!(SYS_getrandom, seen + 16, 16, 0))).succeeds();
    assert!((0..16).any(|at| peek(seen + at) != peek(seen + 16 + at)));
}

fn getrandom_arguments() {
    assert_eq!(syscall!(SYS_getrandom, 0, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_getrandom, 8, 16, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_getrandom, &mut [0u8; 4], 4, 1 << 10), Err(EINVAL));
    let both = libc::GRND_RANDOM | libc::GRND_INSECURE;
    assert_eq!(syscall!(SYS_getrandom, &mut [0u8; 4], 4, both), Err(EINVAL));
}

fn limit(resource: u32) -> (u64, u64) {
    let mut limit: libc::rlimit = zeroed();
    syscall!(SYS_prlimit64, 0, resource, 0, &mut limit).expect("prlimit64");
    (limit.rlim_cur, limit.rlim_max)
}

fn limits_are_read_and_set() {
    for resource in 0..16u32 {
        let (soft, hard) = limit(resource);
        assert!(soft <= hard, "resource {resource}");
    }
    let new = libc::rlimit { rlim_cur: 100, rlim_max: 200 };
    let mut old: libc::rlimit = zeroed();
    let before = limit(libc::RLIMIT_NOFILE);
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &new, &mut old).unwrap();
    assert_eq!((old.rlim_cur, old.rlim_max), before);
    assert_eq!(limit(libc::RLIMIT_NOFILE), (100, 200));
    let mut same: libc::rlimit = zeroed();
    syscall!(SYS_getrlimit, libc::RLIMIT_NOFILE, &mut same).unwrap();
    assert_eq!((same.rlim_cur, same.rlim_max), (100, 200));
    assert_eq!(syscall!(SYS_getrlimit, 16, &mut same), Err(EINVAL));
    assert_eq!(syscall!(SYS_setrlimit, libc::RLIMIT_NOFILE, 8), Err(EFAULT));
}

fn limits_are_inherited() {
    let new = libc::rlimit { rlim_cur: 64, rlim_max: 128 };
    syscall!(SYS_setrlimit, libc::RLIMIT_NOFILE, &new).unwrap();
    fork(|| assert_eq!(limit(libc::RLIMIT_NOFILE), (64, 128))).succeeds();
    assert_eq!(probe_output("limit", &["7"], &[]), "64 128\n");
}

fn limits_of_another_process() {
    let child = fork(|| wait_for_ever());
    let new = libc::rlimit { rlim_cur: 11, rlim_max: 22 };
    syscall!(SYS_prlimit64, child.pid, libc::RLIMIT_CORE, &new, 0).unwrap();
    let mut seen: libc::rlimit = zeroed();
    syscall!(SYS_prlimit64, child.pid, libc::RLIMIT_CORE, 0, &mut seen).unwrap();
    assert_eq!((seen.rlim_cur, seen.rlim_max), (11, 22));
    child.finish();
}

/// The affinity mask of a thread, first 64 CPUs.
fn affinity_of(tid: i32) -> u64 {
    let mut mask = [0u64; 16];
    let len = syscall!(SYS_sched_getaffinity, tid, size_of_val(&mask), &mut mask).expect("sched_getaffinity");
    assert!(len.is_multiple_of(8) && len > 0, "{len}");
    mask[0]
}

fn affinity() {
    let all = affinity_of(0);
    assert_ne!(all, 0);
    for cpu in (0..64).filter(|cpu| all >> cpu & 1 == 1) {
        syscall!(SYS_sched_setaffinity, 0, 8, &(1u64 << cpu)).unwrap();
        assert_eq!(affinity_of(0), 1 << cpu);
        for _ in 0..20 {
            assert_eq!(current_cpu(), cpu, "the thread runs where it may");
            let _ = syscall!(SYS_sched_yield);
        }
        fork(|| assert_eq!(affinity_of(0), 1 << cpu, "inherited")).succeeds();
    }
    syscall!(SYS_sched_setaffinity, 0, 8, &all).unwrap();
    let child = fork(|| wait_for_ever());
    syscall!(SYS_sched_setaffinity, child.pid, 8, &(all & all.wrapping_neg())).unwrap();
    assert_eq!(affinity_of(child.pid), all & all.wrapping_neg());
    child.finish();
}

fn affinity_errors() {
    assert_eq!(syscall!(SYS_sched_setaffinity, 0, 8, &0u64), Err(EINVAL), "no CPU at all");
    assert_eq!(syscall!(SYS_sched_setaffinity, 99_999_999, 8, &1u64), Err(ESRCH));
    assert_eq!(syscall!(SYS_sched_setaffinity, 0, 8, 8), Err(EFAULT));
    assert_eq!(syscall!(SYS_sched_getaffinity, 0, 7, &mut 0u64), Err(EINVAL), "not in words");
    assert_eq!(syscall!(SYS_sched_getaffinity, 0, 128, 8), Err(EFAULT));
}

fn current_cpu() -> u32 {
    let (mut cpu, mut node) = (u32::MAX, u32::MAX);
    syscall!(SYS_getcpu, &mut cpu, &mut node, 0).expect("getcpu");
    assert_ne!(node, u32::MAX);
    cpu
}

fn getcpu_agrees_with_affinity() {
    let all = affinity_of(0);
    for _ in 0..1000 {
        // SAFETY: sched_getcpu has no preconditions; it asks the vDSO or rseq where there is one.
        let by_library = unsafe { libc::sched_getcpu() };
        assert!(all >> by_library & 1 == 1);
        assert!(all >> current_cpu() & 1 == 1);
    }
    let pinned = all & all.wrapping_neg();
    syscall!(SYS_sched_setaffinity, 0, 8, &pinned).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sched_getcpu() } as u32, pinned.trailing_zeros());
    assert_eq!(syscall!(SYS_getcpu, 0, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_getcpu, 8, 0, 0), Err(EFAULT));
}

fn a_spinning_thread_is_moved() {
    const ROUNDS: usize = 40;
    let cpus: Vec<u32> = (0..64).filter(|cpu| affinity_of(0) >> cpu & 1 == 1).collect();
    let (tid, place) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            tid.store(gettid() as u32, SeqCst);
            while place.load(SeqCst) != u32::MAX {
                // The vDSO answers: the thread does not enter the kernel by itself.
                // SAFETY: sched_getcpu has no preconditions.
                let cpu = unsafe { libc::sched_getcpu() } as u32;
                let _ = place.fetch_update(SeqCst, SeqCst, |old| (old != u32::MAX).then_some(cpu));
            }
        });
        wait_until(|| tid.load(SeqCst) != 0);
        for cpu in cpus.iter().cycle().take(ROUNDS) {
            syscall!(SYS_sched_setaffinity, tid.load(SeqCst), 8, &(1u64 << cpu)).unwrap();
            wait_until(|| place.load(SeqCst) == *cpu);
        }
        place.store(u32::MAX, SeqCst);
    });
}

fn policies() {
    let set = |policy: i32, priority: i32| syscall!(SYS_sched_setscheduler, 0, policy, &priority);
    assert_eq!(syscall!(SYS_sched_getscheduler, 0), Ok(libc::SCHED_OTHER as usize));
    assert_eq!(set(libc::SCHED_BATCH, 0), Ok(0));
    assert_eq!(syscall!(SYS_sched_getscheduler, 0), Ok(libc::SCHED_BATCH as usize));
    assert_eq!(set(libc::SCHED_OTHER, 1), Err(EINVAL));
    assert_eq!(set(99, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_sched_get_priority_max, libc::SCHED_FIFO), Ok(99));
    assert_eq!(syscall!(SYS_sched_get_priority_min, libc::SCHED_RR), Ok(1));
    assert_eq!(syscall!(SYS_sched_get_priority_max, libc::SCHED_OTHER), Ok(0));
    assert_eq!(syscall!(SYS_sched_get_priority_max, 77), Err(EINVAL));
    let mut priority = -1i32;
    assert_eq!(syscall!(SYS_sched_getparam, 0, &mut priority), Ok(0));
    assert_eq!(priority, 0);
    assert_eq!(syscall!(SYS_sched_getscheduler, 99_999_999), Err(ESRCH));
    as_nobody(|| assert_eq!(syscall!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &1i32), Err(EPERM)));
}

fn nice_and_yield() {
    assert_eq!(syscall!(SYS_sched_yield), Ok(0));
    let nice = || 20 - syscall!(SYS_getpriority, libc::PRIO_PROCESS, 0).unwrap() as i32;
    let before = nice();
    syscall!(SYS_setpriority, libc::PRIO_PROCESS, 0, before + 3).unwrap();
    assert_eq!(nice(), before + 3);
    assert_eq!(fork(|| exit_group(nice())).wait(), Status::Exited(before + 3));
}

fn membarrier_commands() {
    let query = syscall!(SYS_membarrier, 0, 0, 0);
    if query == Err(ENOSYS) {
        crate::harness::skip("no membarrier");
    }
    let supported = query.unwrap();
    const PRIVATE_EXPEDITED: usize = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: usize = 1 << 4;
    assert_ne!(supported & PRIVATE_EXPEDITED, 0);
    assert_eq!(syscall!(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0), Err(EPERM), "not registered");
    assert_eq!(syscall!(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_membarrier, 1 << 20, 0, 0), Err(EINVAL));
    assert_eq!(syscall!(SYS_membarrier, PRIVATE_EXPEDITED, 1 << 5, 0), Err(EINVAL));
}

fn prctl(option: i32, arguments: [usize; 4]) -> Sys<usize> {
    syscall!(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3])
}

fn prctl_calls() {
    assert_eq!(prctl(9999, [0; 4]), Err(EINVAL));
    assert_eq!(prctl(libc::PR_SET_PDEATHSIG, [65, 0, 0, 0]), Err(EINVAL));
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, [0; 4]), Ok(1));
    assert_eq!(prctl(libc::PR_SET_DUMPABLE, [0; 4]), Ok(0));
    assert_eq!(prctl(libc::PR_GET_DUMPABLE, [0; 4]), Ok(0));
    assert_eq!(prctl(libc::PR_SET_DUMPABLE, [7, 0, 0, 0]), Err(EINVAL));
    assert_eq!(prctl(libc::PR_SET_NAME, [8, 0, 0, 0]), Err(EFAULT));
    let mut reaper = -1i32;
    assert_eq!(prctl(libc::PR_SET_CHILD_SUBREAPER, [1, 0, 0, 0]), Ok(0));
    assert_eq!(prctl(libc::PR_GET_CHILD_SUBREAPER, [&raw mut reaper as usize, 0, 0, 0]), Ok(0));
    assert_eq!(reaper, 1);
    fork(|| {
        let mut reaper = -1i32;
        prctl(libc::PR_GET_CHILD_SUBREAPER, [&raw mut reaper as usize, 0, 0, 0]).unwrap();
        assert_eq!(reaper, 0, "not inherited");
    })
    .succeeds();
    assert_eq!(prctl(libc::PR_SET_TIMERSLACK, [12345, 0, 0, 0]), Ok(0));
    assert_eq!(prctl(libc::PR_GET_TIMERSLACK, [0; 4]), Ok(12345));
}

fn no_new_privileges_is_kept() {
    assert_eq!(prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4]), Ok(0));
    assert_eq!(prctl(libc::PR_SET_NO_NEW_PRIVS, [0; 4]), Err(EINVAL));
    assert_eq!(prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]), Ok(0));
    assert_eq!(prctl(libc::PR_SET_NO_NEW_PRIVS, [0; 4]), Err(EINVAL), "it can't be taken back");
    fork(|| assert_eq!(prctl(libc::PR_GET_NO_NEW_PRIVS, [0; 4]), Ok(1))).succeeds();
}

fn rseq_is_real_or_absent() {
    // In a bare thread of its own nothing is registered yet.
    let area = map_anonymous(PAGE);
    let result =
        std::thread::spawn(move || syscall!(SYS_rseq, area + 64, 32, 0, 0x5305_3053)).join().unwrap();
    assert!([Err(ENOSYS), Err(EBUSY), Err(EINVAL), Ok(0)].contains(&result), "{result:?}");
    if result == Ok(0) {
        assert_eq!(syscall!(SYS_rseq, area + 64 + 1, 32, 0, 0), Err(EINVAL), "misaligned");
    }
}

fn personality() {
    const ASK: u32 = 0xffff_ffff;
    assert_eq!(syscall!(SYS_personality, ASK), Ok(0));
    const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
    assert_eq!(syscall!(SYS_personality, ADDR_NO_RANDOMIZE), Ok(0));
    assert_eq!(syscall!(SYS_personality, ASK), Ok(ADDR_NO_RANDOMIZE as usize));
    let stacks: Vec<String> = (0..2).map(|_| probe_output("stack-address", &[], &[])).collect();
    assert_eq!(stacks[0], stacks[1], "the same addresses every time");
    syscall!(SYS_personality, 0).unwrap();
    let stacks: Vec<String> = (0..4).map(|_| probe_output("stack-address", &[], &[])).collect();
    assert!(stacks.iter().any(|stack| *stack != stacks[0]), "not random: {stacks:?}");
}

/// Calls that may be left out must say so; none of them may pretend.
fn left_out_calls_answer_honestly() {
    let refusals = [ENOSYS, EINVAL, EPERM, EFAULT, ESRCH, EOPNOTSUPP, EAFNOSUPPORT];
    for (name, result) in [
        ("unknown socket family", syscall!(SYS_socket, 200, 1, 0)),
        ("ptrace of nobody", syscall!(SYS_ptrace, 16, 99_999_999, 0, 0)),
        ("io_uring_setup without parameters", syscall!(SYS_io_uring_setup, 4, 8)),
        ("bpf of nothing", syscall!(SYS_bpf, 9999, 0, 0)),
        ("keyctl of nothing", syscall!(SYS_keyctl, 9999, 0, 0)),
        ("seccomp of nothing", syscall!(SYS_seccomp, 9999, 0, 0)),
        ("uselib", syscall!(SYS_uselib, c"x")),
        ("an x32 number", call(0x4000_0000 + 1, &[1, 0, 0])),
    ] {
        let refused = matches!(result, Err(errno) if refusals.contains(&errno));
        assert!(refused, "{name}: {result:?}");
    }
    assert_eq!(syscall!(SYS_socket, 200, 1, 0), Err(EAFNOSUPPORT));
}

fn sync_and_getdomainname() {
    assert_eq!(syscall!(SYS_sync), Ok(0));
    let folder = open(c".", libc::O_RDONLY).unwrap();
    assert_eq!(syscall!(SYS_syncfs, folder), Ok(0));
    assert_eq!(syscall!(SYS_syncfs, 700), Err(EBADF));
}

fn process_vm_reads() {
    let child_memory = map_anonymous(PAGE);
    let child = fork(|| {
        poke(child_memory, 99);
        wait_for_ever();
    });
    wait_until_blocked(child.pid);
    let mut byte = [0u8];
    let local = iovec(&mut byte);
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(child_memory), iov_len: 1 };
    match syscall!(SYS_process_vm_readv, child.pid, &local, 1, &remote, 1, 0) {
        Err(ENOSYS) => {
            child.finish();
            crate::harness::skip("no process_vm_readv");
        }
        result => assert_eq!((result, peek(&raw const byte as usize)), (Ok(1), 99)),
    }
    assert_eq!(syscall!(SYS_process_vm_readv, 99_999_999, &local, 1, &remote, 1, 0), Err(ESRCH));
    child.finish();
}

fn hostname_can_change() {
    let [_, before, ..] = names();
    syscall!(SYS_sethostname, c"changed", 7).unwrap();
    assert_eq!(names()[1], "changed");
    assert_eq!(text(c"/proc/sys/kernel/hostname"), Ok("changed\n".to_owned()));
    assert_eq!(syscall!(SYS_sethostname, c"x", 65), Err(EINVAL));
    syscall!(SYS_sethostname, &*path(before.as_str()), before.len()).unwrap();
}

fn tmpfs_can_be_mounted() {
    mkdir(c"point", 0o755).unwrap();
    create(c"point/below", b"");
    let mount =
        |target: &std::ffi::CStr| syscall!(SYS_mount, c"none", target, c"tmpfs", 0, c"size=1m,mode=700");
    mount(c"point").unwrap();
    assert_eq!(stat(c"point/below").err(), Some(ENOENT), "covered");
    assert_ne!(stat(c"point").unwrap().st_dev, stat(c".").unwrap().st_dev);
    assert_eq!(stat(c"point").unwrap().st_mode & 0o7777, 0o700);
    create(c"point/file", b"x");
    assert_eq!(link(c"point/file", c"out"), Err(EXDEV));
    assert_eq!(rename(c"point/file", c"out"), Err(EXDEV));
    assert_eq!(rmdir(c"point"), Err(EBUSY));
    let big = open(c"point/big", libc::O_RDWR | libc::O_CREAT).unwrap();
    let written = (0..2000).take_while(|_| write(big, &[1; PAGE]).is_ok()).count();
    assert!(written <= 256, "{written} pages fit into one mebibyte");
    assert_eq!(syscall!(SYS_umount2, c"point", 0), Err(EBUSY), "a file is open");
    close(big).unwrap();
    syscall!(SYS_umount2, c"point", 0).unwrap();
    assert!(stat(c"point/below").is_ok());
    assert_eq!(syscall!(SYS_umount2, c"point", 0), Err(EINVAL), "not a mount point");
    assert_eq!(syscall!(SYS_mount, c"none", c"point", c"nosuchfs", 0, 0), Err(ENODEV));
}

fn legacy_calls() {
    let file = syscall!(SYS_open, c"file", libc::O_RDWR | libc::O_CREAT, 0o600).unwrap() as Fd;
    assert_eq!(syscall!(SYS_creat, c"second", 0o600).map(|fd| fd as Fd), Ok(file + 1));
    let mut ends = [0i32; 2];
    syscall!(SYS_pipe, &mut ends).unwrap();
    syscall!(SYS_access, c"file", libc::R_OK).unwrap();
    let mut status: libc::stat = zeroed();
    syscall!(SYS_lstat, c"file", &mut status).unwrap();
    assert_eq!(status.st_mode & 0o777, 0o600);
    assert_eq!(syscall!(SYS_dup2, file, 50), Ok(50));
    assert_eq!(syscall!(SYS_getpgrp), Ok(getpgid(0).unwrap() as usize));
    let fork_pid = syscall!(SYS_fork).unwrap();
    if fork_pid == 0 {
        exit_group(3);
    }
    assert_eq!(wait4(fork_pid as i32, 0), Ok((fork_pid as i32, Status::Exited(3))));
}

/// 32-bit arguments are taken from the low half of their register, whatever the high half says.
fn wide_arguments_are_cut() {
    let high = 0xdead_beef_0000_0000usize;
    assert_eq!(syscall!(SYS_getpgid, high), syscall!(SYS_getpgrp));
    assert_eq!(syscall!(SYS_kill, high | getpid() as usize, high), Ok(0));
    let (from, to) = pipe();
    assert_eq!(syscall!(SYS_write, high | to as usize, b"x".as_ptr(), 1), Ok(1));
    assert_eq!(syscall!(SYS_fcntl, high | from as usize, high | libc::F_GETFD as usize, 0), Ok(0));
    let mut set = [pollfd(from, libc::POLLIN)];
    assert_eq!(syscall!(SYS_poll, set.as_mut_ptr(), 1, high), Ok(1), "the timeout is an int");
    assert_eq!(syscall!(SYS_lseek, create_open(c"file"), 0, high), Ok(0));
    assert_eq!(syscall!(SYS_umask, high | 0o022), Ok(0o022));
}
