//! Locks against a naive model, and who waits for whom.

use super::*;
use crate::testing;
use crate::tmpfs::{MemfdFlags, memfd_create};
use alloc::vec::Vec;
use base::charge::Account;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use proptest::prelude::*;

const BYTES: usize = 24;

#[derive(Clone, Debug)]
struct Step {
    owner: u64,
    start: u64,
    length: u64,
    strength: Option<Strength>,
}

fn step() -> impl Strategy<Value = Step> {
    let strengths = prop_oneof![Just(None), Just(Some(Strength::Shared)), Just(Some(Strength::Exclusive))];
    (0u64..3, 0..BYTES as u64, 1u64..12, strengths).prop_map(|(owner, start, length, strength)| {
        let length = length.min(BYTES as u64 - start);
        Step { owner, start, length, strength }
    })
}

proptest! {
    #[test]
    fn records_are_what_each_byte_says(steps in proptest::collection::vec(step(), 1..60)) {
        testing::machine();
        let account = Account::new();
        let mut records = Records::default();
        let mut model = [[None::<Strength>; BYTES]; 3];
        for step in steps {
            let bytes = step.start as usize..(step.start + step.length) as usize;
            let range = Range { start: step.start, end: step.start + step.length - 1 };
            let owner = Owner::Table(step.owner);
            let blocked = step.strength.is_some_and(|wanted| (0..3).any(|other| other != step.owner as usize
                && model[other][bytes.clone()].iter().flatten().any(|held|
                    *held == Strength::Exclusive || wanted == Strength::Exclusive)));
            let charges = [Charge::new(&account, 1).unwrap(), Charge::new(&account, 1).unwrap()];
            let request = Request { owner, range, strength: step.strength };
            let outcome = records.set(request, 1, charges).map(|_| ());
            prop_assert_eq!(outcome, if blocked { Err(Errno::EAGAIN) } else { Ok(()) });
            if !blocked {
                model[step.owner as usize][bytes].fill(step.strength);
            }
            let copies = records.copies();
            for (owner, bytes) in model.iter().enumerate() {
                for (at, held) in bytes.iter().enumerate() {
                    let found: Vec<_> = copies.iter().filter(|record| record.owner == Owner::Table(owner as u64)
                        && record.range.start <= at as u64 && at as u64 <= record.range.end).collect();
                    prop_assert!(found.len() <= 1);
                    prop_assert_eq!(found.first().map(|record| record.strength), *held);
                }
                let runs = bytes.chunk_by(|a, b| a == b).filter(|run| run[0].is_some()).count();
                let mine = copies.iter().filter(|record| record.owner == Owner::Table(owner as u64)).count();
                prop_assert_eq!(runs, mine, "neighbours are one");
            }
        }
        drop(records);
        prop_assert_eq!(account.charged(), 0);
    }
}

#[test]
fn a_circle_of_waiters_is_a_deadlock() {
    let caller = testing::root();
    let first = memfd_create(&caller, b"first", MemfdFlags::empty()).unwrap();
    let second = memfd_create(&caller, b"second", MemfdFlags::empty()).unwrap();
    let request = |owner| Request {
        owner: Owner::Table(owner),
        range: Range::WHOLE,
        strength: Some(Strength::Exclusive),
    };
    testing::now(set_record_lock(&caller, &first, request(1000), true)).unwrap();
    testing::now(set_record_lock(&caller, &second, request(1001), true)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut waiting = pin!(set_record_lock(&caller, &second, request(1000), true));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let circle = testing::now(set_record_lock(&caller, &first, request(1001), true));
        assert_eq!(circle, Err(Errno::EDEADLK));
        second.inode().state().release_posix_locks(1001);
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    }
    // The first waits no longer, so there is no circle.
    assert!(testing::try_now(set_record_lock(&caller, &first, request(1001), true)).is_none());
}

#[test]
fn flock_belongs_to_the_open_file() {
    let caller = testing::root();
    let file = memfd_create(&caller, b"file", MemfdFlags::empty()).unwrap();
    let other = {
        let ops = file.ops().clone();
        OpenFile::new(&caller, ops, file.path().clone(), file.status()).unwrap()
    };
    let lock = |file: &OpenFile, strength| testing::now(flock(&caller, file, strength, false));
    assert_eq!(lock(&file, Some(Strength::Shared)), Ok(()));
    assert_eq!(lock(&other, Some(Strength::Shared)), Ok(()));
    assert_eq!(lock(&other, Some(Strength::Exclusive)), Err(Errno::EAGAIN));
    // The failed change has given the shared lock up.
    assert_eq!(lock(&file, Some(Strength::Exclusive)), Ok(()));
    drop(file);
    assert_eq!(lock(&other, Some(Strength::Exclusive)), Ok(()));
}

#[test]
fn ranges_follow_the_rules_of_fcntl() {
    assert_eq!(Range::from_flock(10, 0, 0), Ok(Range { start: 10, end: i64::MAX as u64 }));
    assert_eq!(Range::from_flock(10, 0, -4), Ok(Range { start: 6, end: 9 }));
    assert_eq!(Range::from_flock(3, 0, -4), Err(Errno::EINVAL));
    assert_eq!(Range::from_flock(0, -1, 1), Err(Errno::EINVAL));
    assert_eq!(Range::from_flock(0, 2, i64::MAX), Err(Errno::EOVERFLOW));
}
