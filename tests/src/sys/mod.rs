//! Raw system calls with Linux's own error numbers, and the primitives cases are written with.
//!
//! Cases call the kernel directly and not through the C library, which hides partial results,
//! restarts and arguments. `unsafe` is kept in this folder: a case process is thrown away after
//! its one case, so the functions here are safe to call as long as the case passes buffers it
//! owns; handing the kernel a bad pointer is often the very point of a case.

mod errno;
#[macro_use]
mod raw;
mod credentials;
mod descriptor;
mod events;
mod gate;
#[allow(dead_code, reason = "constants of the ABI, whether a case needs them or not")]
mod kairos;
mod lasting;
mod memory;
mod mqueue;
mod mutex;
mod path;
mod process;
mod random;
mod signal;
mod socket;
mod sysv;
mod time;
mod waiting;

pub(crate) use credentials::*;
pub(crate) use descriptor::*;
pub(crate) use errno::*;
pub(crate) use events::*;
pub(crate) use gate::*;
pub(crate) use kairos::*;
pub(crate) use lasting::*;
pub(crate) use memory::*;
pub(crate) use mqueue::*;
pub(crate) use mutex::*;
pub(crate) use path::*;
pub(crate) use process::*;
pub(crate) use random::*;
pub(crate) use raw::*;
pub(crate) use signal::*;
pub(crate) use socket::*;
pub(crate) use sysv::*;
pub(crate) use time::*;
pub(crate) use waiting::*;
