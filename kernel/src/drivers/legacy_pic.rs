//! The 8259 pair: moved out of the exceptions' way and masked for good, for the I/O APICs do its work.

use pic8259::ChainedPics;

use crate::arch::trap::interrupts::LEGACY;

/// Remaps and masks both controllers.
pub fn silence() {
    // SAFETY: the vectors from LEGACY on are reserved for the pair.
    let mut pair = unsafe { ChainedPics::new(LEGACY, LEGACY + 8) };
    // SAFETY: the ports belong to the pair; on a machine without one, nobody listens.
    unsafe {
        pair.initialize();
        pair.disable();
    }
}
