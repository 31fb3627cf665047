//! Programs of the double: closures that stand at addresses.
//!
//! A closure is *code*: it lies at an address, and whichever thread has that address in `rip` runs it, the
//! child of a fork as well as its parent. Its state is in the registers and in user memory, as for any program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::machine::{FaultAccess, PageFlags, PageTable, Registers, Trap};

/// What stands at one address: it changes registers and memory, and says why it trapped.
pub type Code = dyn Fn(&mut Registers, &Memory<'_>) -> Trap + Send + Sync;

static CODE: Mutex<(u64, BTreeMap<u64, Arc<Code>>)> = Mutex::new((0, BTreeMap::new()));

/// First address of scripted code; each piece takes a page of its own.
const FIRST: u64 = 0x1_0000_0000;

/// Puts `script` at an address of its own; returns the address, for `rip`.
pub fn code(script: impl Fn(&mut Registers, &Memory<'_>) -> Trap + Send + Sync + 'static) -> u64 {
    let mut code = CODE.lock().unwrap_or_else(PoisonError::into_inner);
    let address = FIRST + code.0 * 4096;
    code.0 += 1;
    code.1.insert(address, Arc::new(script));
    address
}

/// Runs what stands at `rip`; a fault when nothing does.
pub(super) fn run(registers: &mut Registers, table: &dyn PageTable) -> Trap {
    let script = {
        let code = CODE.lock().unwrap_or_else(PoisonError::into_inner);
        code.1.get(&registers.rip).cloned()
    };
    match script {
        Some(script) => script(registers, &Memory { table }),
        None => Trap::PageFault { address: registers.rip, access: FaultAccess::Execute, present: false },
    }
}

/// User memory, as the program itself sees it: an access that cannot be made is a trap.
pub struct Memory<'a> {
    table: &'a dyn PageTable,
}

impl Memory<'_> {
    /// Memory behind page tables, for tests without a program.
    #[must_use]
    pub fn new(table: &dyn PageTable) -> Memory<'_> {
        Memory { table }
    }

    /// Reads bytes.
    ///
    /// # Errors
    ///
    /// The page fault that the access makes.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Trap> {
        match self.table.copy_in(address, into) {
            done if done == into.len() => Ok(()),
            done => Err(self.fault(address + done as u64, FaultAccess::Read)),
        }
    }

    /// Writes bytes.
    ///
    /// # Errors
    ///
    /// The page fault that the access makes.
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), Trap> {
        match self.table.copy_out(address, from) {
            done if done == from.len() => Ok(()),
            done => Err(self.fault(address + done as u64, FaultAccess::Write)),
        }
    }

    fn fault(&self, address: u64, access: FaultAccess) -> Trap {
        let mapped = self.table.get(address & !4095);
        let present = mapped.is_some_and(|mapped| mapped.flags.contains(PageFlags::READ));
        Trap::PageFault { address, access, present }
    }
}
