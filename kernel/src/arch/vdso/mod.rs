//! The vDSO's image and its clock page, in frames that every program maps.

#[allow(dead_code, reason = "the image reads what this program writes")]
mod clock_page;

use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;

use base::frame::{Frame, PAGE_SIZE};
use base::sync::{LockClass, Once, SpinLock};
use base::{Result, machine};
use syscalls::machine::Vdso;

use self::clock_page::ClockPage;
use super::features::Features;
use crate::drivers::clock::Relation;

/// The ELF image; build.rs makes it.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));

static VDSO: Once<Vdso> = Once::new();
static WRITERS: SpinLock<()> = SpinLock::new(LockClass::Timer, ());

/// Puts the image and the clock page into frames of their own. Once, at boot.
///
/// # Errors
///
/// `ENOMEM`.
pub fn prepare(relation: Relation, wall_offset: Duration) -> Result<()> {
    let mut code = Vec::new();
    for part in IMAGE.chunks(PAGE_SIZE) {
        let frame = Frame::zeroed()?;
        frame.write(0, part);
        code.push(frame);
    }
    let data = Vec::from([Frame::zeroed()?]);
    VDSO.call_once(|| Vdso { data, code });
    set_clock(relation, wall_offset);
    Ok(())
}

/// The vDSO, once it is prepared.
pub(super) fn get() -> Option<&'static Vdso> {
    VDSO.get()
}

/// Tells programs how counter, monotonic clock and wall clock (`wall_offset` ahead of it) hang together.
pub fn set_clock(relation: Relation, wall_offset: Duration) {
    let Some(frame) = get().and_then(|vdso| vdso.data.first()) else { return };
    let _one_writer = WRITERS.lock();
    let page: *const ClockPage = machine().frames().base(frame.number()).cast();
    // SAFETY: F2 of base::frame: the frame is never freed, a page is larger and better aligned than the
    // structure, and programs, for which it is read-only, only ever see atomics.
    let page = unsafe { &*page };
    let sequence = page.sequence.load(Ordering::Relaxed);
    page.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    page.numbers_cpus.store(u32::from(Features::get().rdtscp), Ordering::Relaxed);
    page.base_ticks.store(relation.ticks, Ordering::Relaxed);
    page.base.store(relation.nanoseconds, Ordering::Relaxed);
    page.scale.store(relation.scale, Ordering::Relaxed);
    page.wall_offset.store(wall_offset.as_nanos() as u64, Ordering::Relaxed);
    page.sequence.store(sequence.wrapping_add(2), Ordering::Release);
}
