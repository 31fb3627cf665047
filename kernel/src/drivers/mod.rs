//! Devices.
//!
//! | module | subject |
//! |---|---|
//! | [`port`], [`mmio`] | typed registers behind ports and in memory |
//! | [`acpi`] | which CPUs and interrupt controllers there are |
//! | [`legacy_pic`], [`local_apic`], [`io_apic`] | interrupts |
//! | [`tsc`], [`calibrate`], [`clock`] | time and timers |
//! | [`rtc`], [`calendar`] | the time of day at boot |
//! | [`entropy`], [`generator`] | random numbers |
//! | [`serial`] | the console |
//! | [`kernel_log`] | the kernel's log |
//! | [`decision_log`] | what a seed decided |

pub mod acpi;
pub mod calendar;
pub mod calibrate;
pub mod clock;
pub mod decision_log;
pub mod entropy;
pub mod generator;
pub mod io_apic;
pub mod kernel_log;
pub mod legacy_pic;
pub mod local_apic;
pub mod mmio;
pub mod port;
pub mod rtc;
pub mod serial;
pub mod tsc;

use acpi::{AcpiError, Madt};

use crate::arch::boot::start_info::BootInfo;
use crate::arch::emergency;
use crate::command_line::CommandLine;
use crate::memory;

/// Where local APICs are when nobody says otherwise.
const LOCAL_APIC: u64 = 0xfee0_0000;

/// Brings up what the first CPU needs: log, interrupt controllers, clock, console, random numbers. After
/// [`memory::init`]. Returns what the firmware says about CPUs and controllers; it names no CPUs when the
/// firmware has no MADT.
pub fn init(info: &BootInfo, command_line: CommandLine<'_>) -> Madt {
    kernel_log::init(command_line.value("log"));
    base::decision::set_recorder(decision_log::write);
    let madt = read_madt(info).unwrap_or_else(|error| {
        log::warn!("acpi: {error:?}: one CPU, no device interrupts");
        Madt { local_apic: LOCAL_APIC, ..Madt::default() }
    });
    legacy_pic::silence();
    // SAFETY: the address is what the firmware, or the architecture, says.
    unsafe { local_apic::map(madt.local_apic) };
    local_apic::enable();
    local_apic::set_id(0, local_apic::id());
    // SAFETY: the MADT is the machine's own.
    unsafe { io_apic::init(&madt) };
    let frequencies = clock::init();
    log::info!("clock: tsc {} Hz, timer {} Hz", frequencies.tsc, frequencies.timer);
    let seed = ["seed", "sched_seed"].iter().find_map(|key| command_line.value(key)?.parse().ok());
    match entropy::init(seed) {
        entropy::Source::Time => log::warn!("entropy: no RDRAND: random numbers can be guessed"),
        source => log::debug!("entropy: {source:?}"),
    }
    if serial::init() {
        // Whoever types from outside waits for this: what comes before the port is set up is lost.
        emergency::line(format_args!("kairos-console: ready"));
    } else {
        log::warn!("serial: no console port");
    }
    madt
}

fn read_madt(info: &BootInfo) -> Result<Madt, AcpiError> {
    let root = info.rsdp().or_else(|| acpi::scan_for_root_pointer(&memory::firmware_bytes));
    acpi::read_madt(root.ok_or(AcpiError::NoRootPointer)?, &memory::firmware_bytes)
}
