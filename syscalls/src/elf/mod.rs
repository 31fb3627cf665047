//! Loading a program: from a file and its arguments to a space that is ready to run.
//!
//! The new space is built beside the old one, so that a failure leaves the caller as it was. Linux gives the
//! old space up half-way and kills the process when something fails after that; [`LoadError::fatal`] says when.
//!
//! | module | subject |
//! |---|---|
//! | [`load`](mod@load) | the whole way, from a file to registers |
//! | [`program`] | what the loader needs of files, and of who execs |
//! | [`strings`] | argument and environment strings, read from the old space |
//! | [`script`] | the `#!` line |
//! | [`header`] | ELF headers |
//! | [`segments`] | an image's segments, put into a space |
//! | [`stack`] | the initial stack: strings, pointers, auxiliary vector |

pub mod header;
pub mod load;
pub mod program;
pub mod script;
pub mod segments;
pub mod stack;
pub mod strings;
#[cfg(test)]
mod tests;

pub use load::{LoadRequest, Loaded, load};
pub use program::{ExecContext, ProgramFile, ProgramIdentity};
pub use strings::Strings;

use base::Errno;

/// Why a program could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The error.
    pub errno: Errno,
    /// Linux finds it when the old program is gone already: the process dies of SIGSEGV instead of getting it.
    pub fatal: bool,
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> LoadError {
        LoadError { errno, fatal: false }
    }
}

impl LoadError {
    /// An error past the point of no return.
    #[must_use]
    pub fn fatal(errno: Errno) -> LoadError {
        LoadError { errno, fatal: true }
    }
}
