//! The wheel against a naive model.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use std::sync::Mutex;

use base::time::Instant;
use proptest::prelude::*;

use super::WheelLock;
use super::node::{Target, TimerNode, TimerTarget, fire_due};

#[derive(Clone, Debug)]
enum Step {
    Arm(usize, u64),
    Cancel(usize),
    Advance(u64),
}

/// Spans of all sizes: a wheel has a level for each.
fn span() -> impl Strategy<Value = u64> {
    (0_u32..45, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..8, span()).prop_map(|(timer, span)| Step::Arm(timer, span)),
        (0_usize..8).prop_map(Step::Cancel),
        span().prop_map(Step::Advance),
    ]
}

struct Record {
    timer: usize,
    fired: Arc<Mutex<Vec<(u64, usize)>>>,
}

impl TimerTarget for Record {
    fn expired(&self, deadline: Instant) {
        self.fired.lock().expect("no panic").push((deadline.as_nanos(), self.timer));
    }
}

fn wheel() -> &'static WheelLock {
    static ALL: Mutex<Vec<&'static WheelLock>> = Mutex::new(Vec::new());
    let wheel: &'static WheelLock = Box::leak(Box::new(WheelLock::new()));
    // Still reachable, so no leak to Miri.
    ALL.lock().expect("no panic").push(wheel);
    wheel
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
    #[test]
    fn it_fires_what_is_due_and_nothing_else(
        steps in proptest::collection::vec(step(), 0..80),
        start in any::<u64>().prop_map(|random| random >> 8),
    ) {
        let wheel = wheel();
        let fired = Arc::new(Mutex::new(Vec::new()));
        let timers: Vec<Pin<Box<TimerNode>>> = (0..8).map(|_| Box::pin(TimerNode::new())).collect();
        let mut model: BTreeMap<usize, u64> = BTreeMap::new();
        let mut now = start;
        fire_due(wheel, Instant::from_nanos(now));
        for step in steps {
            match step {
                Step::Arm(timer, span) => {
                    prop_assert_eq!(timers[timer].cancel(), model.remove(&timer).is_some());
                    let record = Record { timer, fired: Arc::clone(&fired) };
                    let deadline = now + span;
                    // SAFETY: T1: the timer is boxed, idle now, and cancelled by its drop.
                    unsafe {
                        timers[timer].arm(
                            wheel,
                            Instant::from_nanos(deadline),
                            Target::Call(Arc::new(record)),
                            timer % 2 == 0,
                        );
                    }
                    model.insert(timer, deadline);
                }
                Step::Cancel(timer) => {
                    prop_assert_eq!(timers[timer].cancel(), model.remove(&timer).is_some());
                }
                Step::Advance(span) => {
                    now += span;
                    fire_due(wheel, Instant::from_nanos(now));
                    let mut fired = core::mem::take(&mut *fired.lock().expect("no panic"));
                    let mut due: Vec<_> = model
                        .extract_if(.., |_, deadline| *deadline <= now)
                        .map(|(timer, deadline)| (deadline, timer))
                        .collect();
                    fired.sort_unstable();
                    due.sort_unstable();
                    prop_assert_eq!(fired, due);
                }
            }
            // The published deadline is never late.
            let earliest = model.values().min().copied().unwrap_or(u64::MAX);
            prop_assert!(wheel.next_nanos() <= earliest);
            let keeping = model.keys().filter(|&&timer| timer % 2 == 0).count();
            prop_assert_eq!(wheel.armed(), (model.len(), keeping));
            for (timer, node) in timers.iter().enumerate() {
                prop_assert_eq!(node.is_armed(), model.contains_key(&timer));
            }
        }
    }
}

#[test]
fn the_hardware_is_armed_for_the_deadline_itself() {
    let wheel = wheel();
    let timer = Box::pin(TimerNode::new());
    let fired = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::new(Record { timer: 0, fired: Arc::clone(&fired) });
    let deadline = Instant::from_nanos(987_654_321_012);
    // SAFETY: T1: the timer is boxed, idle, and cancelled by its drop.
    unsafe { timer.arm(wheel, deadline, Target::Call(record), true) };
    assert_eq!(wheel.next_nanos(), deadline.as_nanos());
    fire_due(wheel, Instant::from_nanos(deadline.as_nanos() - 1));
    assert!(fired.lock().expect("no panic").is_empty());
    fire_due(wheel, deadline);
    assert_eq!(*fired.lock().expect("no panic"), [(deadline.as_nanos(), 0)]);
    assert_eq!(wheel.next_nanos(), u64::MAX);
}
