//! What holds across modules, named after the list of properties that every implementation must have.

mod channels;
mod concurrency;
mod lineage;
mod model;
mod ports;
mod tables;

pub(crate) use crate::selftest::support;
