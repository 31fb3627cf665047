//! The terminal devices: the console, the caller's own terminal, and pseudo-terminals.

use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use crate::file::{FileOps, OpenFlags};
use crate::tty::job_control::job_control;
use crate::tty::pty::{Pty, PtyMaster, SLAVE_MAJOR};
use crate::tty::{Tty, TtyFile};
use crate::vfs::device::{Device, register_character};
use crate::vfs::{DeviceNumber, OpenRequest};

/// Major number of `/dev/tty`, `/dev/console` and `/dev/ptmx`.
pub(super) const MAJOR: u32 = 5;
/// Minor of `/dev/tty`.
pub(super) const OWN: u32 = 0;
/// Minor of `/dev/console`.
pub(super) const CONSOLE: u32 = 1;
/// Minor of `/dev/ptmx`.
pub(super) const MASTER: u32 = 2;
/// Number of the console's terminal itself, `ttyS0`.
pub const SERIAL: DeviceNumber = DeviceNumber::new(4, 64);

static THE_CONSOLE: SpinLock<Option<Arc<Tty>>> = SpinLock::new(LockClass::Registry, None);

/// Makes `tty` the console.
pub fn set_console(tty: Arc<Tty>) {
    let before = THE_CONSOLE.lock().replace(tty);
    drop(before);
}

/// The console.
///
/// # Errors
///
/// `ENXIO` when there is none.
pub fn console() -> Result<Arc<Tty>> {
    THE_CONSOLE.lock().clone().ok_or(Errno::ENXIO)
}

pub(super) fn register() {
    register_character(DeviceNumber::new(MAJOR, OWN), 3, Arc::new(Terminals));
    register_character(SERIAL, 1, Arc::new(Terminals));
    register_character(DeviceNumber::new(SLAVE_MAJOR, 0), 1 << 20, Arc::new(Slaves));
}

struct Terminals;

impl Device for Terminals {
    fn open(&self, number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        let takes_control = !request.flags.contains(OpenFlags::NOCTTY);
        match (number.major, number.minor) {
            (MAJOR, OWN) => {
                let own = job_control().and_then(|control| control.terminal(request.caller));
                let tty = own.and_then(|own| own.as_any().downcast::<Tty>().ok()).ok_or(Errno::ENXIO)?;
                Ok(TtyFile::open(&tty, request.caller, false)?)
            }
            // The console itself is nobody's controlling terminal until somebody asks for it.
            (MAJOR, CONSOLE) => Ok(TtyFile::open(&console()?, request.caller, false)?),
            (MAJOR, MASTER) => Ok(PtyMaster::open(request.caller)?),
            _ => Ok(TtyFile::open(&console()?, request.caller, takes_control)?),
        }
    }
}

struct Slaves;

impl Device for Slaves {
    fn open(&self, number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn FileOps>> {
        let pty = Pty::find(number.minor).ok_or(Errno::EIO)?;
        let takes_control = !request.flags.contains(OpenFlags::NOCTTY);
        Ok(pty.open_slave(request.caller, takes_control)?)
    }
}
