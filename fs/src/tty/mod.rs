//! Terminals.
//!
//! | module | subject |
//! |---|---|
//! | [`termios`] | settings |
//! | [`job_control`] | what terminals and processes ask of each other |
//! | [`line`] | the line discipline: editing, echo, signals, output processing |

pub mod job_control;
pub mod line;
pub mod termios;
