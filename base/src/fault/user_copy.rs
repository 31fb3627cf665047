//! Copies from and to a program that are made to fail.
//!
//! A copy that comes up short is nothing unusual: whoever made it faults the page in, which says whether the program
//! has any business there, and copies again. So a copy that is to fail copies nothing and remembers its address, and
//! [`check_fault_in`] answers `EFAULT` for that address, once. Address 0, which no copy that could succeed has, is none.

use super::{Point, fires, is_on};
use crate::errno::{Errno, Result};
use crate::{current, memory::Access};

/// True when the copy at `address`, after which the kernel has had `access` to it, is to copy nothing.
#[inline]
#[must_use]
pub fn cuts_short(address: u64, access: Access) -> bool {
    is_on() && fails(address, access)
}

#[cold]
fn fails(address: u64, access: Access) -> bool {
    let point = match access {
        Access::Read => Point::CopyFromUser,
        Access::Write => Point::CopyToUser,
    };
    // A copy that is tried twice before its page is faulted in fails twice.
    if current::with(|task| task.faults().bad_address()) == Some(address) {
        return true;
    }
    if fires(point) {
        current::with(|task| task.faults().set_bad_address(address));
        return true;
    }
    fires(Point::CopyNofault)
}

/// To be asked before `length` bytes at `address` are made resident.
///
/// # Errors
///
/// `EFAULT` when the copy there was made to fail.
#[inline]
pub fn check_fault_in(address: u64, length: usize) -> Result<()> {
    if !is_on() {
        return Ok(());
    }
    let bad = current::with(|task| {
        let bad = task.faults().bad_address();
        task.faults().set_bad_address(0);
        bad
    });
    let range = address..address.saturating_add(length as u64);
    match bad {
        Some(bad @ 1..) if range.contains(&bad) => Err(Errno::EFAULT),
        _ => Ok(()),
    }
}
