//! `/proc/kairos`: the census of the kernel's own objects, and how often each syscall was made.

use alloc::boxed::Box;
use core::fmt::Write;

use base::caller::Caller;
use base::charge::live_charges;
use base::memory::BoxFuture;
use base::sync::{LockClass, Once, SpinLock};
use base::{Errno, Result, machine};
use executor::pollwait::linked_nodes;
use executor::{Executor, TaskState};
use fs::file::open_files;
use fs::procfs::ProcFs;
use fs::pseudo::{Attributes, PseudoFile, Text};
use ipc::lineage::live_nodes;
use ipc::object::{ObjectKind, registry};

use crate::machine::user_machine;
use crate::process::table;
use crate::table as syscall_table;
use crate::thread::counts;

static EXECUTOR: Once<&'static Executor> = Once::new();

/// Looks at the tasks that [`settle`] takes before it gives up: somebody else is busy then.
const PATIENCE: usize = 10_000;

pub(super) fn publish(proc: &ProcFs, executor: &'static Executor) {
    EXECUTOR.call_once(|| executor);
    let ProcFs { tree, .. } = proc;
    let kairos = tree.directory(tree.root(), "kairos");
    let attributes = Attributes::root(tree.device(), 0o644);
    kairos.add("census", PseudoFile::awaiting(attributes, census, settle, store));
    tree.file(&kairos, "syscalls", syscalls);
}

/// What is counted.
const LINES: usize = 13;

fn census(_caller: &Caller, text: &mut Text) -> Result<()> {
    // A full text is noticed by the frame.
    let _ = writeln!(text, "schema=kairos_census_v1");
    for (name, value) in count() {
        let _ = writeln!(text, "{name} {value}");
    }
    // Never falls, so that it is no part of what a program has to give back.
    let _ = writeln!(text, "heap_calls {}", machine().frames().totals().heap_calls);
    Ok(())
}

fn count() -> [(&'static str, u64); LINES] {
    let frames = machine().frames().totals();
    let executor = EXECUTOR.get().copied();
    let processes = table::lock().counts().0;
    let queued = queued();
    [
        ("frames_free", frames.free as u64),
        ("frames_cached", frames.cached as u64),
        ("heap_bytes", frames.heap_bytes as u64),
        ("tasks", executor.map_or(0, Executor::task_count) as u64),
        ("processes", processes as u64),
        ("open_files", open_files()),
        ("objects", registry::count() as u64),
        ("lineage_nodes", live_nodes() as u64),
        ("queued_messages", queued.0),
        ("queued_handles", queued.1),
        ("wait_nodes", linked_nodes()),
        ("timers", executor.map_or(0, Executor::timer_count) as u64),
        ("charges", live_charges()),
    ]
}

/// Messages in the queues of channels, and handles in those messages.
fn queued() -> (u64, u64) {
    let (mut messages, mut handles, mut id) = (0, 0, 0);
    while let Some(object) = registry::next(id, Some(ObjectKind::Channel)) {
        id = object.base().id();
        if let Some(endpoint) = object.channel() {
            let status = endpoint.status();
            messages += status.queued as u64;
            handles += status.queued_handles as u64;
        }
    }
    (messages, handles)
}

/// Waits until the tasks of threads that have exited are gone and the kernel's own are at rest, and gives back what is
/// kept for speed: cached names, free blocks, room in tables. A drop stops it anywhere.
fn settle() -> BoxFuture<'static, Result<()>> {
    Box::pin(async {
        fs::vfs::cache::shrink_all();
        ipc::collector::request();
        ipc::shrink();
        crate::futex::table::shrink();
        user_machine().settle().await;
        if let Some(executor) = EXECUTOR.get() {
            for _ in 0..PATIENCE {
                if is_settled(executor) {
                    break;
                }
                executor::yield_now().await;
            }
        }
        machine().frames().settle();
        Ok(())
    })
}

/// Every task is a thread's or a daemon's, and every daemon waits for something new to do.
fn is_settled(executor: &Executor) -> bool {
    let (mut daemons, mut all_wait) = (0, true);
    executor.for_each_task(|task| {
        if task.is_daemon() {
            daemons += 1;
            all_wait &= task.state() == TaskState::Blocked;
        }
    });
    all_wait && ipc::is_settled() && executor.task_count() <= table::lock().counts().1 + daemons
}

/// What a program that is gone must have given back. Memory may be in files that it left behind on purpose.
const GIVEN_BACK: &[&str] =
    &["tasks", "processes", "open_files", "lineage_nodes", "queued_messages", "wait_nodes", "timers"];

/// The census with which `compare` compares.
static BASELINE: SpinLock<Option<[(&str, u64); LINES]>> = SpinLock::new(LockClass::KernelBytes, None);

/// The words that can be written: `settle` waits until the kernel is at rest, as the others do first; `baseline`
/// keeps the census; `compare` logs what is more by now of that which programs have to give back.
fn store(_caller: &Caller, bytes: &[u8]) -> Result<()> {
    match bytes.trim_ascii() {
        b"settle" => {}
        b"baseline" => *BASELINE.lock() = Some(count()),
        b"compare" => {
            let baseline = *BASELINE.lock();
            baseline.into_iter().for_each(log_leaks);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn log_leaks(baseline: [(&str, u64); LINES]) {
    for ((name, before), (_, now)) in baseline.into_iter().zip(count()) {
        if before < now && GIVEN_BACK.contains(&name) {
            log::warn!("kairos-leak: {name} {before} -> {now}");
        }
    }
}

fn syscalls(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "schema=kairos_syscalls_v1");
    counts::for_each(|number, count| {
        let name = number.and_then(syscall_table::lookup).map_or("unknown", |syscall| syscall.name);
        let _ = match number {
            Some(number) => writeln!(text, "{number} {name} {count}"),
            None => writeln!(text, "other {name} {count}"),
        };
    });
    Ok(())
}
