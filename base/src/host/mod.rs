//! A machine for the host: what unit, property and model tests stand on.
//!
//! | module | subject |
//! |---|---|
//! | [`frames`] | page frames from one arena, with limits and leak counts |
//! | [`simulation`] | CPUs made of threads, virtual or real time |
//! | `model_clock` | the clock of a model, under `cfg(shuttle)` |
//! | [`install`] | all of it as the machine |

pub mod frames;
mod machine;
#[cfg(shuttle)]
pub mod model_clock;
pub mod simulation;

pub use frames::HostFrames;
pub use machine::install;
pub use simulation::{Clock, Simulation};
