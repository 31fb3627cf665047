//! What every floor of the house needs, and nothing that knows the hardware.
#![cfg_attr(not(any(test, feature = "host")), no_std)]

extern crate alloc;
