//! Parts of a machine for the host: what unit, property and model tests stand on.
//!
//! | module | subject |
//! |---|---|
//! | [`frames`] | page frames from one arena, with limits and leak counts |

pub mod frames;

pub use frames::HostFrames;
