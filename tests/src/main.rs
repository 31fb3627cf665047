//! Guest tests.
fn main() {}
