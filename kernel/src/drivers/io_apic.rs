//! The I/O APICs: which CPU a device's interrupt goes to. Source: Intel 82093AA data sheet.

use base::sync::{LockClass, SpinLock};

use super::acpi::{IsaOverride, Madt};
use super::mmio::Registers;
use crate::arch::trap::interrupts::{self, Handler, IO_APIC};

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 0x01;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// One controller, as far as it has been set up.
struct IoApic {
    registers: Registers<u32>,
    first_input: u32,
    inputs: u32,
}

impl IoApic {
    fn read(&self, register: u32) -> u32 {
        self.registers.write(SELECT, register);
        self.registers.read(WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write(SELECT, register);
        self.registers.write(WINDOW, value);
    }

    /// Writes the redirection entry of an input: destination first, so that no half of it ever fires.
    fn redirect(&self, input: u32, low: u32, destination: u32) {
        let register = REDIRECTION + 2 * input;
        self.write(register, MASKED);
        self.write(register + 1, destination << 24);
        self.write(register, low);
    }
}

/// The machine's controllers with their inputs masked, and the wiring of the ISA lines.
struct Controllers {
    list: [Option<IoApic>; 8],
    madt: Option<Madt>,
}

static CONTROLLERS: SpinLock<Controllers> =
    SpinLock::new(LockClass::Device, Controllers { list: [const { None }; 8], madt: None });

/// Maps the controllers that the MADT names and masks all their inputs.
///
/// # Safety
///
/// The MADT is the machine's.
pub unsafe fn init(madt: &Madt) {
    let mut mapped = [const { None }; 8];
    for (slot, entry) in mapped.iter_mut().zip(madt.io_apics.as_slice()) {
        // SAFETY: the firmware says that an I/O APIC answers there; it writes no memory.
        let registers = unsafe { Registers::map(entry.address, 0x20) };
        let mut controller = IoApic { registers, first_input: entry.first_input, inputs: 0 };
        controller.inputs = (controller.read(VERSION) >> 16 & 0xff) + 1;
        for input in 0..controller.inputs {
            controller.redirect(input, MASKED, 0);
        }
        *slot = Some(controller);
    }
    let mut controllers = CONTROLLERS.lock();
    controllers.list = mapped;
    controllers.madt = Some(*madt);
}

/// Sends ISA line `line` to the CPU with APIC id `destination`, where `handler` runs. False when the line leads
/// to no controller.
pub fn route_isa_line(line: u8, destination: u32, handler: Handler) -> bool {
    let controllers = CONTROLLERS.lock();
    let Some(madt) = &controllers.madt else { return false };
    let IsaOverride { input, level, active_low, .. } = madt.isa_line(line);
    let found = controllers.list.iter().flatten().find(|controller| {
        input >= controller.first_input && input - controller.first_input < controller.inputs
    });
    let (Some(controller), Ok(vector)) = (found, u8::try_from(u32::from(IO_APIC) + input)) else {
        return false;
    };
    interrupts::set_handler(vector, handler);
    let mut low = u32::from(vector);
    low |= if level { LEVEL } else { 0 };
    low |= if active_low { ACTIVE_LOW } else { 0 };
    controller.redirect(input - controller.first_input, low, destination);
    true
}
