//! The core against its own promises: what a task decides depends on nothing but the seed, the point, its key and
//! its own hits.

use proptest::prelude::*;

use super::*;
use crate::Errno;
use crate::current::{enter, leave};
use crate::sync::{LockClass, SpinLock};

/// The points are one table for the whole program, so the tests that use it take turns.
static TURN: SpinLock<()> = SpinLock::new(LockClass::ProcessTable, ());

const POINT: Point = Point::Kmalloc;

/// Runs `body` as `task`.
fn run_as<R>(task: &TaskLocal, body: impl FnOnce() -> R) -> R {
    // SAFETY: `leave` comes before the end of `task`.
    unsafe { enter(task) };
    let result = body();
    leave();
    result
}

fn thread(key: u64) -> TaskLocal {
    let task = TaskLocal::new(key);
    task.set_thread(2, 2);
    task
}

/// Runs `body` with this setting of [`POINT`] and this seed.
fn under<R>(seed: u64, setting: &str, body: impl FnOnce() -> R) -> R {
    let _turn = TURN.lock();
    set_seed(seed);
    POINT.set(Setting::parse(setting).expect("a setting"));
    let result = body();
    POINT.set(None);
    assert!(!is_on());
    result
}

/// Which of `count` hits of a new task fire.
fn pattern(key: u64, count: usize) -> Vec<bool> {
    let task = thread(key);
    run_as(&task, || (0..count).map(|_| fires(POINT)).collect())
}

proptest! {
    #[test]
    fn a_task_decides_alone(seed: u64, keys in proptest::collection::vec(1u64.., 2..5), turns in
        proptest::collection::vec(0usize..5, 0..200))
    {
        under(seed, "p=0.3,after=2,times=9", || {
            let tasks: Vec<TaskLocal> = keys.iter().map(|key| thread(*key)).collect();
            let mut seen = vec![Vec::new(); tasks.len()];
            for turn in turns {
                let index = turn % tasks.len();
                seen[index].push(run_as(&tasks[index], || fires(POINT)));
            }
            for (key, seen) in keys.iter().zip(seen) {
                prop_assert_eq!(&pattern(*key, seen.len()), &seen);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_larger_probability_only_adds_faults(seed: u64, key: u64, nth: u64, low in 0..=decision::CERTAIN) {
        for high in [low, low.midpoint(decision::CERTAIN), decision::CERTAIN] {
            prop_assert!(
                !decision::fires(seed, POINT, key, nth, low) || decision::fires(seed, POINT, key, nth, high)
            );
        }
        prop_assert!(decision::fires(seed, POINT, key, nth, decision::CERTAIN));
        prop_assert!(!decision::fires(seed, POINT, key, nth, 0));
    }

    #[test]
    fn settings_read_back_as_they_were_written(
        probability in 1..=decision::CERTAIN, after: u64, times in 1u64.., pid: Option<u32>, task: Option<u64>, marked: bool,
    ) {
        let setting = Setting { probability, after, times, pid, task, marked };
        prop_assert_eq!(Setting::parse(&setting.to_string()), Ok(Some(setting)));
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC*", words in "[a-z0-9=.,]{0,40}") {
        let _ = Setting::parse(&text);
        let _ = Setting::parse(&words);
    }
}

#[test]
fn faults_are_as_frequent_as_asked() {
    for (setting, expected) in [("p=0.01", 1_000), ("p=0.5", 50_000), ("p=1", 100_000)] {
        let fired = under(42, setting, || pattern(7, 100_000).into_iter().filter(|fired| *fired).count());
        assert!(fired.abs_diff(expected) <= expected / 10, "{setting}: {fired}");
    }
}

#[test]
fn after_and_times_count_in_each_task() {
    under(1, "after=3,times=2", || {
        for key in [5, 6] {
            assert_eq!(pattern(key, 7), [false, false, false, true, true, false, false]);
        }
    });
}

#[test]
fn a_new_setting_counts_from_its_beginning() {
    let task = thread(5);
    let count = || run_as(&task, || (0..4).filter(|_| fires(POINT)).count());
    assert_eq!(under(1, "times=3", count), 3);
    assert_eq!(under(1, "after=1,times=2", count), 2);
}

#[test]
fn the_kernel_and_the_first_process_are_spared_unless_they_are_named() {
    let count = |task: &TaskLocal| run_as(task, || fires(POINT));
    let (kernel, init, other) = (TaskLocal::new(1), thread(2), thread(3));
    init.set_thread(1, 1);
    for (setting, expected) in [
        ("p=1", [false, false, true]),
        ("pid=1", [false, true, false]),
        ("pid=0", [true, false, false]),
        ("task=1", [true, false, false]),
        ("task=2", [false, true, false]),
        ("task=2,pid=2", [false, false, false]),
        ("marked", [false, false, false]),
    ] {
        under(0, setting, || {
            assert_eq!([count(&kernel), count(&init), count(&other)], expected, "{setting}")
        });
    }
    other.faults().set_marked(true);
    under(0, "marked", || assert!(count(&other)));
    assert!(!fires(POINT), "nobody runs");
}

#[test]
fn the_nth_failure_fails_and_no_other() {
    let _turn = TURN.lock();
    let task = thread(9);
    let before = POINT.counts();
    task.faults().set_nth(3);
    assert!(is_on());
    let seen = run_as(&task, || [check(POINT), check(POINT), check(POINT), check(POINT)]);
    assert_eq!(seen, [Ok(()), Ok(()), Err(Errno::ENOMEM), Ok(())]);
    assert!(!is_on());
    assert_eq!(task.faults().nth(), 0);
    let after = POINT.counts();
    assert_eq!((after.hits - before.hits, after.fails - before.fails), (3, 1));
    task.faults().set_nth(1);
    drop(task);
    assert!(!is_on(), "a task that ends takes its request along");
}

#[test]
fn what_is_no_setting_is_refused() {
    for text in ["", "p", "p=", "p=1.5", "p=-1", "p=0.0000000001", "p=1e-3", "times=x", "often", "p=1,,pid=2"]
    {
        assert!(Setting::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(Setting::parse("pid=4294967296"), Err(Errno::ERANGE));
    assert_eq!(Setting::parse(" off\n"), Ok(None));
    assert_eq!(Setting::parse("p=0.02"), Ok(Some(Setting { probability: 20_000_000, ..Setting::ALWAYS })));
}

#[test]
fn a_text_names_the_point_and_what_is_asked() {
    let _turn = TURN.lock();
    assert_eq!(configure("kmalloc:p=0.25"), Ok(()));
    assert_eq!(POINT.setting().map(|setting| setting.probability), Some(250_000_000));
    assert_eq!(configure("kmalloc:p=2"), Err(Errno::ERANGE));
    assert_eq!(configure("nowhere:p=1"), Err(Errno::ENOENT));
    assert_eq!(POINT.setting().map(|setting| setting.probability), Some(250_000_000));
    assert_eq!((configure("kmalloc"), POINT.setting()), (Ok(()), Some(Setting::ALWAYS)));
    assert_eq!((configure("all:off"), is_on()), (Ok(()), false));
}

#[test]
fn names_are_unique_and_found() {
    for point in Point::ALL {
        assert_eq!(Point::from_name(point.name()), Some(*point));
        assert!(point.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    }
    assert_eq!(Point::from_name("nothing"), None);
}
