//! Terminals.
//!
//! | module | subject |
//! |---|---|
//! | [`termios`] | settings |
//! | [`line`] | the line discipline: editing, echo, signals, output processing |

pub mod line;
pub mod termios;
