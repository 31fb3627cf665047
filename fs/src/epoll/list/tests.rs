use super::*;
use alloc::collections::VecDeque;
use executor::pollwait::Events;
use proptest::prelude::*;

fn level() -> Interest {
    Interest::from_program(Events::IN.bits())
}

fn order(list: &mut ReadyList<u32>) -> Vec<u32> {
    let mut found = Vec::new();
    let mut place = list.front;
    while let Some(entry) = list.slot_mut(place) {
        found.extend(entry.file);
        place = entry.next;
    }
    found
}

#[test]
fn a_notice_during_a_look_is_kept() {
    let mut list = ReadyList::new();
    let item = list.insert(level(), 1, 7).unwrap();
    assert_eq!(list.notify(item), Notice::Linked);
    assert_eq!(list.notify(item), Notice::Known);
    let taken = list.take().unwrap();
    assert_eq!((list.linked(), list.is_busy(), list.take().is_none()), (0, true, true));
    assert_eq!(list.notify(item), Notice::Known);
    assert!(list.finish(taken.handle, After::Quiet), "somebody has to be told");
    assert_eq!((list.linked(), list.is_busy()), (1, false));
    let taken = list.take().unwrap();
    assert!(!list.finish(taken.handle, After::Quiet));
    assert_eq!(list.linked(), 0);
}

#[test]
fn a_disarmed_item_is_deaf_until_it_is_modified() {
    let mut list = ReadyList::new();
    let item = list.insert(level(), 1, 7).unwrap();
    let _ = list.notify(item);
    let taken = list.take().unwrap();
    let _ = list.notify(item);
    assert!(!list.finish(taken.handle, After::Disarm));
    assert_eq!(list.notify(item), Notice::Ignored);
    list.modify(item, level(), 2);
    assert_eq!(list.notify(item), Notice::Linked);
    // A change during the look is not undone by it.
    let taken = list.take().unwrap();
    list.modify(item, level(), 3);
    let _ = list.notify(item);
    assert!(list.finish(taken.handle, After::Disarm));
    assert_eq!(list.take().map(|taken| taken.data), Some(3));
}

#[test]
fn an_item_removed_during_a_look_leaves_its_slot_afterwards() {
    let mut list = ReadyList::new();
    let item = list.insert(level(), 1, 7).unwrap();
    let _ = list.notify(item);
    let taken = list.take().unwrap();
    assert_eq!(list.remove(item), Some(7));
    let other = list.insert(level(), 2, 8).unwrap();
    assert_ne!(other.slot, item.slot);
    assert!(!list.finish(taken.handle, After::Again));
    assert_eq!(list.linked(), 0);
    assert_eq!(list.notify(item), Notice::Ignored);
    let third = list.insert(level(), 3, 9).unwrap();
    assert_eq!((third.slot, list.notify(item)), (item.slot, Notice::Ignored), "the slot has a new owner");
}

#[test]
fn a_peek_drops_only_what_nobody_told_of_since() {
    let mut list = ReadyList::new();
    let item = list.insert(level(), 1, 7).unwrap();
    let _ = list.notify(item);
    let peeked = list.peek().unwrap();
    let _ = list.notify(item);
    list.drop_unready(peeked.handle);
    assert_eq!(list.linked(), 1);
    let peeked = list.peek().unwrap();
    list.drop_unready(peeked.handle);
    assert_eq!((list.linked(), list.peek().is_none()), (0, true));
}

proptest! {
    #[test]
    fn it_behaves_like_a_queue_without_doubles(steps in proptest::collection::vec((0_u8..6, 0_usize..80), 0..300)) {
        let mut list = ReadyList::new();
        let mut handles: Vec<Option<Handle>> = vec![None; 80];
        let mut model: VecDeque<usize> = VecDeque::new();
        for (step, index) in steps {
            match (step, handles[index]) {
                (0, None) => handles[index] = Some(list.insert(level(), 0, u32::try_from(index).unwrap()).unwrap()),
                (1, Some(handle)) => {
                    prop_assert_eq!(list.remove(handle), Some(u32::try_from(index).unwrap()));
                    model.retain(|at| *at != index);
                    handles[index] = None;
                }
                (2 | 3, Some(handle)) => {
                    let known = model.contains(&index);
                    prop_assert_eq!(list.notify(handle), if known { Notice::Known } else { Notice::Linked });
                    if !known {
                        model.push_back(index);
                    }
                }
                (4 | 5, _) => {
                    let taken = list.take();
                    prop_assert_eq!(taken.as_ref().map(|taken| taken.file as usize), model.pop_front());
                    if let Some(taken) = taken {
                        let after = [After::Quiet, After::Again, After::Retry][index % 3];
                        prop_assert!(!list.finish(taken.handle, after));
                        match after {
                            After::Again => model.push_back(taken.file as usize),
                            After::Retry => model.push_front(taken.file as usize),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
            prop_assert_eq!(order(&mut list), model.iter().map(|at| u32::try_from(*at).unwrap()).collect::<Vec<_>>());
            prop_assert_eq!(list.linked(), model.len());
        }
    }
}
