//! Devices.
//!
//! | module | subject |
//! |---|---|
//! | [`local_apic`] | each CPU's interrupt controller and timer |
//! | [`mmio`] | registers in memory |

pub mod local_apic;
pub mod mmio;
