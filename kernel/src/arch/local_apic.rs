//! The few local APIC registers that traps and panics write, without any lock.

use super::layout::physical_to_virtual;

const BASE: u64 = 0xfee0_0000;
const END_OF_INTERRUPT: u64 = 0xb0;
const COMMAND_LOW: u64 = 0x300;
const COMMAND_HIGH: u64 = 0x310;
const DELIVERY_NMI: u32 = 0x4400;

fn write(register: u64, value: u32) {
    let address = physical_to_virtual(BASE + register) as *mut u32;
    // SAFETY: the physmap shows the local APIC's page, and these registers touch no memory.
    unsafe { address.write_volatile(value) };
}

/// The interrupt that is being handled is over.
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Sends an NMI to the CPU with this APIC id.
pub fn send_nmi(apic_id: u32) {
    write(COMMAND_HIGH, apic_id << 24);
    write(COMMAND_LOW, DELIVERY_NMI);
}
