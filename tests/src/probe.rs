//! Probes: small programs that a case gets by executing this binary again, to see the world as a
//! freshly executed program sees it. Each prints plain lines on standard output.

use crate::sys::{current_mask, disposition, is_open};
use std::ffi::OsString;

/// Runs the probe that the arguments ask for (`--probe NAME ARGS...`); returns its exit status, or
/// None when they ask for none.
pub(crate) fn run(arguments: &[OsString]) -> Option<i32> {
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
        "random" => random(),
        "stack" => stack(),
        _ => {
            eprintln!("no probe {name}");
            98
        }
    })
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
