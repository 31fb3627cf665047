//! The machine.
fn main() {}
