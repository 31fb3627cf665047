//! One case in a process of its own: set-up, deadline, verdict, cleaning up after it.

use super::census::Census;
use super::options::Options;
use super::settings::Settings;
use super::{Case, faults, own_executable};
use crate::sys::{
    ENOSYS, Lasting, Mask, Status, Sys, change_mask, close, dup2, exit_group, kill, mask_of, milliseconds,
    monotonic, open, path, pipe2, read_some, reset, set_nonblocking, setpgid, text, timed_wait, wait4, write,
};
use std::fmt::Display;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// How a case ended.
pub(super) enum Outcome {
    /// With what the case has noted, one line each.
    Passed(String),
    Skipped(String),
    /// A word for the verdict line (" (hang)", " (leak)", ...) and details.
    Failed(&'static str, String),
}

impl Outcome {
    /// What it means with these faults: under any, only one thing is the kernel's.
    fn under(self, faults: &[String]) -> Outcome {
        match self {
            Outcome::Failed(kind, details) if !faults.is_empty() && kind != ASLEEP => {
                let first = details.lines().next().unwrap_or("no details");
                Outcome::Passed(format!("failed: {first}"))
            }
            outcome => outcome,
        }
    }
}

/// The word for a case that slept although it could have gone on.
const ASLEEP: &str = " (left asleep)";
/// Exit code of a process whose assertion failed.
const ASSERTION_FAILED: i32 = 101;
/// What the lines of [`note`] start with.
const NOTE: &str = "note: ";
/// Exit code of a case that found out that it can't run here.
const SKIPPED: i32 = 77;

/// Where failure messages of the case's processes go.
static REPORT: AtomicI32 = AtomicI32::new(2);
static SCALE: AtomicU64 = AtomicU64::new(1);
/// The scale of a short form, which has one of so many rounds.
const IN_SHORT: u64 = 0;
const SHORTENED: u64 = 50;
static SEED: AtomicU64 = AtomicU64::new(1);

/// The rounds of a case that has `everyday` of them at scale 1: more with `--scale`, few in a short form.
pub(crate) fn rounds(everyday: u64) -> u64 {
    match SCALE.load(Ordering::Relaxed) {
        IN_SHORT => everyday.div_ceil(SHORTENED),
        scale => everyday * scale,
    }
}

/// Seed for random cases.
pub(crate) fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// Gives the random cases another seed.
pub(super) fn sow(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// Prints a figure below the verdict of the case, if it passes.
pub(crate) fn note(text: impl Display) {
    let _ = write(REPORT.load(Ordering::Relaxed), format!("{NOTE}{text}\n").as_bytes());
}

/// Ends the case as skipped.
pub(crate) fn skip(reason: impl Display) -> ! {
    let _ = write(REPORT.load(Ordering::Relaxed), format!("{reason}\n").as_bytes());
    exit_group(SKIPPED)
}

/// The value, or the end of the case as skipped when this kernel was built without the call.
#[track_caller]
pub(crate) fn or_skip<T>(result: Sys<T>) -> T {
    match result {
        Err(ENOSYS) => skip("left out of this kernel: ENOSYS"),
        result => result.expect("a call of the case"),
    }
}

/// The folder in which each case gets a folder of its own. A tmpfs is preferred: it is what
/// Kairos has, so the referee answers for the same kind of file system.
fn work_folder() -> String {
    let shm = std::path::Path::new("/dev/shm");
    let parent = if shm.is_dir() { "/dev/shm" } else { "/tmp" };
    format!("{parent}/guest-tests.{}", std::process::id())
}

/// Cases start with every standard signal at its default, whoever started the suite: nohup(1) and shells have some
/// ignored.
fn default_dispositions() {
    (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)).for_each(reset);
}

/// Done once before the first case.
pub(super) fn prepare(options: &Options) {
    SCALE.store(if options.is_short() { IN_SHORT } else { options.scale }, Ordering::Relaxed);
    sow(options.seed);
    own_executable();
    default_dispositions();
    // Orphans of a case come to the harness, which then can end them. Where the kernel has no
    // subreapers they go to pid 1 and are only killed with their group.
    let _ = syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1);
    change_mask(libc::SIG_BLOCK, mask_of(&[libc::SIGCHLD]));
    let _ = std::fs::create_dir_all(work_folder());
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or(String::new(), |at| format!("{}:{}: ", at.file(), at.line()));
        let message = format!("{place}{}\n", info.payload_as_str().unwrap_or("panic"));
        let _ = write(REPORT.load(Ordering::Relaxed), message.as_bytes());
        exit_group(ASSERTION_FAILED);
    }));
}

/// Done once after the last case.
pub(super) fn clean_up() {
    let _ = std::fs::remove_dir_all(work_folder());
}

/// Runs the case, and compares what the kernel keeps before and after it. A first use may fill a
/// cache for good; a leak does it every time: so a case is only blamed when it grows again.
pub(super) fn run(case: &Case, options: &Options) -> Outcome {
    const CHANCES: usize = 3;
    let mut growth = Vec::new();
    for _ in 0..CHANCES {
        // A signal that waits for the harness itself is no leak of a case, neither before nor after it.
        forget_child_signals();
        let before = Census::take();
        let outcome = run_once(case, options).under(&options.faults);
        forget_child_signals();
        let (Outcome::Passed(_), Some(before)) = (&outcome, before) else { return outcome };
        growth = before.growth(case);
        if growth.is_empty() {
            return outcome;
        }
    }
    Outcome::Failed(" (leak)", growth.join("\n"))
}

/// Runs the case to its end or its deadline.
fn run_once(case: &Case, options: &Options) -> Outcome {
    let folder = format!("{}/{}", work_folder(), case.name().replace("::", "."));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return Outcome::Failed("", format!("cannot make {folder}: {error}"));
    }
    let before = (!options.faults.is_empty()).then(|| (Lasting::all(), Settings::read()));
    let Ok((from, to)) = pipe2(libc::O_CLOEXEC) else {
        return Outcome::Failed("", "cannot make the report pipe".to_owned());
    };
    // SAFETY: the harness has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        become_case(case, options, &folder, to);
    }
    let outcome = if pid < 0 {
        Outcome::Failed("", format!("cannot fork: {}", std::io::Error::last_os_error()))
    } else {
        let _ = setpgid(pid, pid);
        let scaled = if case.deadlines > 1 { case.deadlines * options.scale } else { 1 };
        let seconds = options.deadline_seconds * scaled;
        let status = wait_with_deadline(pid, seconds);
        let states = if status.is_none() { state_of_case() } else { String::new() };
        let asleep = status.is_none() && !options.faults.is_empty() && was_left_asleep(pid, seconds);
        end_processes(pid);
        match verdict(status, &drain(from), states) {
            // What a stop interrupts for good (signal(7)) has not looked again.
            Outcome::Failed(_, details) if asleep && !details.contains("EINTR") => {
                Outcome::Failed(ASLEEP, details)
            }
            outcome => outcome,
        }
    };
    let _ = (close(from), close(to));
    remove(&folder);
    // What a case makes it removes, unless a fault has kept it from doing so.
    before.iter().for_each(|(lasting, settings)| {
        Lasting::keep_only(lasting);
        settings.restore();
    });
    outcome
}

/// Whether a case that missed its deadline of so many seconds sleeps although it could go on. One that is only late, on
/// a machine that stood still or is overloaded, ends by itself when it gets the same time once more.
fn was_left_asleep(group: i32, seconds: u64) -> bool {
    wait_with_deadline(group, seconds).is_none() && faults::goes_on_when_stirred(group)
}

fn become_case(case: &Case, options: &Options, folder: &str, report: i32) -> ! {
    let _ = setpgid(0, 0);
    change_mask(libc::SIG_SETMASK, 0);
    keep_off_the_verdicts();
    // Out of the way of the cases, which know which numbers come next.
    let high = crate::sys::fcntl(report, libc::F_DUPFD_CLOEXEC, 900).unwrap_or(report as usize);
    for descriptor in 3..16 {
        let _ = close(descriptor);
    }
    REPORT.store(high as i32, Ordering::Relaxed);
    set_nonblocking(high as i32);
    std::env::set_current_dir(folder).expect("the case's folder");
    let _ = syscall!(SYS_umask, 0o022);
    if !options.faults.is_empty() {
        faults::mark();
    }
    (case.body)();
    exit_group(0)
}

/// Standard output belongs to the suite's verdicts: what the processes of a case print there goes nowhere.
fn keep_off_the_verdicts() {
    if let Ok(nowhere) = open(c"/dev/null", libc::O_WRONLY) {
        let _ = dup2(nowhere, 1);
        let _ = close(nowhere);
    }
}

/// The status of the case's first process, or None after the deadline.
pub(super) fn wait_with_deadline(pid: i32, seconds: u64) -> Option<Status> {
    let child_signal: Mask = mask_of(&[libc::SIGCHLD]);
    let deadline = monotonic() + seconds as i64 * 1_000_000_000;
    loop {
        match wait4(pid, libc::WNOHANG) {
            Ok((0, _)) => {}
            Ok((_, status)) => return Some(status),
            Err(_) => return None,
        }
        let left_ms = (deadline - monotonic()) / 1_000_000;
        if left_ms <= 0 {
            return None;
        }
        let _ = timed_wait(child_signal, Some(milliseconds(left_ms)));
    }
}

/// Takes the reports of ended children that wait.
fn forget_child_signals() {
    while timed_wait(mask_of(&[libc::SIGCHLD]), Some(milliseconds(0))).is_ok() {}
}

/// Kills the case's group and whatever else of it came to us, and reaps them.
fn end_processes(group: i32) {
    let _ = kill(-group, libc::SIGKILL);
    loop {
        match wait4(-1, libc::WNOHANG) {
            Ok((0, _)) => {
                for pid in our_children() {
                    let _ = kill(pid, libc::SIGKILL);
                }
                if wait4(-1, 0).is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// (pid, parent, group, the whole line) of every process.
pub(super) fn process_table() -> Vec<(i32, i32, i32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = text(&path(format!("/proc/{pid}/stat"))).ok()?;
        let mut fields = line[line.rfind(')')? + 2..].split(' ').skip(1);
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((pid, parent, group, line))
    })
    .collect()
}

/// The living and dead children of this process, also those it was given as a subreaper.
pub(crate) fn our_children() -> Vec<i32> {
    let own = std::process::id() as i32;
    process_table().into_iter().filter(|(_, parent, ..)| *parent == own).map(|(pid, ..)| pid).collect()
}

/// What the processes of a hanging case (the harness's descendants) are doing.
fn state_of_case() -> String {
    let table = process_table();
    let mut family = vec![std::process::id() as i32];
    let mut lines = String::new();
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        next += 1;
        for (pid, _, _, line) in table.iter().filter(|(_, its_parent, ..)| *its_parent == parent) {
            family.push(*pid);
            let short: Vec<&str> = line.split(' ').take(8).collect();
            let call = text(&path(format!("/proc/{pid}/syscall"))).unwrap_or_default();
            lines += &format!("stat {} syscall {}\n", short.join(" "), call.trim());
        }
    }
    lines
}

fn drain(from: i32) -> String {
    set_nonblocking(from);
    let mut all = Vec::new();
    while let Ok(part) = read_some(from, 4096) {
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn verdict(status: Option<Status>, report: &str, states: String) -> Outcome {
    let (notes, report): (Vec<&str>, Vec<&str>) =
        report.split_inclusive('\n').partition(|line| line.starts_with(NOTE));
    let report = &report.concat();
    match status {
        None => Outcome::Failed(" (hang)", format!("{report}{states}")),
        Some(Status::Exited(0)) if report.is_empty() => Outcome::Passed(notes.concat()),
        Some(Status::Exited(0)) => Outcome::Failed(" (in a child)", report.to_owned()),
        Some(Status::Exited(SKIPPED)) => Outcome::Skipped(report.trim().to_owned()),
        Some(Status::Exited(ASSERTION_FAILED)) => Outcome::Failed("", report.to_owned()),
        Some(other) => Outcome::Failed("", format!("the case's process ended with {other:?}\n{report}")),
    }
}

/// Removes the case's folder, whatever modes it left behind.
fn remove(folder: &str) {
    if std::fs::remove_dir_all(folder).is_err() && std::path::Path::new(folder).exists() {
        let _ = std::fs::rename(folder, format!("{folder}.left"));
    }
}
