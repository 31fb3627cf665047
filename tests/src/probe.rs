//! Probes: small programs that a case gets by executing this binary again, to see the world as a
//! freshly executed program sees it. Each prints plain lines on standard output.

use crate::sys::{
    Child, NO_SIGNALS, change_mask, channel_create, channel_recv, channel_send, current_mask, disposition,
    fork, getpid, handle_close, handle_info, is_open, path, read_to_end, text, wait_for_ever, wait_until,
    wait_until_blocked, write, zeroed,
};
use std::ffi::OsString;

/// Runs the probe that the arguments ask for (`--probe NAME ARGS...`); returns its exit status, or
/// None when they ask for none. A program started without even a name is a probe too.
pub(crate) fn run(arguments: &[OsString]) -> Option<i32> {
    if std::env::args_os().next().is_some_and(|name| name.is_empty()) {
        println!("no name");
        return Some(0);
    }
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
    if arguments.next().as_deref() != Some("--probe") {
        return None;
    }
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    Some(match name.as_str() {
        "args" => args(),
        "environ" => environ(),
        "descriptors" => descriptors(),
        "signals" => signals(),
        "exit" => rest.first().and_then(|code| code.parse().ok()).unwrap_or(99),
        "ids" => ids(),
        "cat" => cat(),
        "altstack" => altstack(),
        "mapped" => mapped(rest.first().and_then(|at| at.parse().ok()).unwrap_or(0)),
        "threads" => threads(),
        "comm" => comm(),
        "uids" => uids(),
        "death-signal" => death_signal(),
        "folder" => folder(),
        "pause" => wait_for_ever(),
        "outlive" => outlive(rest.first().and_then(|text| text.parse().ok()).unwrap_or(0)),
        "limit" => limit(rest.first().and_then(|text| text.parse().ok()).unwrap_or(0)),
        "stack-address" => stack_address(),
        "deadlock" => deadlock(),
        "unblock-and-wait" => unblock_and_wait(),
        "random" => random(),
        "lend" => lend(),
        "stack" => stack(),
        _ => {
            eprintln!("no probe {name}");
            98
        }
    })
}

/// Two processes: a server that got a channel's end from a client, received a message there, and waits for the next.
pub(crate) struct Lent {
    pub(crate) server: Child,
    /// The end that was lent.
    pub(crate) object: u32,
}

impl Lent {
    pub(crate) fn new() -> Lent {
        let (carrier, carried) = channel_create().unwrap();
        let (near, far) = channel_create().unwrap();
        let object = handle_info(far).unwrap().object;
        let server = fork(move || {
            for handle in [carrier, near, far] {
                handle_close(handle).unwrap();
            }
            let lent = channel_recv(carried, 0).unwrap().1[0];
            while channel_recv(lent, 0).is_ok() {}
        });
        handle_close(carried).unwrap();
        channel_send(carrier, b"", &[far], 0).unwrap();
        wait_until(|| {
            text(&path(format!("/proc/{}/handles", server.pid)))
                .is_ok_and(|text| text.contains(&format!(" {object} ")))
        });
        wait_until_blocked(server.pid);
        channel_send(near, b"work", &[], 0).unwrap();
        let wait = path(format!("/proc/{}/wait", server.pid));
        wait_until(|| text(&wait).is_ok_and(|text| text.contains(&format!("woken_object {object}\n"))));
        wait_until_blocked(server.pid);
        Lent { server, object }
    }
}

/// Something to look at from a shell: docs/observing.md does.
fn lend() -> i32 {
    let lent = Lent::new();
    println!("client {} server {} object {}", getpid(), lent.server.pid, lent.object);
    wait_for_ever()
}

fn args() -> i32 {
    std::env::args_os().for_each(|argument| println!("{}", argument.to_string_lossy()));
    0
}

fn environ() -> i32 {
    std::env::vars_os()
        .for_each(|(key, value)| println!("{}={}", key.to_string_lossy(), value.to_string_lossy()));
    0
}

/// The numbers of the open descriptors below 1000.
fn descriptors() -> i32 {
    let open: Vec<String> = (0..1000).filter(|fd| is_open(*fd)).map(|fd| fd.to_string()).collect();
    println!("{}", open.join(" "));
    0
}

/// The mask, the ignored signals and the pending ones, as numbers.
fn signals() -> i32 {
    let list = |chosen: &dyn Fn(i32) -> bool| -> String {
        let numbers: Vec<String> = (1..=31).filter(|signal| chosen(*signal)).map(|s| s.to_string()).collect();
        numbers.join(",")
    };
    println!("blocked {}", list(&|signal| current_mask() >> (signal - 1) & 1 == 1));
    println!("ignored {}", list(&|signal| disposition(signal).0 == libc::SIG_IGN));
    println!("handled {}", list(&|signal| disposition(signal).0 > libc::SIG_IGN));
    println!("pending {}", list(&|signal| crate::sys::pending() >> (signal - 1) & 1 == 1));
    0
}

/// Process, parent, group, session, thread.
fn ids() -> i32 {
    use crate::sys::{getpgid, getpid, getppid, getsid, gettid};
    println!(
        "{} {} {} {} {}",
        getpid(),
        getppid(),
        getpgid(0).unwrap_or(-1),
        getsid(0).unwrap_or(-1),
        gettid()
    );
    0
}

/// The sixteen bytes of AT_RANDOM.
fn random() -> i32 {
    // SAFETY: getauxval has no preconditions.
    let at = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    (0..16).for_each(|offset| print!("{:02x}", crate::sys::peek(at + offset)));
    println!();
    0
}

/// Whether the stack was laid out and aligned as the ABI wants it: argc lies right below the
/// argument pointers, at a multiple of 16.
fn stack() -> i32 {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: the C library set it at start; nothing here changed the environment.
    let environment = unsafe { environ } as usize;
    let arguments = std::env::args_os().count();
    let argc_at = environment - 8 * (arguments + 2);
    // SAFETY: the initial stack of a program is never unmapped.
    let argc = unsafe { std::ptr::with_exposed_provenance::<u64>(argc_at).read() };
    let aligned = argc_at.is_multiple_of(16) && argc == arguments as u64;
    println!("{}", if aligned { "aligned" } else { "misaligned" });
    0
}

/// Copies standard input to standard output.
fn cat() -> i32 {
    match read_to_end(0) {
        Ok(bytes) => i32::from(write(1, &bytes) != Ok(bytes.len())),
        Err(_) => 1,
    }
}

/// Whether an alternate signal stack is set.
fn altstack() -> i32 {
    let mut stack: libc::stack_t = zeroed();
    let _ = syscall!(SYS_sigaltstack, 0, &mut stack);
    println!("{}", if stack.ss_flags & libc::SS_DISABLE != 0 { "none" } else { "set" });
    0
}

/// Whether the page at an address is mapped.
fn mapped(at: usize) -> i32 {
    let mapped = syscall!(SYS_madvise, at, 4096, libc::MADV_NORMAL).is_ok();
    println!("{}", if mapped { "yes" } else { "no" });
    0
}

/// How many threads this process has.
fn threads() -> i32 {
    match std::fs::read_dir("/proc/self/task") {
        Ok(entries) => println!("{}", entries.count()),
        Err(error) => println!("{error}"),
    }
    0
}

fn comm() -> i32 {
    print!("{}", text(c"/proc/self/comm").unwrap_or_default());
    0
}

/// Real, effective and saved user and group ids, and AT_SECURE.
fn uids() -> i32 {
    let mut ids = [0u32; 6];
    let [a, b, c, d, e, f] = &mut ids;
    let _ = syscall!(SYS_getresuid, a, b, c);
    let _ = syscall!(SYS_getresgid, d, e, f);
    // SAFETY: getauxval has no preconditions.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    println!("{} {} {} {} {} {} secure={secure}", ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]);
    0
}

fn death_signal() -> i32 {
    let mut signal = -1i32;
    let _ = syscall!(SYS_prctl, libc::PR_GET_PDEATHSIG, &mut signal, 0, 0, 0);
    println!("{signal}");
    0
}

/// Working folder and umask.
fn folder() -> i32 {
    let here = std::env::current_dir().unwrap_or_default();
    println!("{} {:o}", here.display(), syscall!(SYS_umask, 0).unwrap_or(0o1000));
    0
}

fn unblock_and_wait() -> i32 {
    change_mask(libc::SIG_SETMASK, NO_SIGNALS);
    wait_for_ever()
}

/// Sleeps so many milliseconds and says that it is still there.
fn outlive(sleep_ms: i64) -> i32 {
    let _ = syscall!(SYS_nanosleep, &crate::sys::milliseconds(sleep_ms), 0);
    println!("alive");
    0
}

/// Soft and hard limit of a resource.
fn limit(resource: u32) -> i32 {
    let mut limit: libc::rlimit = zeroed();
    let _ = syscall!(SYS_prlimit64, 0, resource, 0, &mut limit);
    println!("{} {}", limit.rlim_cur, limit.rlim_max);
    0
}

/// The page of the stack in which the auxiliary vector's random bytes lie.
fn stack_address() -> i32 {
    // SAFETY: getauxval has no preconditions.
    println!("{:x}", unsafe { libc::getauxval(libc::AT_RANDOM) } >> 12);
    0
}

/// Two processes that each wait for the other's first word.
fn deadlock() -> i32 {
    let (one, other) = (crate::sys::pipe(), crate::sys::pipe());
    let _child = crate::sys::fork(|| crate::sys::discard(crate::sys::read(one.0, &mut [0])));
    i32::from(crate::sys::read(other.0, &mut [0]).is_ok())
}
