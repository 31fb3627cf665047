//! A set: operations, those who wait, its end.
//!
//! Whoever changes a semaphore does the operations that become possible by it, in the order in which they came,
//! before the lock is free again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use base::caller::{Caller, Capabilities};
use base::charge::Charge;
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Reason, WaitKind};

use super::super::permission::{self, NewOwner, Permissions};
use super::super::sleeper::Sleeper;
use super::super::{Share, now};
use super::SETS_BY_ID;
use super::queue::{Pending, Queue};
use super::undo::UndoList;
use super::values::{Obstacle, Operation, Semaphore, Until, Values};

/// Bytes that a set takes beside its semaphores.
const SET_BYTES: usize = 512;
/// Bytes that a waiting call takes beside its operations.
const PENDING_BYTES: usize = 512;
/// Bytes that a process's adjustments of a set take beside themselves.
const ROW_BYTES: usize = 256;

/// A set of semaphores.
pub struct SemaphoreSet {
    id: i32,
    state: SpinLock<State>,
}

/// What the lock protects.
pub(super) struct State {
    pub(super) permissions: Permissions,
    pub(super) values: Values,
    /// When an operation was done last, in seconds since the epoch.
    pub(super) operated: u64,
    /// When the set was made or changed by semctl(2).
    pub(super) changed: u64,
    pub(super) queue: Queue,
    /// What the ends of processes will add, by undo list.
    rows: BTreeMap<u64, Row>,
    removed: bool,
    share: Option<Share>,
    _charge: Charge,
}

/// What the end of one process, or of those that share its list, will add.
struct Row {
    adjustments: Box<[i16]>,
    list: Weak<UndoList>,
    _charge: Charge,
}

/// The calls that were answered under the lock and are to be woken after it.
#[must_use]
#[derive(Default)]
pub(super) struct Answered(Vec<Arc<Pending>>);

impl Answered {
    fn add(&mut self, pending: Arc<Pending>, answer: Result<()>) {
        pending.sleeper.answer(answer);
        self.0.push(pending);
    }

    /// Wakes them. No lock is held.
    pub(super) fn wake(self) {
        self.0.iter().for_each(|pending| pending.sleeper.wake());
    }
}

impl State {
    /// Does the operations, or says what is in their way.
    fn attempt(
        &mut self,
        operations: &[Operation],
        pid: u32,
        undo: Option<u64>,
    ) -> core::result::Result<(), Obstacle> {
        let adjustments = match undo {
            None => None,
            Some(list) => match self.rows.get_mut(&list) {
                Some(row) => Some(&mut *row.adjustments),
                None => return Err(Obstacle::Error(Errno::EIDRM)),
            },
        };
        self.values.apply(operations, pid, adjustments)?;
        self.operated = now();
        Ok(())
    }

    /// Does what waited for the semaphores `changed`, and what waited for that.
    pub(super) fn serve(&mut self, changed: impl IntoIterator<Item = u16>) -> Answered {
        let mut changed: BTreeSet<u16> = changed.into_iter().collect();
        let mut answered = Answered::default();
        while let Some(semaphore) = changed.pop_first() {
            for until in [Until::Zero, Until::More] {
                self.serve_waiters(semaphore, until, &mut changed, &mut answered);
            }
        }
        answered
    }

    fn serve_waiters(
        &mut self,
        semaphore: u16,
        until: Until,
        changed: &mut BTreeSet<u16>,
        answered: &mut Answered,
    ) {
        let mut from = 0;
        while self.values.get(semaphore).is_some_and(|now| (now.value == 0) == (until == Until::Zero))
            && let Some((ticket, pending)) = self.queue.next(semaphore, until, from)
        {
            from = ticket + 1;
            match self.attempt(&pending.operations, pending.pid, pending.undo) {
                Err(Obstacle::Wait(other, until)) => self.queue.move_to(ticket, other, until),
                outcome => {
                    self.queue.remove(ticket);
                    if outcome.is_ok() {
                        changed.extend(altered(&pending.operations));
                    }
                    answered.add(pending, outcome.map_err(error_of));
                }
            }
        }
    }

    /// Fails once the set is removed.
    ///
    /// # Errors
    ///
    /// `EIDRM`.
    fn check_alive(&self) -> Result<()> {
        if self.removed { Err(Errno::EIDRM) } else { Ok(()) }
    }

    /// Forgets what the ends of processes would add to one semaphore, or to all.
    pub(super) fn forget_adjustments(&mut self, semaphore: Option<u16>) {
        for row in self.rows.values_mut() {
            match semaphore {
                None => row.adjustments.fill(0),
                Some(index) => {
                    if let Some(adjustment) = row.adjustments.get_mut(usize::from(index)) {
                        *adjustment = 0;
                    }
                }
            }
        }
    }
}

/// The semaphores that operations change.
fn altered(operations: &[Operation]) -> impl Iterator<Item = u16> {
    operations.iter().filter(|operation| operation.change != 0).map(|operation| operation.semaphore)
}

/// The error of operations that do not wait.
fn error_of(obstacle: Obstacle) -> Errno {
    match obstacle {
        Obstacle::Error(errno) => errno,
        Obstacle::Wait(..) => Errno::EAGAIN,
    }
}

impl SemaphoreSet {
    /// A set of `count` semaphores, all 0, that the caller pays for.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(
        permissions: Permissions,
        count: usize,
        share: Share,
        caller: &Caller,
    ) -> Result<SemaphoreSet> {
        let charge = Charge::new(&caller.account, SET_BYTES + count * size_of::<Semaphore>())?;
        let state = State {
            permissions,
            values: Values::new(count)?,
            operated: 0,
            changed: now(),
            queue: Queue::default(),
            rows: BTreeMap::new(),
            removed: false,
            share: Some(share),
            _charge: charge,
        };
        Ok(SemaphoreSet { id: permissions.id, state: SpinLock::new(LockClass::SysvObject, state) })
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Takes the lock.
    pub(super) fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// What semget(2) asks of a set that exists.
    pub(super) fn check_get(&self, caller: &Caller, count: usize, flags: i32) -> Result<()> {
        let state = self.lock();
        if count > state.values.0.len() {
            return Err(Errno::EINVAL);
        }
        state.permissions.check(&caller.credentials, flags)
    }

    /// semop(2): does the operations, all at once, and waits until that is possible; `deadline` bounds the wait.
    ///
    /// Dropping the future takes the call out of the queue; operations that were done by then stay done.
    ///
    /// # Errors
    ///
    /// `EFBIG` for a semaphore that is not there; `EACCES`; `ERANGE` when a value or an adjustment would be too
    /// large; `EAGAIN` when an operation may not wait, and at the deadline; `EIDRM` when the set was removed;
    /// `EINTR`; `ENOMEM`.
    pub async fn operate(
        self: &Arc<Self>,
        caller: &Caller,
        undo: Option<&Arc<UndoList>>,
        operations: Box<[Operation]>,
        deadline: Option<Instant>,
    ) -> Result<()> {
        if let Some(list) = undo {
            self.prepare_row(caller, list)?;
        }
        let undo = undo.map(|list| list.id());
        self.check_operations(caller, &operations)?;
        match self.attempt(&operations, caller.pid, undo) {
            Err(Obstacle::Wait(..)) => {}
            outcome => return outcome.map_err(error_of),
        }
        let bytes = PENDING_BYTES + size_of_val(&*operations);
        let pending = Arc::new(Pending {
            operations,
            pid: caller.pid,
            undo,
            sleeper: Sleeper::new(WaitKind::SysvSemaphore, self.id),
            _charge: Charge::new(&caller.account, bytes)?,
        });
        let Some(ticket) = self.enqueue(&pending)? else { return Ok(()) };
        let place = InQueue { set: self, ticket };
        let reason = match pending.sleeper.wait(deadline).await {
            Ok(answer) => return answer,
            Err(reason) => reason,
        };
        drop(place);
        // It may have been answered before it left the queue.
        pending.sleeper.take().unwrap_or(Err(match reason {
            Reason::Timeout => Errno::EAGAIN,
            _ => Errno::EINTR,
        }))
    }

    fn check_operations(&self, caller: &Caller, operations: &[Operation]) -> Result<()> {
        let state = self.lock();
        let count = state.values.0.len();
        if operations.iter().any(|operation| usize::from(operation.semaphore) >= count) {
            return Err(Errno::EFBIG);
        }
        let alters = altered(operations).next().is_some();
        let wanted = if alters { permission::WRITE } else { permission::READ };
        state.permissions.check(&caller.credentials, wanted)?;
        state.check_alive()
    }

    /// Does the operations if that is possible now, and what becomes possible by them.
    fn attempt(
        &self,
        operations: &[Operation],
        pid: u32,
        undo: Option<u64>,
    ) -> core::result::Result<(), Obstacle> {
        let answered = {
            let mut state = self.lock();
            state.check_alive().map_err(Obstacle::Error)?;
            state.attempt(operations, pid, undo)?;
            state.serve(altered(operations))
        };
        answered.wake();
        Ok(())
    }

    /// Tries once more, and puts the call into the queue in the same step; its ticket, or `None` when the
    /// operations are done.
    fn enqueue(&self, pending: &Arc<Pending>) -> Result<Option<u64>> {
        let answered = {
            let mut state = self.lock();
            state.check_alive()?;
            match state.attempt(&pending.operations, pending.pid, pending.undo) {
                Err(Obstacle::Wait(semaphore, until)) => {
                    return Ok(Some(state.queue.add(pending.clone(), semaphore, until)));
                }
                Err(Obstacle::Error(errno)) => return Err(errno),
                Ok(()) => state.serve(altered(&pending.operations)),
            }
        };
        answered.wake();
        Ok(None)
    }

    /// Makes the place for what the end of the processes of `list` will add.
    fn prepare_row(self: &Arc<Self>, caller: &Caller, list: &Arc<UndoList>) -> Result<()> {
        let count = {
            let state = self.lock();
            if state.rows.contains_key(&list.id()) {
                return Ok(());
            }
            state.values.0.len()
        };
        let charge = Charge::new(&caller.account, ROW_BYTES + count * size_of::<i16>())?;
        let adjustments = alloc::vec![0; count].into_boxed_slice();
        list.remember(self);
        let row = Row { adjustments, list: Arc::downgrade(list), _charge: charge };
        let mut state = self.lock();
        if state.removed {
            drop(state);
            list.forget(self.id);
            return Err(Errno::EIDRM);
        }
        // Another thread that shares the list may have been faster.
        state.rows.entry(list.id()).or_insert(row);
        Ok(())
    }

    /// Adds what the process of list `list`, whose last thread was of process `pid`, leaves to be taken back.
    pub(super) fn undo(&self, list: u64, pid: u32) {
        let answered = {
            let mut state = self.lock();
            let Some(row) = state.rows.remove(&list) else { return };
            state.values.adjust(&row.adjustments, pid);
            state.operated = now();
            let changed = |(index, adjustment): (u16, &i16)| (*adjustment != 0).then_some(index);
            state.serve((0..).zip(&*row.adjustments).filter_map(changed))
        };
        answered.wake();
    }

    /// `IPC_SET`: changes who owns the set.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged; `EINVAL` for an id that is none; `EIDRM`.
    pub fn set_owner(&self, caller: &Caller, new: NewOwner) -> Result<()> {
        let mut state = self.lock();
        state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
        state.check_alive()?;
        state.permissions.set(new)?;
        state.changed = now();
        Ok(())
    }

    /// `IPC_RMID`: removes the set; whoever waits is told so.
    ///
    /// # Errors
    ///
    /// `EPERM` when the caller is neither owner nor privileged; `EIDRM`.
    pub fn remove(&self, caller: &Caller) -> Result<()> {
        let (answered, rows, share) = {
            let mut state = self.lock();
            state.permissions.check_owner(&caller.credentials, Capabilities::SYS_ADMIN)?;
            state.check_alive()?;
            state.removed = true;
            let mut answered = Answered::default();
            state.queue.drain().for_each(|pending| answered.add(pending, Err(Errno::EIDRM)));
            (answered, core::mem::take(&mut state.rows), state.share.take())
        };
        SETS_BY_ID.remove(self.id);
        drop(share);
        answered.wake();
        for row in rows.into_values() {
            if let Some(list) = row.list.upgrade() {
                list.forget(self.id);
            }
        }
        Ok(())
    }
}

/// A call in the queue of a set; its drop takes it out.
struct InQueue<'a> {
    set: &'a SemaphoreSet,
    ticket: u64,
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        let removed = self.set.lock().queue.remove(self.ticket);
        drop(removed);
    }
}
