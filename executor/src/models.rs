//! Models for the checker loom: every interleaving, and every reordering that the memory orders
//! allow, of a few small protocols.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p executor --lib --target-dir target/loom`

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::NonNull;
use core::task::Waker;
use std::task::Wake;

use base::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use base::time::Instant;
use loom::sync::Notify;
use loom::thread;

use crate::idleness::Idleness;
use crate::inbox::{Chained, Inbox};
use crate::pollwait::node::{Node, Phase};
use crate::pollwait::{Events, Reason, Seq, WaitKind, WaitSource, Watch, Watcher};
use crate::timer::WheelLock;
use crate::timer::node::{Target, TimerNode, fire_due};

/// A waker that counts.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (Arc::clone(&count), Waker::from(count))
}

/// A waker that lets its thread go on.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn source() -> Arc<WaitSource> {
    source_of(0)
}

fn source_of(object: u64) -> Arc<WaitSource> {
    Arc::new(WaitSource::new(WaitKind::Other, object))
}

/// A boxed node that behaves like the future that embeds it.
struct Waiter {
    node: Box<Node>,
    source: Arc<WaitSource>,
}

impl Waiter {
    fn new(source: &Arc<WaitSource>) -> Waiter {
        Waiter { node: Box::new(Node::new(Events::all())), source: Arc::clone(source) }
    }

    /// Edge 1; the reason when there is no need to wait.
    fn link(&self, seen: Seq, waker: &Waker) -> Option<Reason> {
        // SAFETY: N1: the box stays, and `drop` detaches the node; N5: the source is kept.
        unsafe { self.source.link_unless_moved(&self.node, waker, seen) }
    }

    fn phase(&self) -> Phase {
        self.node.phase()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let phase = match self.node.phase() {
            // SAFETY: the waiter owns the node and linked it to this source.
            Phase::Linked => unsafe { self.source.detach(&self.node) },
            phase => phase,
        };
        if let Phase::Woken { one: true, .. } = phase {
            self.source.pass_on_from(&self.node);
        }
    }
}

struct Letter {
    next: AtomicPtr<Letter>,
}

// SAFETY: the one link of the letter.
unsafe impl Chained for Letter {
    fn next(&self) -> &AtomicPtr<Letter> {
        &self.next
    }
}

#[test]
fn inbox_one_bell_is_enough_for_a_burst() {
    loom::model(|| {
        let inbox = Arc::new(Inbox::<Letter>::new());
        let bell = Arc::new(Notify::new());
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let (inbox, bell) = (Arc::clone(&inbox), Arc::clone(&bell));
                thread::spawn(move || {
                    let letter = Box::new(Letter { next: AtomicPtr::new(core::ptr::null_mut()) });
                    // SAFETY: I1: the letter is given away.
                    if unsafe { inbox.push(NonNull::from(Box::leak(letter))) } {
                        bell.notify();
                    }
                })
            })
            .collect();
        let mut received = 0;
        while received < 2 {
            bell.wait();
            for letter in inbox.take_all() {
                // SAFETY: I1: it came from a box and is ours now.
                drop(unsafe { Box::from_raw(letter.as_ptr()) });
                received += 1;
            }
        }
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(inbox.is_empty());
    });
}

#[test]
fn node_no_wake_is_lost_between_look_and_sleep() {
    loom::model(|| {
        let source = source();
        let ready = Arc::new(AtomicBool::new(false));
        let waker = {
            let (source, ready) = (Arc::clone(&source), Arc::clone(&ready));
            thread::spawn(move || {
                ready.store(true, Ordering::Relaxed);
                source.wake_one(Events::IN, Reason::Data);
            })
        };
        let go_on = Waker::from(Arc::new(Unpark(thread::current())));
        let seen = source.observe();
        if !ready.load(Ordering::Relaxed) {
            let waiter = Waiter::new(&source);
            if waiter.link(seen, &go_on).is_none() {
                while waiter.phase() == Phase::Linked {
                    thread::park();
                }
            }
            // The wake that ended the wait carries the change with it.
            assert!(ready.load(Ordering::Relaxed));
        }
        waker.join().unwrap();
        assert_eq!(source.waiting(), 0);
    });
}

#[test]
fn node_a_dropped_waiter_hands_its_wake_on() {
    loom::model(|| {
        let source = source();
        let (_, ignored) = counting();
        let (woken, waker) = counting();
        let first = Waiter::new(&source);
        let second = Waiter::new(&source);
        assert_eq!(first.link(source.observe(), &ignored), None);
        assert_eq!(second.link(source.observe(), &waker), None);
        let other = {
            let source = Arc::clone(&source);
            thread::spawn(move || source.wake_one(Events::IN, Reason::Data))
        };
        drop(first);
        assert_eq!(other.join().unwrap(), 1);
        assert!(matches!(second.phase(), Phase::Woken { reason: Reason::Data, one: true }));
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
    });
}

#[test]
fn node_two_wakes_do_not_mix_their_reasons() {
    loom::model(|| {
        let source = source();
        let (woken, waker) = counting();
        let waiter = Waiter::new(&source);
        assert_eq!(waiter.link(source.observe(), &waker), None);
        let wakers: Vec<_> = [Reason::Data, Reason::Hup]
            .map(|reason| {
                let source = Arc::clone(&source);
                thread::spawn(move || (reason, source.wake_all(Events::IN, reason)))
            })
            .into();
        // The owner may look, and go, at any time.
        let early = waiter.phase();
        let results: Vec<_> = wakers.into_iter().map(|waker| waker.join().unwrap()).collect();
        let winner = results.iter().find(|(_, count)| *count == 1).map(|(reason, _)| *reason);
        assert_eq!(results.iter().map(|(_, count)| count).sum::<usize>(), 1);
        assert_eq!(Some(waiter.phase()), winner.map(|reason| Phase::Woken { reason, one: false }));
        assert!(early == Phase::Linked || early == waiter.phase());
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
    });
}

#[test]
fn node_memory_may_go_as_soon_as_the_reason_is_seen() {
    loom::model(|| {
        let source = source();
        let (_, waker) = counting();
        let waiter = Waiter::new(&source);
        assert_eq!(waiter.link(source.observe(), &waker), None);
        let other = {
            let source = Arc::clone(&source);
            thread::spawn(move || source.wake_all(Events::IN, Reason::Data))
        };
        if let Phase::Woken { .. } = waiter.phase() {
            waiter.node.finish();
        }
        // Freed here, woken or not.
        drop(waiter);
        other.join().unwrap();
        assert_eq!(source.waiting(), 0);
    });
}

#[test]
fn requeue_against_a_drop_and_a_wake_on_the_target() {
    loom::model(|| {
        let (one, two) = (source_of(1), source_of(2));
        let (_, waker) = counting();
        let leaving = Waiter::new(&one);
        let staying = Waiter::new(&one);
        assert_eq!(leaving.link(one.observe(), &waker), None);
        assert_eq!(staying.link(one.observe(), &waker), None);
        let mover = {
            let (one, two) = (Arc::clone(&one), Arc::clone(&two));
            thread::spawn(move || {
                one.requeue(0, 2, &two);
                two.wake_one(Events::IN, Reason::Data);
            })
        };
        drop(leaving);
        mover.join().unwrap();
        // The wake on the target reached the one that stayed, directly or handed on.
        assert!(matches!(staying.phase(), Phase::Woken { .. }));
        assert_eq!((one.waiting(), two.waiting()), (0, 0));
    });
}

#[test]
fn requeue_twice_against_a_drop() {
    loom::model(|| {
        let (one, two) = (source_of(1), source_of(2));
        let (_, waker) = counting();
        let waiter = Waiter::new(&one);
        assert_eq!(waiter.link(one.observe(), &waker), None);
        let mover = {
            let one = Arc::clone(&one);
            thread::spawn(move || {
                let three = source_of(3);
                one.requeue(0, 1, &two);
                two.requeue(0, 1, &three);
                drop(two);
                drop(three);
            })
        };
        drop(waiter);
        mover.join().unwrap();
        assert_eq!(one.waiting(), 0);
    });
}

#[test]
fn timer_cancel_against_fire() {
    loom::model(|| {
        // Wheels live for ever; this one is taken back when the model's threads are gone.
        let wheel = Box::into_raw(Box::new(WheelLock::new()));
        // SAFETY: freed after every use, below.
        let shared: &'static WheelLock = unsafe { &*wheel };
        let (fired, waker) = counting();
        let timer = Box::new(TimerNode::new());
        // SAFETY: T1: the timer is boxed, new, and cancelled by its drop.
        unsafe { timer.arm(shared, Instant::from_nanos(5), Target::Wake(waker), true) };
        let firing = thread::spawn(move || fire_due(shared, Instant::from_nanos(9)));
        let cancelled = timer.cancel();
        assert!(!timer.is_armed());
        drop(timer);
        firing.join().unwrap();
        assert_eq!(usize::from(!cancelled), fired.0.load(Ordering::Acquire));
        assert_eq!(shared.armed(), (0, 0));
        // SAFETY: nobody uses the wheel any more.
        drop(unsafe { Box::from_raw(wheel) });
    });
}

impl Watcher for Count {
    fn notify(&self, _events: Events, _reason: Reason) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn watch_leaves_while_it_is_told() {
    loom::model(|| {
        let source = source();
        let told: Vec<_> = (0..2).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        let watches: Vec<_> = told
            .iter()
            .map(|count| Watch::new(&source, Arc::clone(count) as Arc<dyn Watcher>, Events::IN))
            .collect();
        let waker = {
            let source = Arc::clone(&source);
            thread::spawn(move || source.wake_all(Events::IN, Reason::Data))
        };
        let mut watches = watches.into_iter();
        let stays = watches.next();
        drop(watches);
        waker.join().unwrap();
        assert_eq!(told[0].0.load(Ordering::Acquire), 1);
        assert!(told[1].0.load(Ordering::Acquire) <= 1);
        drop(stays);
        assert!(!source.has_waiters());
    });
}

/// CPU 1, idle, answers a request of CPU 0, looks for work and is idle again, and takes its look for a deadlock
/// while CPU 0 runs the task that was waiting, which asks it something else.
#[test]
fn idle_is_not_final_while_an_answer_is_under_way() {
    loom::model(|| {
        let idleness = Arc::new(Idleness::new());
        let (inbox, bell) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        idleness.arrive(0);
        idleness.arrive(1);
        idleness.attach();
        idleness.enter(1);
        idleness.enter(0);
        let asker = {
            let (idleness, inbox, bell) = (Arc::clone(&idleness), Arc::clone(&inbox), Arc::clone(&bell));
            thread::spawn(move || {
                bell.wait();
                idleness.leave(0);
                assert!(inbox.swap(false, Ordering::AcqRel));
                idleness.attach();
                if idleness.enter(0) {
                    assert!(!idleness.is_final(|| inbox.load(Ordering::Acquire)));
                }
            })
        };
        inbox.store(true, Ordering::Release);
        bell.notify();
        idleness.detach();
        idleness.leave(1);
        if idleness.enter(1) {
            assert!(!idleness.is_final(|| inbox.load(Ordering::Acquire)));
        }
        asker.join().unwrap();
    });
}

/// When nothing is under way, whichever of two CPUs is idle last finds it out.
#[test]
fn idle_for_good_is_found() {
    loom::model(|| {
        let idleness = Arc::new(Idleness::new());
        let found = Arc::new(AtomicUsize::new(0));
        idleness.arrive(0);
        idleness.arrive(1);
        let look = |idleness: &Idleness, found: &AtomicUsize, cpu| {
            if idleness.enter(cpu) && idleness.is_final(|| false) {
                found.fetch_add(1, Ordering::AcqRel);
            }
        };
        let other = {
            let (idleness, found) = (Arc::clone(&idleness), Arc::clone(&found));
            thread::spawn(move || look(&idleness, &found, 1))
        };
        look(&idleness, &found, 0);
        other.join().unwrap();
        assert!(found.load(Ordering::Acquire) > 0);
    });
}
