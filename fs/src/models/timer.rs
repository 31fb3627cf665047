//! Timer descriptors: reads, settings, expirations and steps of the wall clock, in any order.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use base::schedule::Setting;
use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, wall_clock};
use executor::modelled::pass;
use executor::pollwait::Events;
use shuttle::future::block_on;
use shuttle::thread;

use super::{explore, give, readable, take};
use crate::eventfd::{EventFd, EventFdFlags};
use crate::file::{FdTable, OpenFile};
use crate::poll::{PollEntry, poll_files};
use crate::testing;
use crate::timerfd::{SetFlags, TimerClock, TimerFd, clock_was_set};

const TICK: Duration = Duration::from_micros(1);
const MONOTONIC: i32 = 1;
const REALTIME: i32 = 0;

fn timer(clock: i32, nonblocking: bool) -> Arc<OpenFile> {
    let clock = TimerClock::from_id(clock).unwrap();
    TimerFd::open(&testing::root(), clock, nonblocking).unwrap()
}

fn set(timer: &OpenFile, value: Duration, interval: Duration, flags: SetFlags) -> base::Result<Setting> {
    TimerFd::of(timer).unwrap().set(&testing::root(), Setting { value, interval }, flags)
}

/// What a timer makes at its first use.
pub(super) fn first_uses() -> Vec<Arc<OpenFile>> {
    let timer = timer(REALTIME, false);
    set(&timer, wall_clock::now() + TICK, Duration::ZERO, SetFlags::ABSTIME).unwrap();
    vec![timer]
}

/// Lets so many ticks pass, one after the other.
fn ticks(count: u64) {
    (0..count).for_each(|_| pass(TICK));
}

/// A timer with a period, one who reads, one who looks and leaves: all expirations are told, each once.
#[test]
fn a_period_goes_on_while_somebody_reads() {
    explore(|| {
        let timer = timer(MONOTONIC, false);
        set(&timer, TICK, TICK, SetFlags::empty()).unwrap();
        let (read, looked) = (timer.clone(), timer.clone());
        let reader = thread::spawn(move || {
            let mut told = 0;
            while told < 3 {
                told += block_on(take(&read)).unwrap();
            }
            told
        });
        let looker = thread::spawn(move || {
            block_on(readable(&looked));
            TimerFd::of(&looked).unwrap().get()
        });
        ticks(3);
        assert_eq!(reader.join().unwrap(), 3);
        // The reader may have taken everything before the looker came.
        pass(TICK);
        assert_eq!(looker.join().unwrap().interval, TICK);
    });
}

/// Two who poll and read what there is: together they are told of each expiration once.
#[test]
fn expirations_are_shared_among_readers() {
    explore(|| {
        let (timer, stop) =
            (timer(MONOTONIC, true), EventFd::open(&testing::root(), 0, EventFdFlags::empty()));
        let (stop, told) = (stop.unwrap(), Arc::new(AtomicU64::new(0)));
        set(&timer, TICK, TICK, SetFlags::empty()).unwrap();
        let reader = |_| {
            let (timer, stop, told) = (timer.clone(), stop.clone(), told.clone());
            thread::spawn(move || {
                while !block_on(first_is_ready(&stop, &timer)) {
                    match block_on(take(&timer)) {
                        Ok(count) if told.fetch_add(count, Ordering::SeqCst) + count == 3 => {
                            block_on(give(&stop, 1));
                        }
                        Ok(_) => {}
                        Err(error) => assert_eq!(error, Errno::EAGAIN),
                    }
                }
            })
        };
        let readers = [0, 1].map(reader);
        ticks(3);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(told.load(Ordering::SeqCst), 3);
    });
}

/// Waits until one of two files is readable; whether the first is.
async fn first_is_ready(first: &Arc<OpenFile>, second: &Arc<OpenFile>) -> bool {
    let (caller, files) = (testing::root(), FdTable::new());
    let entry = |file: &Arc<OpenFile>| {
        let fd = files.insert(&caller, file.clone(), false).unwrap();
        PollEntry::new(Some(file.clone()), fd, Events::IN)
    };
    let mut entries = [entry(first), entry(second)];
    poll_files(&caller, &files, &mut entries, None).await.unwrap();
    entries[0].ready.contains(Events::IN)
}

/// The timer is set anew while it expires: whoever reads is told of what the last setting brings, if not before.
#[test]
fn a_setting_meets_an_expiration() {
    explore(|| {
        let timer = timer(MONOTONIC, false);
        set(&timer, TICK, Duration::ZERO, SetFlags::empty()).unwrap();
        let (read, setting) = (timer.clone(), timer.clone());
        let reader = thread::spawn(move || assert_eq!(block_on(take(&read)), Ok(1)));
        let setter = thread::spawn(move || {
            set(&setting, Duration::ZERO, Duration::ZERO, SetFlags::empty()).unwrap();
            set(&setting, 2 * TICK, Duration::ZERO, SetFlags::empty()).unwrap();
        });
        ticks(2);
        setter.join().unwrap();
        pass(2 * TICK);
        reader.join().unwrap();
    });
}

/// The wall clock is set forward beyond the expiration, or back, while the old one comes.
#[test]
fn a_deadline_moves_with_the_wall_clock() {
    explore(|| {
        for forward in [true, false] {
            let timer = timer(REALTIME, false);
            set(&timer, wall_clock::now() + TICK, Duration::ZERO, SetFlags::ABSTIME).unwrap();
            let read = timer.clone();
            let reader = thread::spawn(move || assert_eq!(block_on(take(&read)), Ok(1)));
            let stepper = thread::spawn(move || {
                let now = wall_clock::now();
                wall_clock::set(if forward { now + 10 * TICK } else { now - 10 * TICK });
                clock_was_set();
            });
            if !forward {
                pass(TICK);
            }
            stepper.join().unwrap();
            pass(if forward { Duration::ZERO } else { 20 * TICK });
            reader.join().unwrap();
        }
    });
}

/// A read that asked for it ends when the wall clock is set, and so does one that comes afterwards; once.
#[test]
fn a_step_of_the_wall_clock_cancels() {
    explore(|| {
        let timer = timer(REALTIME, false);
        let flags = SetFlags::ABSTIME | SetFlags::CANCEL_ON_SET;
        set(&timer, wall_clock::now() + 100 * TICK, Duration::ZERO, flags).unwrap();
        let read = timer.clone();
        let reader = thread::spawn(move || assert_eq!(block_on(take(&read)), Err(Errno::ECANCELED)));
        wall_clock::set(wall_clock::now() + TICK);
        clock_was_set();
        reader.join().unwrap();
        pass(100 * TICK);
        assert_eq!(block_on(take(&timer)), Ok(1));
    });
}
