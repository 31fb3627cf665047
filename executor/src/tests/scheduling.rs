//! Who runs, where and when.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::Mutex;

use base::host::Clock;
use base::machine;
use base::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use base::time::Instant;

use crate::order::{Schedule, SeededOrder};
use crate::{
    Config, CpuSet, TaskOptions, TaskState, Timer, TimerTarget, current, host, sleep_until, slice_over,
    spawn, yield_now, yield_point,
};

fn after(span: Duration) -> Instant {
    machine::now() + span
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn every_task_runs_and_knows_itself() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    host::run(2, move |executor| {
        for number in 0..100 {
            let ran = Arc::clone(&counter);
            let task = executor.spawn(TaskOptions::new("worker").key(number), async move {
                let this = current().expect("a task runs");
                assert_eq!((this.key(), this.name().as_str()), (number, "worker"));
                for _ in 0..10 {
                    yield_now().await;
                }
                assert!(current().expect("a task runs").same(&this));
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert!(task.id() > 0);
        }
    });
    assert_eq!(ran.load(Ordering::Relaxed), 100);
    assert!(current().is_none());
}

#[test]
fn keys_of_children_depend_on_the_parent_alone() {
    let keys = |noise: usize| {
        let keys = Arc::new(Mutex::new(Vec::new()));
        let out = Arc::clone(&keys);
        host::run(1, move |executor| {
            for _ in 0..noise {
                executor.spawn(TaskOptions::new("noise").key(7), async {});
            }
            executor.spawn(TaskOptions::new("parent").key(1), async move {
                for _ in 0..3 {
                    let child = spawn(TaskOptions::new("child"), async {});
                    out.lock().expect("no panic").push(child.key());
                }
            });
        });
        Arc::try_unwrap(keys).expect("all tasks are gone").into_inner().expect("no panic")
    };
    assert_eq!(keys(0), keys(5));
    assert_ne!(keys(0)[0], keys(0)[1]);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines_and_never_early() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let out = Arc::clone(&order);
    host::run(2, move |executor| {
        for span in [700, 100, 900_000, 300, 50_000_000, 100] {
            let out = Arc::clone(&out);
            executor.spawn(TaskOptions::new("sleeper"), async move {
                let deadline = Instant::from_nanos(1_000_000_000) + Duration::from_micros(span);
                sleep_until(deadline).await;
                assert!(machine::now() >= deadline);
                out.lock().expect("no panic").push(span);
            });
        }
    });
    let order = order.lock().expect("no panic");
    // The two that are due together may change places only with each other.
    assert_eq!(*order, [100, 100, 300, 700, 900_000, 50_000_000]);
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn who_yields_is_never_seen_asleep() {
    host::run(2, |executor| {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let yielding = executor.spawn(TaskOptions::new("yields").affinity(CpuSet::only(0)), async move {
            while !told.load(Ordering::Relaxed) {
                yield_now().await;
            }
        });
        executor.spawn(TaskOptions::new("looks").affinity(CpuSet::only(1)), async move {
            for _ in 0..20_000 {
                assert_ne!(yielding.state(), TaskState::Blocked);
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn pinned_tasks_stay_and_move_when_told_to() {
    host::run(2, |executor| {
        for cpu in 0..2 {
            let options = TaskOptions::new("pinned").affinity(CpuSet::only(cpu));
            executor.spawn(options, async move {
                // Before both CPUs are online a task is taken in by one that is.
                while executor.online() != CpuSet::first_cpus(2) {
                    yield_now().await;
                }
                yield_now().await;
                for _ in 0..50 {
                    let task = current().expect("a task runs");
                    assert_eq!(task.cpu(), cpu);
                    yield_now().await;
                }
                let task = current().expect("a task runs");
                assert!(!task.set_affinity(CpuSet::only(9)));
                assert!(task.set_affinity(CpuSet::only(1 - cpu)));
                assert!(slice_over());
                yield_now().await;
                assert_eq!(machine().cpu_id(), 1 - cpu);
            });
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn an_idle_cpu_takes_work_from_a_busy_one() {
    let seen = Arc::new(Mutex::new([0_usize; 2]));
    let out = Arc::clone(&seen);
    let config = Config::default();
    let deadlock = host::run_with(2, Clock::Real, config, move |executor| {
        for _ in 0..4 {
            let out = Arc::clone(&out);
            executor.spawn(TaskOptions::new("burner"), async move {
                while executor.online() != CpuSet::first_cpus(2) {
                    yield_now().await;
                }
                // The thread that plays the other CPU may have to wait for one of the host's.
                let end = after(Duration::from_secs(20));
                while machine::now() < end {
                    {
                        let mut seen = out.lock().expect("no panic");
                        seen[machine().cpu_id()] += 1;
                        if seen.iter().all(|&polls| polls > 0) {
                            break;
                        }
                    }
                    yield_now().await;
                }
            });
        }
    });
    assert_eq!(deadlock, None);
    assert!(seen.lock().expect("no panic").iter().all(|&polls| polls > 0));
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn a_slice_ends_only_when_somebody_waits() {
    host::run(1, |executor| {
        executor.spawn(TaskOptions::new("hog"), async move {
            let long = after(Duration::from_millis(50));
            while machine::now() < long {
                assert!(!slice_over(), "nobody waits");
            }
            let armed = || crate::cpu::this().expect("a CPU").armed_for();
            assert_eq!(armed(), u64::MAX, "nobody waits, so nothing ticks");
            let other = spawn(TaskOptions::new("other"), async {});
            let soon = after(Duration::from_micros(100)).as_nanos();
            assert!(armed() < soon, "user mode would be left, though the slice was over before");
            assert!(slice_over(), "the slice is long over");
            yield_now().await;
            assert_eq!(other.state(), crate::TaskState::Finished);
            assert!(!slice_over());
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn a_pair_that_hands_over_does_not_starve_a_third() {
    let source = Arc::new([
        crate::pollwait::WaitSource::new(crate::pollwait::WaitKind::Other, 0),
        crate::pollwait::WaitSource::new(crate::pollwait::WaitKind::Other, 0),
    ]);
    let done = Arc::new(AtomicBool::new(false));
    host::run(1, move |executor| {
        use crate::pollwait::{Events, Reason, Wait};
        for side in 0..2 {
            let (source, done) = (Arc::clone(&source), Arc::clone(&done));
            executor.spawn(TaskOptions::new("player"), async move {
                let mut rounds = 0;
                while !done.load(Ordering::Relaxed) {
                    let seen = source[side].observe();
                    source[1 - side].wake_one(Events::IN, Reason::Data);
                    source[side].wait(seen, Wait::uninterruptible()).await;
                    rounds += 1;
                    assert!(rounds < 10_000, "the third starves");
                }
                source[1 - side].close();
            });
        }
        executor.spawn(TaskOptions::new("third"), async move {
            for _ in 0..20 {
                yield_now().await;
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
#[cfg_attr(miri, ignore = "many rounds")]
fn a_long_poll_gives_the_cpu_back_at_its_yield_points() {
    let turns = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&turns);
    host::run(1, move |executor| {
        let other = Arc::clone(&turns);
        executor.spawn(TaskOptions::new("copier"), async move {
            let end = after(Duration::from_millis(1));
            while machine::now() < end {
                yield_point().await;
            }
        });
        executor.spawn(TaskOptions::new("other"), async move {
            for _ in 0..5 {
                other.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
    });
    assert_eq!(seen.load(Ordering::Relaxed), 5);
}

#[test]
fn one_seed_one_order() {
    let run = |seed| {
        let ran = Arc::new(Mutex::new(Vec::new()));
        let out = Arc::clone(&ran);
        let order = SeededOrder::new(seed, Schedule::Random);
        let config = Config { order: Some(alloc::boxed::Box::new(order)), ..Config::default() };
        host::run_with(1, Clock::Virtual, config, move |executor| {
            executor.spawn(TaskOptions::new("parent").key(100), async move {
                for task in 0..6 {
                    let out = Arc::clone(&out);
                    spawn(TaskOptions::new("task").key(task), async move {
                        for _ in 0..4 {
                            out.lock().expect("no panic").push(task);
                            yield_now().await;
                        }
                    });
                }
            });
        });
        ran.lock().expect("no panic").clone()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_deadlock_is_found_and_names_the_waits() {
    let mutex = Arc::new(crate::lock::Mutex::new(()));
    let found = host::run_with(2, Clock::Virtual, Config::default(), |executor| {
        let never = Arc::new(crate::lock::Completion::new());
        executor.spawn(TaskOptions::new("holder"), {
            let (mutex, never) = (Arc::clone(&mutex), Arc::clone(&never));
            async move {
                let _guard = mutex.lock().await;
                never.wait().await;
            }
        });
        executor.spawn(TaskOptions::new("waiter"), {
            let mutex = Arc::clone(&mutex);
            async move {
                yield_now().await;
                sleep_until(after(Duration::from_millis(3))).await;
                let _guard = mutex.lock().await;
            }
        });
        // A daemon's deadline is no hope for the others.
        executor.spawn(TaskOptions::new("housekeeper").daemon(), async {
            loop {
                sleep_until(after(Duration::from_secs(1))).await;
            }
        });
    });
    let text = found.expect("a deadlock");
    assert!(text.contains("holder") && text.contains("Completion"), "{text}");
    assert!(text.contains("waiter") && text.contains("Mutex"), "{text}");
}

#[test]
fn the_next_deadline_is_armed_when_a_cancelled_one_went_off() {
    host::run(1, |executor| {
        let flag = Arc::new(Flag(AtomicUsize::new(0), crate::lock::Completion::new()));
        executor.spawn(TaskOptions::new("hog"), async move {
            let target = || Arc::clone(&flag) as Arc<dyn TimerTarget>;
            let (cancelled, next) = (Timer::new(), Timer::new());
            let (soon, later) = (after(Duration::from_millis(1)), after(Duration::from_millis(9)));
            cancelled.arm(soon, target());
            next.arm(later, target());
            assert!(cancelled.cancel());
            while machine::now() < soon {}
            // In user mode an interrupt for nothing comes now; nobody waits for the CPU.
            assert!(!slice_over());
            let armed = crate::cpu::this().expect("a CPU").armed_for();
            assert_eq!(armed, later.as_nanos());
        });
    });
}

struct Flag(AtomicUsize, crate::lock::Completion);

impl TimerTarget for Flag {
    fn expired(&self, _deadline: Instant) {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.complete();
    }
}

#[test]
fn a_timer_calls_its_target_once_unless_it_is_cancelled() {
    let flag = Arc::new(Flag(AtomicUsize::new(0), crate::lock::Completion::new()));
    let target = Arc::clone(&flag);
    host::run(2, move |executor| {
        executor.spawn(TaskOptions::new("armer"), async move {
            let timer = Timer::new();
            timer.arm(after(Duration::from_millis(1)), Arc::clone(&target) as Arc<dyn TimerTarget>);
            assert!(timer.is_armed() && timer.cancel() && !timer.cancel());
            sleep_until(after(Duration::from_millis(2))).await;
            assert_eq!(target.0.load(Ordering::Relaxed), 0);
            timer.arm(after(Duration::from_secs(9)), Arc::clone(&target) as Arc<dyn TimerTarget>);
            timer.arm(after(Duration::from_millis(1)), Arc::clone(&target) as Arc<dyn TimerTarget>);
            target.1.wait().await;
            assert!(!timer.is_armed());
            assert_eq!(executor.timer_count(), 0);
        });
    });
    assert_eq!(flag.0.load(Ordering::Relaxed), 1);
}
