//! The kernel's own copies to and from a program's memory.

use alloc::boxed::Box;

use base::fault::{self, Point, user_copy};
use base::frame::Frame;
use base::memory::{Access, BoxFuture, UserMemory};
use base::{Errno, Result};
use executor::yield_point;

use super::{AddressSpace, PAGE, page_floor};
use crate::machine::{FaultAccess, PageFlags, USER_END};

/// Pages that one call of `fault_in` makes resident at most: enough for a pipe's worth of bytes, and a bound
/// on what one read with a huge buffer takes before it knows how much there is.
const PAGES_AT_ONCE: u64 = 16;

impl UserMemory for AddressSpace {
    #[inline]
    fn copy_in_nofault(&self, from: u64, into: &mut [u8]) -> usize {
        if fault::is_on() {
            return self.copy_in_or_fail(from, into);
        }
        self.page_table().copy_in(from, into)
    }

    #[inline]
    fn copy_out_nofault(&self, to: u64, from: &[u8]) -> usize {
        if fault::is_on() {
            return self.copy_out_or_fail(to, from);
        }
        self.page_table().copy_out(to, from)
    }

    fn compare_exchange_nofault(&self, at: u64, current: u32, new: u32) -> Option<u32> {
        self.page_table().compare_exchange(at, current, new)
    }

    fn fault_in(&self, at: u64, length: usize, access: Access) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if at >= USER_END {
                return Err(Errno::EFAULT);
            }
            user_copy::check_fault_in(at, length)?;
            let access = match access {
                Access::Read => FaultAccess::Read,
                Access::Write => FaultAccess::Write,
            };
            let last = at.saturating_add((length as u64).max(1) - 1).min(USER_END - 1);
            let first = page_floor(at);
            let mut page = first;
            while page <= last && page - first < PAGES_AT_ONCE * PAGE {
                match self.make_resident(page.max(at), access).await {
                    Ok(()) => page += PAGE,
                    Err(error) if page == first => return Err(error),
                    Err(_) => break,
                }
            }
            Ok(())
        })
    }

    fn copy_out_frame_nofault(&self, to: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        if user_copy::cuts_short(to, Access::Write) {
            return 0;
        }
        self.page_table().copy_out_frame(to, frame, offset, length)
    }

    fn copy_in_frame_nofault(&self, from: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        if user_copy::cuts_short(from, Access::Read) {
            return 0;
        }
        self.page_table().copy_in_frame(from, frame, offset, length)
    }
}

/// Copies while somebody asks for faults. Apart from the others, which are nothing but a call then.
impl AddressSpace {
    #[cold]
    fn copy_in_or_fail(&self, from: u64, into: &mut [u8]) -> usize {
        if user_copy::cuts_short(from, Access::Read) { 0 } else { self.page_table().copy_in(from, into) }
    }

    #[cold]
    fn copy_out_or_fail(&self, to: u64, from: &[u8]) -> usize {
        if user_copy::cuts_short(to, Access::Write) { 0 } else { self.page_table().copy_out(to, from) }
    }
}

impl AddressSpace {
    /// Makes the page of `address` resident for `access`. A drop leaves it resident or not.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the program may not do that there; `ENOMEM` when memory ran out.
    pub(super) async fn make_resident(&self, address: u64, access: FaultAccess) -> Result<()> {
        // A range may be huge, and another thread may take its pages away again and again: however long the caller's
        // loop gets, others run, and a kill gets in.
        yield_point().await;
        let wanted = match access {
            FaultAccess::Read => PageFlags::READ,
            FaultAccess::Write => PageFlags::WRITE,
            FaultAccess::Execute => PageFlags::EXECUTE,
        };
        let mapped = {
            let _state = self.lock();
            self.page_table().get(page_floor(address))
        };
        if mapped.is_some_and(|mapped| mapped.flags.contains(wanted)) {
            return Ok(());
        }
        fault::check(Point::PageAlloc)?;
        // Any further failure would have somebody killed for want of memory that there is.
        let _spared = fault::spare();
        self.handle_fault(address, access).await.map_err(|signal| match signal.signo {
            super::fault::SIGKILL => Errno::ENOMEM,
            _ => Errno::EFAULT,
        })
    }
}
