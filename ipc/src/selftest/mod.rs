//! Tests of capabilities and channels that run on the host and in the kernel, named after the list of properties that
//! every implementation must have.

mod faults;
mod lineage;
mod ports;
pub(crate) mod races;
mod stress;
pub(crate) mod support;
mod transfer;

use executor::selftest::SelfTest;

/// All of them.
pub const TESTS: &[&[SelfTest]] =
    &[transfer::TESTS, lineage::TESTS, ports::TESTS, faults::TESTS, stress::TESTS, races::TESTS];
