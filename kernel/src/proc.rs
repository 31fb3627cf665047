//! What the machine shows in `/proc`: its processors, its interrupts, the command line.

use core::fmt::Write;

use alloc::string::String;

use base::Result;
use base::caller::Caller;
use base::slab;
use fs::procfs::procfs;
use fs::pseudo::{Attributes, PseudoFile, Text};

use crate::arch::cpu_area::{self, CpuArea};
use crate::arch::cpu_info;
use crate::arch::trap::interrupts::{self, BELL, IO_APIC, SHOOT_DOWN, SPURIOUS, TIMER};
use crate::command_line::CommandLine;
use crate::drivers::clock;
use crate::dump;
use crate::memory::heap;

/// Inputs of the interrupt controllers that can have a vector.
const INPUTS: u8 = 0xc0;

/// Adds the machine's files.
pub fn publish(command_line: CommandLine<'_>) {
    let Some(proc) = procfs() else { return };
    let (tree, top) = (&proc.tree, proc.tree.root());
    tree.file(top, "cpuinfo", cpuinfo);
    tree.file(top, "interrupts", show_interrupts);
    let line = String::from(command_line.text());
    tree.file(top, "cmdline", move |_, text| {
        // A full text is noticed by the frame.
        let _ = writeln!(text, "{line}");
        Ok(())
    });
    top.add("slabinfo", PseudoFile::new(Attributes::root(tree.device(), 0o400), slab_info));
    top.add("sysrq-trigger", PseudoFile::write_only(Attributes::root(tree.device(), 0o200), request));
}

/// What root asks of the machine by a letter: `c` a crash, `t` a dump of every task. Source: the kernel's
/// `Documentation/admin-guide/sysrq.rst`; other letters are answered by the list of these, as there.
fn request(_caller: &Caller, letters: &[u8]) -> Result<()> {
    match letters.first() {
        Some(b'c') => panic!("a crash was asked for"),
        Some(b't') => dump::tasks(),
        _ => log::info!("sysrq: HELP : crash(c) show-task-states(t)"),
    }
    Ok(())
}

fn cpuinfo(_caller: &Caller, text: &mut Text) -> Result<()> {
    let cpus = cpu_area::online();
    for index in 0..cpus {
        let apic_id = CpuArea::of(index).map_or(0, CpuArea::apic_id);
        let _ = cpu_info::describe(text, index, cpus, apic_id, clock::tsc_hertz());
    }
    Ok(())
}

/// The size classes of the heap, in the columns of `slabinfo(5)`.
fn slab_info(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "slabinfo - version: 2.1");
    let _ = writeln!(
        text,
        "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> \
         <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>"
    );
    for heap::ClassUse { size, in_use, capacity } in heap::classes() {
        let order = slab::preferred_order(size);
        let in_slab = slab::objects(order, size);
        let slabs = capacity.div_ceil(in_slab);
        let _ = writeln!(
            text,
            "{:<17} {in_use:6} {capacity:6} {size:6} {in_slab:4} {:4} : tunables {:4} {:4} {:4} \
             : slabdata {slabs:6} {slabs:6} {:6}",
            alloc::format!("kmalloc-{size}"),
            1 << order,
            0,
            0,
            0,
            0
        );
    }
    Ok(())
}

/// One line for each vector that ever came, or always comes, with a column for each CPU.
fn show_interrupts(_caller: &Caller, text: &mut Text) -> Result<()> {
    let cpus = cpu_area::online();
    let _ = write!(text, "           ");
    for cpu in 0..cpus {
        let _ = write!(text, "{:<11}", alloc::format!("CPU{cpu}"));
    }
    let _ = writeln!(text);
    for input in 0..INPUTS {
        let vector = IO_APIC + input;
        if vector < TIMER && (0..cpus).any(|cpu| interrupts::count(cpu, vector) > 0) {
            counts(text, &alloc::format!("{input}"), vector, cpus);
            let _ = writeln!(text, "  IO-APIC {input:3}-edge      {}", device_of(input));
        }
    }
    for (name, vector, meaning) in [
        ("LOC", TIMER, "Local timer interrupts"),
        ("SPU", SPURIOUS, "Spurious interrupts"),
        ("RES", BELL, "Rescheduling interrupts"),
        ("TLB", SHOOT_DOWN, "TLB shootdowns"),
    ] {
        counts(text, name, vector, cpus);
        let _ = writeln!(text, "   {meaning}");
    }
    let _ = writeln!(text, "ERR: {:10}", interrupts::unexpected());
    Ok(())
}

fn counts(text: &mut Text, name: &str, vector: u8, cpus: usize) {
    let _ = write!(text, "{name:>3}:");
    for cpu in 0..cpus {
        let _ = write!(text, " {:10}", interrupts::count(cpu, vector));
    }
}

/// The device on an input of the first controller, where ISA lines are one to one.
fn device_of(input: u8) -> &'static str {
    match input {
        4 => "ttyS0",
        _ => "",
    }
}
