//! Making other CPUs forget translations.
//!
//! A [`Batch`] names pages and owns the frames to be freed. It is shared by the mailboxes of the CPUs concerned
//! and, as long as somebody waits, by the waiting future; its frames are freed when the last of them is done,
//! so dropping the future frees nothing early. A CPU looks into its mailbox when the interrupt reaches it: in
//! user mode, in the idle halt, or at the next window. Nobody spins for it.
//!
//! A full mailbox is no loss: the batch goes to a common list, and the CPU forgets everything when it
//! finds the mark.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::machine;
use base::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};
use conquer_once::spin::OnceCell;
use crossbeam_queue::ArrayQueue;
use executor::lock::Completion;
use syscalls::machine::Stale;
use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use super::scattered::FrameChain;
use super::spaces::{self, Core};
use super::table::PAGE;
use crate::arch::trap::interrupts::{self, SHOOT_DOWN};
use crate::boot;
use crate::drivers::local_apic;

/// Batches that wait for one CPU in its own mailbox.
const MAILBOX: usize = 64;
/// With more pages than this, all translations are dropped.
const FEW_PAGES: u64 = 32;

struct Mailbox {
    queue: OnceCell<ArrayQueue<Arc<Batch>>>,
    /// Set when batches for this CPU went to [`OVERFLOW`].
    overflowed: AtomicBool,
}

static MAILBOXES: PerCpu<Mailbox> = PerCpu::from_padded(
    [const { CachePadded(Mailbox { queue: OnceCell::uninit(), overflowed: AtomicBool::new(false) }) };
        MAX_CPUS],
);
static OVERFLOW: SpinLock<Vec<(usize, Arc<Batch>)>> = SpinLock::new(LockClass::RunQueue, Vec::new());
static OVERFLOWS: AtomicU64 = AtomicU64::new(0);
static SENT: AtomicU64 = AtomicU64::new(0);

/// What other CPUs have to forget, and who waits for it.
pub(super) struct Batch {
    /// Frame of the root of the space concerned; none when it is the kernel's half.
    root: Option<u64>,
    /// What is freed with the batch, and the pages to forget.
    stale: Stale,
    _kernel: Option<FrameChain>,
    /// The space is dying: leave it.
    leave: bool,
    /// CPUs that have not answered.
    pending: AtomicUsize,
    /// All have answered.
    answered: Completion,
}

impl Batch {
    /// Does what the batch asks on this CPU, and answers.
    fn acknowledge(&self) {
        match self.root {
            None => tlb::flush_all(),
            Some(root) if root != spaces::loaded_root() => {}
            Some(_) if self.leave => spaces::leave(),
            Some(_) => forget(&self.stale.ranges),
        }
        self.answer();
    }

    fn answer(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.answered.complete();
            if let Some(executor) = boot::executor() {
                executor.outside_source_detach();
            }
        }
    }

    /// Waits until every CPU has answered.
    ///
    /// Dropped midway: nothing is left behind; the batch belongs to the CPUs that have not.
    pub(super) async fn wait(&self) {
        self.answered.wait().await;
    }
}

/// Drops this CPU's translations of the pages of `ranges` in the space that it has loaded.
fn forget(ranges: &[Range<u64>]) {
    let pages: u64 = ranges.iter().map(|range| (range.end - range.start) / PAGE).sum();
    if pages == 0 || pages > FEW_PAGES {
        tlb::flush_all();
        return;
    }
    for address in ranges.iter().flat_map(|range| range.clone().step_by(PAGE as usize)) {
        tlb::flush(VirtAddr::new_truncate(address));
    }
}

/// Drops this CPU's own translations.
pub(super) fn forget_here(core: &Core, ranges: &[Range<u64>]) {
    if core.is_loaded() {
        forget(ranges);
    }
}

/// Sends a batch to the CPUs of `users`, which have the space loaded or had a moment ago. This CPU has forgotten
/// already. With `leave`, the space is dying: they leave it.
pub(super) fn send(core: &Core, users: u64, stale: Stale, leave: bool) -> Arc<Batch> {
    let root = Some(core.tree.root().number());
    let batch = Batch {
        root,
        stale,
        _kernel: None,
        leave,
        pending: AtomicUsize::new(users.count_ones() as usize),
        answered: Completion::new(),
    };
    post(Arc::new(batch), users)
}

/// Makes every CPU forget all translations but global ones; then `freed` is freed.
pub(super) fn forget_everywhere(freed: FrameChain) {
    tlb::flush_all();
    let others = machine::installed().map_or(0, |machine| {
        let others = (0..machine.cpu_count()).filter(|&cpu| cpu != machine.cpu_id());
        others.fold(0u64, |set, cpu| set | 1 << cpu)
    });
    if others == 0 {
        return;
    }
    let batch = Batch {
        root: None,
        stale: Stale::new(),
        _kernel: Some(freed),
        leave: false,
        pending: AtomicUsize::new(others.count_ones() as usize),
        answered: Completion::new(),
    };
    post(Arc::new(batch), others);
}

fn post(batch: Arc<Batch>, users: u64) -> Arc<Batch> {
    SENT.fetch_add(1, Ordering::Relaxed);
    // Answers under way are no deadlock, however idle the CPUs are.
    if let Some(executor) = boot::executor() {
        executor.outside_source_attach();
    }
    for cpu in (0..MAX_CPUS).filter(|cpu| users >> cpu & 1 == 1) {
        let Some(mailbox) = MAILBOXES.get(cpu) else { continue };
        let queue = mailbox.queue.get_or_init(|| ArrayQueue::new(MAILBOX));
        if let Err(batch) = queue.push(batch.clone()) {
            OVERFLOW.lock().push((cpu, batch));
            OVERFLOWS.fetch_add(1, Ordering::Relaxed);
            mailbox.overflowed.store(true, Ordering::Release);
        }
        local_apic::send(cpu, SHOOT_DOWN);
    }
    batch
}

/// Answers what is in this CPU's mailbox. Called by the interrupt, where no lock is held.
pub fn acknowledge() {
    let mailbox = MAILBOXES.this();
    if let Some(queue) = mailbox.queue.get() {
        while let Some(batch) = queue.pop() {
            batch.acknowledge();
        }
    }
    if mailbox.overflowed.swap(false, Ordering::AcqRel) {
        acknowledge_overflow();
    }
}

#[cold]
fn acknowledge_overflow() {
    let cpu = machine::machine().cpu_id();
    loop {
        let found = {
            let mut list = OVERFLOW.lock();
            list.iter().position(|(for_cpu, _)| *for_cpu == cpu).map(|index| list.swap_remove(index))
        };
        let Some((_, batch)) = found else { return };
        batch.acknowledge();
    }
}

/// Batches sent since boot, and how many found a mailbox full.
#[must_use]
pub fn counts() -> (u64, u64) {
    (SENT.load(Ordering::Relaxed), OVERFLOWS.load(Ordering::Relaxed))
}

/// Lets the interrupt reach [`acknowledge`]; once, at boot, before other CPUs start.
pub fn init() {
    interrupts::set_handler(SHOOT_DOWN, acknowledge);
}
