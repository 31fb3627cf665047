//! The intrusive doubly linked list that wait nodes, watches and timers hang on.
//!
//! # Invariants
//!
//! - **L1** A node is on at most one list.
//! - **L2** A node does not move and is not freed while it is on a list.
//! - **L3** The links of a node on a list are touched only under the lock that owns the list; the
//!   links of a node on no list are touched by nobody.
//!
//! The list cannot check them: its callers hold the lock and cite the invariant that makes them
//! true.

use core::ptr::NonNull;

use base::sync::cell::UnsafeCell;

/// The two pointers inside a node.
pub(crate) struct Links<T> {
    next: Option<NonNull<T>>,
    previous: Option<NonNull<T>>,
}

impl<T> Links<T> {
    /// Links of a node on no list.
    pub(crate) const UNLINKED: Links<T> = Links { next: None, previous: None };
}

/// A node that has [`Links`].
///
/// # Safety
///
/// `links` returns a cell inside `self`, always the same one.
pub(crate) unsafe trait Linked: Sized {
    /// The links of this node.
    fn links(&self) -> &UnsafeCell<Links<Self>>;
}

/// A list of `T`; it owns none of them.
pub(crate) struct List<T> {
    ends: Option<(NonNull<T>, NonNull<T>)>,
}

// SAFETY: a list is a pair of pointers; by L3 whoever follows them holds the list's lock, and a
// node that may be reached from another CPU is itself Sync.
unsafe impl<T: Sync> Send for List<T> {}

impl<T> List<T> {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        List { ends: None }
    }

    /// True when nothing is on the list.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// The oldest node.
    #[inline]
    pub(crate) fn front(&self) -> Option<NonNull<T>> {
        self.ends.map(|(front, _)| front)
    }
}

impl<T: Linked> List<T> {
    /// Puts `node` at the end.
    ///
    /// # Safety
    ///
    /// L1, L2: the node is on no list and stays where it is until it is removed.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: NonNull<T>) {
        let previous = self.ends.map(|(_, back)| back);
        set_links(node, Links { next: None, previous });
        match self.ends {
            None => self.ends = Some((node, node)),
            Some((front, back)) => {
                change_links(back, |links| links.next = Some(node));
                self.ends = Some((front, node));
            }
        }
    }

    /// Puts `node` right behind `place`.
    ///
    /// # Safety
    ///
    /// L1, L2 for `node`; `place` is on this list.
    pub(crate) unsafe fn insert_after(&mut self, place: NonNull<T>, node: NonNull<T>) {
        let next = next_of(place);
        set_links(node, Links { next, previous: Some(place) });
        change_links(place, |links| links.next = Some(node));
        match next {
            Some(next) => change_links(next, |links| links.previous = Some(node)),
            None => self.ends = self.ends.map(|(front, _)| (front, node)),
        }
    }

    /// Takes `node` out, wherever it stands.
    ///
    /// # Safety
    ///
    /// `node` is on this list.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, node: NonNull<T>) {
        let Links { next, previous } = take_links(node);
        if let Some(previous) = previous {
            change_links(previous, |links| links.next = next)
        }
        if let Some(next) = next {
            change_links(next, |links| links.previous = previous)
        }
        self.ends = match (self.ends, previous, next) {
            (Some((front, back)), previous, next) => match (previous, next) {
                (None, None) => None,
                (None, Some(next)) => Some((next, back)),
                (Some(previous), None) => Some((front, previous)),
                (Some(_), Some(_)) => Some((front, back)),
            },
            (None, ..) => None,
        };
    }

    /// Takes the oldest node out.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<T>> {
        let node = self.front()?;
        // SAFETY: the front is on this list.
        unsafe { self.remove(node) };
        Some(node)
    }

    /// The node behind `node`.
    ///
    /// # Safety
    ///
    /// `node` is on this list.
    #[inline]
    pub(crate) unsafe fn after(&self, node: NonNull<T>) -> Option<NonNull<T>> {
        next_of(node)
    }

    /// The node in front of `node`.
    ///
    /// # Safety
    ///
    /// `node` is on this list.
    pub(crate) unsafe fn before(&self, node: NonNull<T>) -> Option<NonNull<T>> {
        // SAFETY: L3, the caller holds the list, so nobody writes the links now.
        cell(node).with(|links| unsafe { (*links).previous })
    }
}

fn cell<'a, T: Linked + 'a>(node: NonNull<T>) -> &'a UnsafeCell<Links<T>> {
    // SAFETY: L2, the node lives while it is on a list or being put on one.
    unsafe { node.as_ref() }.links()
}

fn next_of<T: Linked>(node: NonNull<T>) -> Option<NonNull<T>> {
    // SAFETY: L3, the caller holds the list, so nobody writes the links now.
    cell(node).with(|links| unsafe { (*links).next })
}

fn set_links<T: Linked>(node: NonNull<T>, value: Links<T>) {
    // SAFETY: L3, the caller holds the list, so nobody else touches the links now.
    cell(node).with_mut(|links| unsafe { *links = value });
}

fn take_links<T: Linked>(node: NonNull<T>) -> Links<T> {
    // SAFETY: L3, the caller holds the list, so nobody else touches the links now.
    cell(node).with_mut(|links| unsafe { core::mem::replace(&mut *links, Links::UNLINKED) })
}

fn change_links<T: Linked>(node: NonNull<T>, change: impl FnOnce(&mut Links<T>)) {
    // SAFETY: L3, the caller holds the list, so nobody else touches the links now.
    cell(node).with_mut(|links| change(unsafe { &mut *links }));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    struct Item {
        value: usize,
        links: UnsafeCell<Links<Item>>,
    }

    // SAFETY: the one cell of the item.
    unsafe impl Linked for Item {
        fn links(&self) -> &UnsafeCell<Links<Item>> {
            &self.links
        }
    }

    // Boxed one by one: a linked item must not move.
    #[allow(clippy::vec_box, reason = "the list links items by address")]
    fn items(count: usize) -> Vec<Box<Item>> {
        (0..count).map(|value| Box::new(Item { value, links: UnsafeCell::new(Links::UNLINKED) })).collect()
    }

    fn values(list: &List<Item>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut place = list.front();
        while let Some(node) = place {
            // SAFETY: the node is on the list and its box lives.
            unsafe {
                found.push(node.as_ref().value);
                place = list.after(node);
            }
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn it_behaves_like_a_deque(steps in proptest::collection::vec((0_u8..4, 0_usize..12), 0..60)) {
            let items = items(12);
            let node = |index: usize| NonNull::from(&*items[index]);
            let mut list = List::new();
            let mut model = VecDeque::new();
            for (step, index) in steps {
                let place = model.iter().position(|&value| value == index);
                // SAFETY: the model says which items are on the list.
                unsafe {
                    match (step, place) {
                        (0, None) => {
                            list.push_back(node(index));
                            model.push_back(index);
                        }
                        (1, Some(place)) => {
                            list.remove(node(index));
                            model.remove(place);
                        }
                        (2, None) if !model.is_empty() => {
                            let middle = model.len() / 2;
                            list.insert_after(node(model[middle]), node(index));
                            model.insert(middle + 1, index);
                        }
                        (3, _) => {
                            let popped = list.pop_front().map(|node| node.as_ref().value);
                            prop_assert_eq!(popped, model.pop_front());
                        }
                        _ => {}
                    }
                }
                prop_assert_eq!(values(&list), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(list.is_empty(), model.is_empty());
            }
        }
    }
}
