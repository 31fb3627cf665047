//! The future of a wait.

use core::future::Future;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::task::{Context, Poll};

use base::machine;
use base::time::Instant;

use super::counters;
use super::events::{Events, Reason};
use super::node::{Node, Phase};
use super::source::{Seq, WaitSource};
use crate::cpu;
use crate::disturbance::{self, delayed};
use crate::task::{Awaited, Task, TaskFlags};
use crate::timer::node::{Target, TimerNode};

/// How to wait: what ends the wait besides a wake.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    interruptible: bool,
    deadline: Option<Instant>,
    events: Events,
}

impl Wait {
    /// A wait that an interruption of the task ends with [`Reason::Signal`].
    #[must_use]
    pub const fn interruptible() -> Wait {
        Wait { interruptible: true, deadline: None, events: Events::all() }
    }

    /// A wait that only a wake ends (or the drop of its future).
    #[must_use]
    pub const fn uninterruptible() -> Wait {
        Wait { interruptible: false, deadline: None, events: Events::all() }
    }

    /// The same, until `deadline` at most: then it ends with [`Reason::Timeout`]. `None` means for
    /// ever.
    #[must_use]
    pub fn until(mut self, deadline: impl Into<Option<Instant>>) -> Wait {
        self.deadline = deadline.into();
        self
    }

    /// The same, but only wakes that concern `events` end it. Errors and hang-ups always do.
    #[must_use]
    pub const fn events(mut self, events: Events) -> Wait {
        self.events = events;
        self
    }
}

/// What a wait does at its two ends; plain waits and the locks differ here.
pub(crate) trait Protocol {
    /// The source to wait on.
    fn source(&self) -> &WaitSource;

    /// Edge 1: links the node, or says why there is no need to wait.
    ///
    /// # Safety
    ///
    /// As for [`WaitSource::link`].
    unsafe fn link(&self, node: &Node, waker: &core::task::Waker) -> Option<Reason>;

    /// Edge 6: a wake that was meant for one waiter came to `node` and was not consumed.
    fn decline(&self, node: &Node);

    /// Edge 4: the waiter left without having been woken.
    fn left(&self) {}
}

/// A plain wait, since `seen`.
pub(crate) struct Plain<'a> {
    source: &'a WaitSource,
    seen: Seq,
}

impl<'a> Plain<'a> {
    #[inline(always)]
    pub(super) fn new(source: &'a WaitSource, seen: Seq) -> Plain<'a> {
        Plain { source, seen }
    }
}

impl Protocol for Plain<'_> {
    #[inline]
    fn source(&self) -> &WaitSource {
        self.source
    }

    #[inline]
    unsafe fn link(&self, node: &Node, waker: &core::task::Waker) -> Option<Reason> {
        // SAFETY: the caller's promise.
        unsafe { self.source.link_unless_moved(node, waker, self.seen) }
    }

    fn decline(&self, node: &Node) {
        self.source.pass_on_from(node);
    }
}

impl WaitSource {
    /// Waits for a wake that came after `seen`; at once when it has come already.
    ///
    /// The caller looks at its condition between [`observe`](WaitSource::observe) and this call, and
    /// again after every reason but `Signal` and `Timeout`. A wake that comes together with a signal
    /// or a deadline wins.
    ///
    /// Dropped midway: the waiter leaves the source in O(1), and a wake-one that had already come to
    /// it goes to the next waiter. Once the wait is over the wake is the caller's: one that awaits anything
    /// before it has used it waits with a [`Baton`](super::Baton).
    #[inline(always)]
    pub fn wait(&self, seen: Seq, wait: Wait) -> WaitFuture<'_> {
        WaitFuture(Waiting::new(Plain::new(self, seen), wait))
    }
}

/// The future of [`WaitSource::wait`].
#[must_use = "nothing is waited for unless it is awaited"]
pub struct WaitFuture<'a>(Waiting<Plain<'a>>);

impl<'a> WaitFuture<'a> {
    /// False of a wait that was over before it began, because the sequence had moved: no waker has counted it. Callers
    /// whose wakers are told whom they woke look again then, and wait again.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.node.was_linked()
    }

    /// Of a wait that is over: the wake that ended it, if that was meant for one waiter.
    #[inline]
    pub(super) fn wake_for_one(&self) -> Option<(&'a WaitSource, Events)> {
        self.0.wake_for_one()
    }

    /// Ends the wait now: the reason of a wake that came first, which is consumed with this. Nothing when none came, or
    /// the wait was over already.
    pub fn give_up(self: Pin<&mut Self>) -> Option<Reason> {
        self.into_ref().get_ref().0.give_up()
    }
}

impl Future for WaitFuture<'_> {
    type Output = Reason;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reason> {
        // SAFETY: the one field is pinned with the whole.
        unsafe { self.map_unchecked_mut(|future| &mut future.0) }.poll(context)
    }
}

/// A wait in motion: the node, the deadline, and the protocol.
pub(crate) struct Waiting<P: Protocol> {
    protocol: P,
    wait: Wait,
    node: Node,
    timer: TimerNode,
    _pinned: PhantomPinned,
}

impl<'a> Waiting<Plain<'a>> {
    /// Of a wait that is over: the source and the events of the wake that ended it, if that was meant for one waiter.
    #[inline]
    pub(super) fn wake_for_one(&self) -> Option<(&'a WaitSource, Events)> {
        self.node.was_the_one().then(|| (self.protocol.source, self.node.woken_with()))
    }
}

impl<P: Protocol> Waiting<P> {
    #[inline(always)]
    pub(crate) fn new(protocol: P, wait: Wait) -> Self {
        let node = Node::new(wait.events);
        Waiting { protocol, wait, node, timer: TimerNode::new(), _pinned: PhantomPinned }
    }

    /// Edge 1 of the node's life, or an end before it began.
    #[inline(always)]
    fn begin(&self, context: &Context<'_>) -> Poll<Reason> {
        // SAFETY: N1, N5: the node is idle and pinned in `self`, whose drop detaches it; the
        // protocol borrows the source for as long.
        if let Some(reason) = unsafe { self.protocol.link(&self.node, context.waker()) } {
            counters::count_skipped(cpu::this());
            return self.end_aside(reason);
        }
        if let Some(deadline) = self.wait.deadline {
            if deadline <= machine::now() {
                return self.leave(Reason::Timeout);
            }
            arm(&self.timer, deadline, context);
        }
        let source = self.protocol.source();
        let interrupted = with_task(|task| {
            task.record_wait(Awaited::Source(source), self.wait.events, self.wait.deadline);
            self.wait.interruptible && task.flags().contains(TaskFlags::INTERRUPT)
        });
        let is_cut_short = counters::is_noted(source.kind()) && self.note_begin();
        if interrupted || is_cut_short { self.resume(self.leave(Reason::Signal)) } else { Poll::Pending }
    }

    /// Notes that the wait has begun; true when a fault point cuts it short.
    #[cold]
    fn note_begin(&self) -> bool {
        let source = self.protocol.source();
        counters::note_block(source.kind(), source.object(), self.wait.events, self.wait.deadline);
        self.wait.interruptible && disturbance::cuts_wait_short()
    }

    /// Polled while linked: by the timer, by an interruption, or for nothing.
    fn look(&self, context: &Context<'_>) -> Poll<Reason> {
        if self.wait.deadline.is_some() && !self.timer.is_armed() {
            return self.leave(Reason::Timeout);
        }
        if self.wait.interruptible && with_task(|task| task.flags().contains(TaskFlags::INTERRUPT)) {
            return self.leave(Reason::Signal);
        }
        // SAFETY: this future owns the node and linked it to this source.
        unsafe { self.protocol.source().refresh(&self.node, context.waker()) };
        match self.node.phase() {
            Phase::Woken { reason, .. } => self.end_aside(reason),
            _ => Poll::Pending,
        }
    }

    /// Notes the end of a wait that had begun, if this is it.
    #[inline]
    fn resume(&self, polled: Poll<Reason>) -> Poll<Reason> {
        if let Poll::Ready(reason) = polled {
            let source = self.protocol.source();
            counters::ended(source.kind(), source.object(), reason, wait_began);
        }
        polled
    }

    /// Edge 4 because of `reason`; a wake that came first wins.
    fn leave(&self, reason: Reason) -> Poll<Reason> {
        // SAFETY: this future owns the node and linked it to this source.
        match unsafe { self.protocol.source().detach(&self.node) } {
            Phase::Woken { reason, .. } => self.end_aside(reason),
            _ => {
                self.protocol.left();
                self.end_aside(reason)
            }
        }
    }

    /// Edge 4 because the owner has lost interest, or edge 5 if a wake came first.
    fn give_up(&self) -> Option<Reason> {
        let phase = match self.node.phase() {
            // SAFETY: this future owns the node and linked it to this source.
            Phase::Linked => unsafe { self.protocol.source().detach(&self.node) },
            phase => phase,
        };
        let reason = match phase {
            Phase::Woken { reason, .. } => Some(reason),
            Phase::Linked => {
                self.protocol.left();
                None
            }
            Phase::Idle | Phase::Done => None,
        };
        self.node.finish();
        self.timer.cancel();
        reason
    }

    /// Edge 5, or the end of a wait that did not begin.
    #[inline(always)]
    fn end(&self, reason: Reason) -> Poll<Reason> {
        self.node.finish();
        if self.wait.deadline.is_some() {
            self.timer.cancel();
        }
        // Close replaces Data and Hup, even when it came after the wake.
        let reason = match reason {
            Reason::Data | Reason::Hup if self.protocol.source().is_closed() => Reason::Close,
            reason => reason,
        };
        told(Awaited::Source(self.protocol.source()), reason);
        Poll::Ready(reason)
    }

    /// [`end`](Self::end) where it is not what mostly happens: out of line.
    #[cold]
    #[inline(never)]
    fn end_aside(&self, reason: Reason) -> Poll<Reason> {
        self.end(reason)
    }

    /// What a drop does before the end.
    #[cold]
    fn drop_midway(&self, phase: Phase) {
        let phase = match phase {
            // SAFETY: this future owns the node and linked it to this source.
            Phase::Linked => unsafe { self.protocol.source().detach(&self.node) },
            phase => phase,
        };
        match phase {
            Phase::Woken { one: true, .. } => self.protocol.decline(&self.node),
            Phase::Linked => self.protocol.left(),
            _ => {}
        }
    }
}

/// Asks the task that is polled here; false when there is none.
#[inline]
fn with_task(ask: impl FnOnce(&Task) -> bool) -> bool {
    cpu::this().and_then(|cpu| cpu.with_current(ask)).unwrap_or(false)
}

/// Publishes and counts how a wait of the task that is polled here ended.
#[inline]
fn told(on: Awaited<'_>, reason: Reason) {
    if let Some(cpu) = cpu::this() {
        counters::count_reason(cpu, reason);
        cpu.with_current(|task| task.record_wake(on, reason));
    }
}

/// When the wait of the task that is polled here began.
fn wait_began() -> Instant {
    let began = |task: &Task| task.last_wait().map_or(Instant::BOOT, |wait| wait.since);
    cpu::this().and_then(|cpu| cpu.with_current(began)).unwrap_or(Instant::BOOT)
}

impl<P: Protocol> Future for Waiting<P> {
    type Output = Reason;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reason> {
        let this = self.into_ref().get_ref();
        match this.node.phase() {
            Phase::Woken { reason, .. } => this.resume(this.end(reason)),
            Phase::Idle => this.begin(context),
            Phase::Linked => this.resume(this.look(context)),
            // Polled after it was ready: the answer that makes the caller look again.
            Phase::Done => Poll::Ready(Reason::Data),
        }
    }
}

impl<P: Protocol> Drop for Waiting<P> {
    #[inline]
    fn drop(&mut self) {
        match self.node.phase() {
            Phase::Idle | Phase::Done => {}
            phase => self.drop_midway(phase),
        }
    }
}

/// Arms `timer` to wake the polling task.
fn arm(timer: &TimerNode, deadline: Instant, context: &Context<'_>) {
    let cpu = cpu::this_or_first();
    let keeping = cpu.with_current(|task| !task.is_daemon()).unwrap_or(true);
    let target = Target::Wake(context.waker().clone());
    // SAFETY: T1: the callers own the node, which is idle and pinned in their future, and whose drop
    // cancels it.
    unsafe { timer.arm(cpu.wheel(), delayed(deadline), target, keeping) };
    cpu.deadline_added();
}

/// Waits for what `wait` names besides a wake: an interruption, a deadline. For pause and nanosleep.
///
/// Dropped midway: nothing is left behind.
pub fn suspend(kind: super::WaitKind, wait: Wait) -> Suspend {
    Suspend { kind, wait, timer: TimerNode::new(), begun: false, _pinned: PhantomPinned }
}

/// The future of [`suspend`].
#[must_use = "nothing is waited for unless it is awaited"]
pub struct Suspend {
    kind: super::WaitKind,
    wait: Wait,
    timer: TimerNode,
    begun: bool,
    _pinned: PhantomPinned,
}

impl Future for Suspend {
    type Output = Reason;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reason> {
        // SAFETY: nothing is moved out of the pinned future.
        let this = unsafe { self.get_unchecked_mut() };
        let (kind, begun) = (this.kind, this.begun);
        let end = |reason| {
            if begun {
                counters::ended(kind, 0, reason, wait_began);
            }
            told(Awaited::Nothing(kind), reason);
            Poll::Ready(reason)
        };
        if this.wait.deadline.is_some_and(|deadline| deadline <= machine::now()) {
            this.timer.cancel();
            return end(Reason::Timeout);
        }
        if this.wait.interruptible && with_task(|task| task.flags().contains(TaskFlags::INTERRUPT)) {
            this.timer.cancel();
            return end(Reason::Signal);
        }
        if let Some(deadline) = this.wait.deadline
            && !this.timer.is_armed()
        {
            arm(&this.timer, deadline, context);
        }
        if !this.begun {
            this.begun = true;
            if this.wait.interruptible && disturbance::cuts_wait_short() {
                this.timer.cancel();
                return end(Reason::Signal);
            }
            let (kind, deadline) = (this.kind, this.wait.deadline);
            with_task(|task| {
                task.record_wait(Awaited::Nothing(kind), Events::empty(), deadline);
                false
            });
            if counters::is_noted(kind) {
                counters::note_block(kind, 0, Events::empty(), deadline);
            }
        }
        Poll::Pending
    }
}

/// Sleeps until `deadline`, whatever else happens.
///
/// Dropped midway: nothing is left behind.
pub async fn sleep_until(deadline: Instant) {
    suspend(super::WaitKind::Sleep, Wait::uninterruptible().until(deadline)).await;
}
