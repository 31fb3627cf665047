//! The vDSO: pages of the kernel that every program sees, its data page right before its code.

use alloc::sync::Arc;

use base::Result;
use base::frame::Frame;

use super::map::Place;
use super::placement::Window;
use super::region::{Backing, KernelPages, RegionFlags};
use super::{AddressSpace, MapRequest, PAGE};
use crate::machine::{PageFlags, user_machine};

/// Maps the vDSO; the address of its code, or `None` when it is turned off.
/// Dropping the future leaves it mapped or not.
///
/// # Errors
///
/// `ENOMEM` when there is no room for it.
pub async fn map(space: &Arc<AddressSpace>) -> Result<Option<u64>> {
    let Some(vdso) = user_machine().vdso() else { return Ok(None) };
    let data_length = vdso.data.len() as u64 * PAGE;
    let length = data_length + vdso.code.len() as u64 * PAGE;
    let start = {
        let state = space.lock();
        state.placement.find(&state.regions, length, Window::Any).ok_or(base::Errno::ENOMEM)?
    };
    let code = start + data_length;
    map_pages(space, start, "[vvar]", &vdso.data, PageFlags::READ).await?;
    map_pages(space, code, "[vdso]", &vdso.code, PageFlags::READ | PageFlags::EXECUTE).await?;
    Ok(Some(code))
}

async fn map_pages(
    space: &AddressSpace,
    start: u64,
    name: &'static str,
    frames: &'static [Frame],
    access: PageFlags,
) -> Result<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let request = MapRequest {
        place: Place::FixedNoReplace,
        allowed: access,
        flags: RegionFlags::DONT_EXPAND | RegionFlags::DONT_DUMP,
        backing: Backing::Kernel(KernelPages { name, frames }),
        ..MapRequest::anonymous(frames.len() as u64 * PAGE, access).fixed(start)
    };
    space.map(request).await?;
    Ok(())
}
