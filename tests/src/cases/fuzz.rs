//! A seeded fuzzer of system calls: random numbers, flags, pointers, lengths and descriptors, from
//! processes with threads, with signals flying. What the calls answer does not matter; that the
//! kernel stands, that the fuzzed processes can be killed, and that nothing leaks does.

use crate::harness::{Case, case, our_children, rounds, seed};
use crate::sys::*;
use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_NONE, PROT_READ, SIGKILL};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) const CASES: &[Case] = &[
    case!(random_system_calls_of_a_user).long().vm().root().deadlines(5),
    case!(random_system_calls_of_root).long().vm().root().deadlines(5),
];

/// Calls at scale 1; the two cases share them four to one.
const CALLS: u32 = 50_000;
/// Calls of one fuzzed process, all its threads together.
const CALLS_OF_ONE: u32 = 600;
/// A process that gets nowhere for so long is taken for blocked, and killed.
const PATIENCE_MS: i64 = 60;
/// No process lives longer.
const LIFE_MS: i64 = 2000;

/// Never called: they end or change the machine, or reach processes that are not ours.
const FORBIDDEN: &[i64] = &[
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_fsmount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
];

/// Calls of capabilities, which Linux has not.
const KAIROS_CALLS: Range<i64> = 4600..4620;

/// Calls whose first argument names processes: they get our own.
const WITH_A_PROCESS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_prlimit64,
    libc::SYS_setpgid,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_pidfd_open,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

/// Calls that end the program or its sense: seldom.
const SELDOM: &[i64] = &[
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_munmap,
    libc::SYS_vfork,
    libc::SYS_close_range,
    libc::SYS_setsid,
    libc::SYS_brk,
    libc::SYS_alarm,
    libc::SYS_setitimer,
];

/// Memory of one thread for arguments.
struct Arena {
    /// Two pages of random content, readable and writable, with nothing behind.
    open: usize,
    read_only: usize,
    forbidden: usize,
}

impl Arena {
    fn new() -> Arena {
        let open = map_anonymous(3 * PAGE);
        let _ = unmap(open + 2 * PAGE, PAGE);
        let closed = |prot: i32| map(0, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).expect("mmap");
        Arena { open, read_only: closed(PROT_READ), forbidden: closed(PROT_NONE) }
    }

    /// Fills a few places with what structures may hold.
    fn stir(&self, random: &mut Random) {
        for _ in 0..16 {
            let at = self.open + random.below(2 * PAGE as u64 / 8) as usize * 8;
            let value = match random.below(6) {
                0 => 0,
                1 => random.below(64),
                2 => random.word(),
                3 => self.pointer(random) as u64,
                4 => u64::from(random.word() as u32),
                _ => 1 << random.below(64),
            };
            for (offset, byte) in value.to_le_bytes().into_iter().enumerate() {
                poke(at + offset, byte);
            }
        }
    }

    /// A short file name at a random place.
    fn name(&self, random: &mut Random) -> usize {
        let names: [&[u8]; 12] = [
            b"a\0",
            b"b\0",
            b"d/a\0",
            b"d\0",
            b"d/../a\0",
            b".\0",
            b"\0",
            b"/proc/self/fd/0\0",
            b"/proc/self/status\0",
            b"link\0",
            b"/proc/self/fd/3\0",
            b"/dev/ptmx\0",
        ];
        let at = self.open + random.below(PAGE as u64) as usize;
        let name = random.pick(&names);
        name.iter().enumerate().for_each(|(offset, byte)| poke(at + offset, *byte));
        at
    }

    fn pointer(&self, random: &mut Random) -> usize {
        match random.below(16) {
            0 => 0,
            1 => self.read_only,
            2 => self.forbidden,
            3 => self.open + 2 * PAGE - random.below(64) as usize,
            4 => {
                random.pick(&[1, 4096, 0x7fff_ffff_f000, 0x8000_0000_0000, 0xffff_8000_0000_0000, usize::MAX])
            }
            _ => (self.open + random.below(2 * PAGE as u64) as usize) & !7,
        }
    }

    fn argument(&self, random: &mut Random) -> usize {
        match random.below(12) {
            0 => 0,
            1 => random.below(16) as usize,
            2 => random.below(4096) as usize,
            3 => 1usize << random.below(64),
            4 => random.pick(&[
                usize::MAX,
                i32::MAX as usize,
                u32::MAX as usize,
                i64::MAX as usize,
                -100isize as usize,
            ]),
            5 => (1usize << random.below(32)) | (1 << random.below(32)),
            6 => self.name(random),
            7 => random.word() as usize,
            8 => random.below(12) as usize,
            _ => self.pointer(random),
        }
    }
}

/// One random call.
fn one_call(arena: &Arena, random: &mut Random) {
    let number = match random.below(50) {
        0 => random.word() as i64,
        1..5 => KAIROS_CALLS.start + random.below((KAIROS_CALLS.end - KAIROS_CALLS.start) as u64) as i64,
        _ => random.below(470) as i64,
    };
    if FORBIDDEN.contains(&number) || (SELDOM.contains(&number) && !random.one_in(20)) {
        return;
    }
    arena.stir(random);
    let mut arguments = [0usize; 6].map(|_| arena.argument(random));
    if random.one_in(3) {
        // Most calls begin with a descriptor or a handle.
        arguments[0] = random.below(24) as usize;
    }
    if WITH_A_PROCESS.contains(&number) {
        arguments[0] = if random.one_in(2) { 0 } else { getpid() as usize };
        if number == libc::SYS_kill && arguments[0] == 0 {
            arguments[1] = random.pick(&[0, libc::SIGUSR1 as usize, libc::SIGCHLD as usize]);
        }
    }
    if [libc::SYS_fcntl, libc::SYS_ioctl].contains(&number) && random.one_in(2) {
        arguments[1] =
            random.pick(&[0, 1, 2, 3, 4, 5, 6, 8, 0x5401, 0x5402, 0x5410, 0x5413, 0x541b, 1024, 1030, 1031]);
    }
    if number == libc::SYS_setpriority || number == libc::SYS_fchown || number == libc::SYS_pidfd_send_signal
    {
        arguments[1] = 0;
    }
    let _ = call(number, &arguments);
}

/// The body of a fuzzed process; ends when the shared counter says so (or by its own doing).
fn fuzzed(counter: &'static AtomicU32, seed: u64) {
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, 40] {
        on_signal(signal, nothing, 0);
    }
    for signal in [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGTTOU, libc::SIGTTIN, libc::SIGTSTP] {
        ignore(signal);
    }
    let every_ms = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let _ = syscall!(
        SYS_setitimer,
        libc::ITIMER_REAL,
        &libc::itimerval { it_interval: every_ms, it_value: every_ms },
        0
    );
    let work = move |number: u64| {
        let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(number));
        let arena = Arena::new();
        while counter.fetch_add(1, Relaxed) < CALLS_OF_ONE {
            one_call(&arena, &mut random);
        }
    };
    let thread = |number: u64| std::thread::Builder::new().stack_size(64 << 10).spawn(move || work(number));
    let others = [thread(1), thread(2)];
    work(0);
    others.into_iter().flatten().for_each(|thread| discard(thread.join()));
}

extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn set_limits() {
    for (resource, value) in [
        (libc::RLIMIT_AS, 512 << 20),
        (libc::RLIMIT_NOFILE, 64),
        (libc::RLIMIT_FSIZE, 1 << 20),
        (libc::RLIMIT_CPU, 2),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_NPROC, 20),
        (libc::RLIMIT_MSGQUEUE, 4096),
    ] {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        let _ = syscall!(SYS_prlimit64, 0, resource, &limit, 0);
    }
}

/// Runs fuzzed processes one after another until so many calls were made.
fn fuzz(calls: u32, uid: u32) {
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    let counter = word_at(map_shared(PAGE));
    let mut made = 0;
    let mut round = 0;
    let before = Lasting::all();
    while made < calls {
        counter.store(0, Relaxed);
        let round_seed = seed().wrapping_mul(1_000_003).wrapping_add(round);
        let folder = path(format!("round-{round}"));
        mkdir(&folder, 0o777).unwrap();
        let child = fork(|| {
            prepare(&folder, uid);
            fuzzed(counter, round_seed);
        });
        watch(&child, counter);
        end_strays();
        // Numbers that were drawn but never called (a process that died early) count half.
        made += counter.load(Relaxed).clamp(50, CALLS_OF_ONE);
        round += 1;
        let _ = std::fs::remove_dir_all(format!("round-{}", round - 1));
        fork(|| assert_eq!(getppid(), getppid())).succeeds();
    }
    Lasting::keep_only(&before);
}

/// A folder, descriptors, limits and a user of its own.
fn prepare(folder: &std::ffi::CStr, uid: u32) {
    let _ = setsid();
    chmod(folder, 0o777).expect("chmod");
    syscall!(SYS_chdir, folder).expect("chdir");
    let null = open(c"/dev/null", libc::O_RDWR).expect("/dev/null");
    for standard in 0..3 {
        dup2(null, standard).expect("dup2");
    }
    let _ = syscall!(SYS_close_range, 3, u32::MAX, 0);
    set_limits();
    let _ = mkdir(c"d", 0o777);
    let _ = symlink(c"a", c"link");
    let _ = open(c"a", libc::O_RDWR | libc::O_CREAT);
    let _ = pipe2(0);
    let _ = syscall!(SYS_eventfd2, 0, 0);
    let _ = syscall!(SYS_epoll_create1, 0);
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let _ = syscall!(SYS_socketpair, libc::AF_UNIX, kind, 0, &mut [0i32; 2]);
    }
    if uid != 0 {
        let _ = syscall!(SYS_setgroups, 0, 0);
        let _ = syscall!(SYS_setresgid, uid, uid, uid);
        syscall!(SYS_setresuid, uid, uid, uid).expect("setresuid");
    }
}

/// Waits for the process's end, or kills it when it is blocked or too old.
fn watch(child: &Child, counter: &AtomicU32) {
    let born = monotonic();
    let (mut last, mut last_change) = (0, born);
    loop {
        match wait4(child.pid, libc::WNOHANG) {
            Ok((0, _)) => {}
            _ => return,
        }
        let now = monotonic();
        let count = counter.load(Relaxed);
        if count != last {
            (last, last_change) = (count, now);
        }
        if now - last_change > PATIENCE_MS * 1_000_000 || now - born > LIFE_MS * 1_000_000 {
            let _ = kill(child.pid, SIGKILL);
            let _ = wait4(child.pid, 0); // Blocked is no failure; unkillable is one, by the deadline.
            return;
        }
        sleep_a_tick();
    }
}

/// Kills whatever the fuzzed process left behind.
fn end_strays() {
    loop {
        match wait4(-1, libc::WNOHANG) {
            Err(_) => return,
            Ok((0, _)) => {
                our_children().into_iter().for_each(|pid| discard(kill(pid, SIGKILL)));
                let _ = wait4(-1, 0);
            }
            Ok(_) => {}
        }
    }
}

fn random_system_calls_of_a_user() {
    fuzz(rounds(u64::from(CALLS) * 4 / 5) as u32, 54_400);
}

fn random_system_calls_of_root() {
    fuzz(rounds(u64::from(CALLS) / 5) as u32, 0);
}
