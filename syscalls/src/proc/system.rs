//! The machine as a whole: `stat`, `uptime`, `loadavg`, `version`, `meminfo`, `vmstat`. Source: `proc(5)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use base::caller::Caller;
use base::frame::PAGE_SIZE;
use base::{Result, machine};
use executor::Executor;
use fs::procfs::ProcFs;
use fs::pseudo::Text;
use fs::tmpfs;

use super::load::{self, ONE};
use super::state::State;
use crate::machine::user_machine;
use crate::mm::AddressSpace;
use crate::process::rusage::ticks;
use crate::process::table;
use crate::system_name::{RELEASE, SYSTEM, VERSION};
use crate::thread::clock::user_time_of_cpu;
use crate::time::clock::realtime;

/// The compiler that built this kernel, for `version`.
const COMPILER: &str = "rustc";

pub(super) fn publish(proc: &ProcFs, executor: &'static Executor) {
    let ProcFs { tree, .. } = proc;
    let top = tree.root();
    tree.file(top, "stat", move |_, text| stat(executor, text));
    tree.file(top, "uptime", move |_, text| uptime(executor, text));
    tree.file(top, "loadavg", move |_, text| loadavg(executor, text));
    tree.file(top, "version", version);
    tree.file(top, "meminfo", meminfo);
    tree.file(top, "vmstat", vmstat);
}

/// What one CPU did since boot, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTime {
    user: u64,
    system: u64,
    idle: u64,
}

/// Splits the time since boot of every CPU. What is neither a program's nor idle is the kernel's.
fn cpu_times(executor: &Executor) -> Vec<CpuTime> {
    let mut user: Vec<u64> = (0..executor.cpu_count()).map(user_time_of_cpu).collect();
    for process in table::all_processes() {
        table::for_each_thread(&process, |thread| {
            let cpu = thread.task().map_or(0, executor::TaskRef::cpu);
            if let Some(user) = user.get_mut(cpu) {
                *user += thread.clock().unaccounted_user();
            }
        });
    }
    let now = machine::now().as_nanos();
    let split = |(cpu, user): (usize, u64)| {
        let idle = executor.idle_time_ns(cpu).min(now);
        let user = user.min(now - idle);
        CpuTime { user, system: now - idle - user, idle }
    };
    user.into_iter().enumerate().map(split).collect()
}

fn stat(executor: &Executor, text: &mut Text) -> Result<()> {
    let times = cpu_times(executor);
    let sum = times.iter().fold(CpuTime::default(), |sum, cpu| CpuTime {
        user: sum.user + cpu.user,
        system: sum.system + cpu.system,
        idle: sum.idle + cpu.idle,
    });
    // A full text is noticed by the frame.
    let _ = text.write_str("cpu  ");
    cpu_line(text, sum);
    for (index, cpu) in times.iter().enumerate() {
        let _ = write!(text, "cpu{index} ");
        cpu_line(text, *cpu);
    }
    let switches: u64 = (0..executor.cpu_count()).map(|cpu| executor.polls(cpu)).sum();
    let boot = realtime().saturating_sub(core::time::Duration::from_nanos(machine::now().as_nanos()));
    let _ = writeln!(text, "intr {}", user_machine().interrupts());
    let _ = writeln!(text, "ctxt {switches}\nbtime {}", boot.as_secs());
    let _ = writeln!(text, "processes {}", table::births());
    let _ = writeln!(text, "procs_running {}", executor.runnable_count());
    let _ = writeln!(text, "procs_blocked {}", blocked());
    Ok(())
}

/// Columns: user nice system idle iowait irq softirq steal guest guest_nice.
fn cpu_line(text: &mut Text, time: CpuTime) {
    let _ = writeln!(text, "{} 0 {} {} 0 0 0 0 0 0", ticks(time.user), ticks(time.system), ticks(time.idle));
}

/// Threads that wait for the kernel itself.
fn blocked() -> usize {
    let mut count = 0;
    for process in table::all_processes() {
        for thread in table::threads_of(&process) {
            count += usize::from(State::of(&process, Some(&thread)) == State::DiskSleep);
        }
    }
    count
}

fn uptime(executor: &Executor, text: &mut Text) -> Result<()> {
    let idle: u64 = (0..executor.cpu_count()).map(|cpu| executor.idle_time_ns(cpu)).sum();
    let [up, idle] = [machine::now().as_nanos(), idle].map(|nanoseconds| nanoseconds / 10_000_000);
    let _ = writeln!(text, "{}.{:02} {}.{:02}", up / 100, up % 100, idle / 100, idle % 100);
    Ok(())
}

fn loadavg(executor: &Executor, text: &mut Text) -> Result<()> {
    for average in load::averages() {
        let rounded = average + ONE / 200;
        let _ = write!(text, "{}.{:02} ", rounded / ONE, rounded % ONE * 100 / ONE);
    }
    let (threads, last) = {
        let table = table::lock();
        (table.counts().1, table.last_number())
    };
    let _ = writeln!(text, "{}/{threads} {last}", executor.runnable_count().min(threads));
    Ok(())
}

fn version(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{SYSTEM} version {RELEASE} (kairos@kairos) ({COMPILER}) {VERSION}");
    Ok(())
}

fn meminfo(_caller: &Caller, text: &mut Text) -> Result<()> {
    let frames = machine().frames().totals();
    let kilobytes = |pages: usize| (pages * PAGE_SIZE / 1024) as u64;
    let free = kilobytes(frames.free + frames.cached);
    let in_files = kilobytes(usize::try_from(tmpfs::pages_in_use()).unwrap_or(0));
    let heap = frames.heap_bytes as u64 / 1024;
    for (name, value) in [
        ("MemTotal:", kilobytes(frames.total)),
        ("MemFree:", free),
        // Nothing that is in use can be given back without harm.
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", in_files),
        ("SwapCached:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", 0),
        ("Writeback:", 0),
        ("Shmem:", in_files),
        ("KReclaimable:", 0),
        ("Slab:", heap),
        ("SReclaimable:", 0),
        ("SUnreclaim:", heap),
        ("KernelStack:", 0),
        ("PageTables:", page_table_bytes() / 1024),
    ] {
        let _ = writeln!(text, "{name:<16}{value:8} kB");
    }
    Ok(())
}

/// Bytes of page tables of all spaces, each counted once.
fn page_table_bytes() -> u64 {
    let mut spaces: Vec<Arc<AddressSpace>> =
        table::all_processes().iter().filter_map(|process| process.space()).collect();
    spaces.sort_by_key(|space| space.id());
    spaces.dedup_by_key(|space| space.id());
    spaces.iter().map(|space| space.page_table().table_bytes() as u64).sum()
}

fn vmstat(_caller: &Caller, text: &mut Text) -> Result<()> {
    let frames = machine().frames().totals();
    let in_files = tmpfs::pages_in_use();
    let _ = writeln!(text, "nr_free_pages {}", frames.free + frames.cached);
    let _ = writeln!(text, "nr_file_pages {in_files}\nnr_dirty 0\nnr_writeback 0\nnr_shmem {in_files}");
    let _ = writeln!(text, "nr_page_table_pages {}", page_table_bytes() / PAGE_SIZE as u64);
    let _ = writeln!(text, "pswpin 0\npswpout 0");
    Ok(())
}
