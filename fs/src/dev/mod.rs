//! Devices without hardware, and the file systems that name them.
//!
//! | module | subject |
//! |---|---|
//! | `memory` | null, zero, full, random, urandom |
//! | [`terminals`] | tty, console, ptmx and the slaves of pseudo-terminals |
//! | `devtmpfs` | `/dev` |
//! | `devpts` | `/dev/pts` |

mod devpts;
mod devtmpfs;
mod memory;
pub mod terminals;

pub use devpts::open_peer;
pub use memory::fill_random;

/// Registers the devices and the file systems. Called once at boot, before anything is mounted.
pub fn init() {
    memory::register();
    terminals::register();
    devtmpfs::register();
    devpts::register();
}
