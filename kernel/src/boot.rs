//! The order in which the kernel comes up, and what each CPU does from then on.

use alloc::boxed::Box;

use base::machine::Outcome;
use base::sync::Once;
use base::{Errno, fault};
use executor::order::OrderPolicy;
use executor::{Config, Executor, TaskOptions};

use crate::arch::boot::start_info::BootInfo;
use crate::arch::cpu_area::{self, CpuArea};
use crate::arch::trap::interrupts::{self, BELL, TIMER};
use crate::arch::{machine, nmi, smp, vdso};
use crate::command_line::CommandLine;
use crate::drivers::{self, clock, local_apic};
#[cfg(feature = "selftest")]
use crate::selftest;
use crate::{console, dump, first_process, memory, order, proc, trace};

static EXECUTOR: Once<&'static Executor> = Once::new();

/// The executor, once it is there.
pub fn executor() -> Option<&'static Executor> {
    EXECUTOR.get().copied()
}

/// Brings the kernel up on the first CPU, which then runs tasks.
pub fn start(info: &'static BootInfo) -> ! {
    let command_line = CommandLine::new(info.command_line());
    machine::install(order::is_wanted(command_line));
    memory::init(info, trace::buffer_bytes(command_line));
    let madt = drivers::init(info, command_line);
    CpuArea::current().set_apic_id(local_apic::id());
    CpuArea::current().go_online();
    interrupts::set_handler(TIMER, executor::timer_expired);
    // Leaving the halt or user mode is all the bell is for.
    interrupts::set_handler(BELL, || {});
    memory::shoot_down::init();
    smp::start_others(madt.cpus.as_slice());
    if command_line.has("norandmaps") {
        syscalls::mm::placement::disable_randomization();
    }
    if command_line.value("vdso") != Some("0") {
        let prepared = vdso::prepare(clock::relation(), clock::wall_clock_at_boot());
        prepared.unwrap_or_else(|error| log::warn!("no vDSO: {error:?}"));
    }
    trace::start(command_line);
    let initrd = memory::Initrd::take(info);
    let order = order::policy(command_line, initrd.as_ref());
    let executor = Executor::new(cpu_area::online(), configuration(command_line, order));
    nmi::set_dump_hook(dump::tasks);
    EXECUTOR.call_once(|| executor);
    executor.spawn(TaskOptions::new("reaper").daemon(), memory::reaper::run());
    for cpu in 1..cpu_area::online() {
        base::machine().kick(cpu);
    }
    configure_faults(command_line);
    fs::tmpfs::register();
    fs::dev::init();
    syscalls::tracepoint::publish(fs::sysfs::init());
    syscalls::proc::init(executor);
    syscalls::waitgraph::publish();
    proc::publish(command_line);
    let raw = command_line.value("console") == Some("raw");
    console::start(executor, raw, !ends_at_deadlock(command_line));
    #[cfg(feature = "selftest")]
    if selftest::start(executor, command_line) {
        run_cpu();
    }
    first_process::start(executor, initrd, command_line);
    run_cpu()
}

/// True when the run is to end when nothing can happen any more; then nobody types either.
fn ends_at_deadlock(command_line: CommandLine<'_>) -> bool {
    command_line.value("deadlock") == Some("end")
}

fn configuration(command_line: CommandLine<'_>, order: Option<Box<dyn OrderPolicy>>) -> Config {
    let mut config = Config { order, ..Config::default() };
    if ends_at_deadlock(command_line) {
        config.on_deadlock = Some(Box::new(|_| {
            dump::tasks();
            base::machine().power_off(Outcome::Deadlock(
                "every CPU is idle, no event is awaited from outside, and work is left",
            ))
        }));
    }
    config
}

/// Fault injection as the command line asks for it. The seed is always said, so that what happens can be replayed.
fn configure_faults(command_line: CommandLine<'_>) {
    let seed = command_line.value("fault_seed").and_then(|seed| seed.parse().ok());
    fault::set_seed(seed.unwrap_or_else(|| base::machine().entropy()));
    log::info!("fault_seed={}", fault::seed());
    for wanted in command_line.values("fault") {
        match fault::configure(wanted) {
            Ok(()) => log::info!("fault={wanted}"),
            Err(Errno::ENOENT) => log::error!("fault={wanted}: there is no such point"),
            Err(error) => log::error!("fault={wanted}: {error}"),
        }
    }
}

/// What a CPU does once it is up: run tasks, for ever.
pub fn run_cpu() -> ! {
    let cpu = CpuArea::current().index();
    loop {
        match executor() {
            Some(executor) => executor.run(cpu),
            // The first CPU rings when there is one.
            None => base::machine().wait_for_interrupt(&|| executor().is_some()),
        }
    }
}
