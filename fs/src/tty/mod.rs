//! Terminals.
//!
//! | module | subject |
//! |---|---|
//! | [`termios`] | settings |
//! | [`line`] | the line discipline: editing, echo, signals, output processing |
//! | [`terminal`] | a terminal: its queues, and who may use it |
//! | `control` | its ioctls |
//! | [`pty`] | pseudo-terminals |
//! | [`job_control`] | what terminals and processes ask of each other |

mod control;
pub mod job_control;
pub mod line;
pub mod pty;
pub mod terminal;
pub mod termios;

pub use terminal::{Driver, Tty, TtyFile, WindowSize};
