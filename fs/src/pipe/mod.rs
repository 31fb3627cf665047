//! Pipes and FIFOs.

/// A pipe.
pub struct Pipe {}
