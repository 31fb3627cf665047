//! One look at what lies in queues: what keeps what, and what is kept by nothing else.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use base::sync::atomic::{Ordering, fence};

use super::Node;

/// What was found, and what each of it keeps.
pub(super) struct Graph {
    nodes: Vec<Found>,
    /// Where the node with an id is.
    places: BTreeMap<u64, usize>,
}

struct Found {
    node: Box<dyn Node>,
    /// What it had given out when it was looked at.
    given_out: u64,
    /// The places of what it keeps, one for each reference.
    keeps: Vec<usize>,
}

impl Found {
    fn new(node: Box<dyn Node>) -> Found {
        Found { node, given_out: 0, keeps: Vec::new() }
    }
}

impl Graph {
    pub(super) fn new() -> Graph {
        Graph { nodes: Vec::new(), places: BTreeMap::new() }
    }

    /// Adds a node, unless it is there.
    pub(super) fn add(&mut self, node: Box<dyn Node>) {
        let place = self.nodes.len();
        if *self.places.entry(node.id()).or_insert(place) == place {
            self.nodes.push(Found::new(node));
        }
    }

    /// Adds all that the nodes keep, and what that keeps.
    pub(super) async fn follow(&mut self) {
        let mut at = 0;
        while at < self.nodes.len() {
            self.look_at(at);
            at += 1;
            executor::yield_point().await;
        }
    }

    fn look_at(&mut self, at: usize) {
        let Graph { nodes, places } = self;
        let first_fresh = nodes.len();
        let (mut keeps, mut fresh) = (Vec::new(), Vec::new());
        let Some(found) = nodes.get_mut(at) else { return };
        found.given_out = found.node.given_out();
        found.node.visit(&mut |inner| {
            let place = *places.entry(inner.id()).or_insert_with(|| {
                fresh.push(Found::new(inner.hold()));
                first_fresh + fresh.len() - 1
            });
            keeps.push(place);
        });
        found.keeps = keeps;
        nodes.append(&mut fresh);
    }

    /// Takes out what is kept by nothing but other nodes that are taken out. False when there may be more, since
    /// something was given out meanwhile.
    pub(super) async fn unreachable(self) -> (Vec<Box<dyn Node>>, bool) {
        let mut references = Vec::with_capacity(self.nodes.len());
        for found in &self.nodes {
            references.push(found.node.references());
            executor::yield_point().await;
        }
        // After all the counts.
        fence(Ordering::SeqCst);
        let mut is_settled = true;
        for (found, references) in self.nodes.iter().zip(&mut references) {
            if found.node.given_out() != found.given_out {
                *references = usize::MAX;
                is_settled = false;
            }
        }
        let keeps: Vec<&[usize]> = self.nodes.iter().map(|found| found.keeps.as_slice()).collect();
        let reachable = reachable(&references, &keeps);
        let nodes = self.nodes.into_iter().zip(reachable);
        (nodes.filter(|(_, reachable)| !reachable).map(|(found, _)| found.node).collect(), is_settled)
    }
}

/// Which nodes have a reference that is none of `keeps`, or are kept, in however many steps, by one that has.
fn reachable(references: &[usize], keeps: &[&[usize]]) -> Vec<bool> {
    let mut inside = alloc::vec![0; references.len()];
    for &kept in keeps.iter().copied().flatten() {
        if let Some(count) = inside.get_mut(kept) {
            *count += 1;
        }
    }
    let mut reachable: Vec<bool> =
        references.iter().zip(&inside).map(|(references, inside)| references > inside).collect();
    let is_root = |(place, reachable): (usize, &bool)| reachable.then_some(place);
    let mut work: Vec<usize> = reachable.iter().enumerate().filter_map(is_root).collect();
    while let Some(place) = work.pop() {
        for &kept in keeps.get(place).copied().unwrap_or_default() {
            if let Some(seen) = reachable.get_mut(kept)
                && !core::mem::replace(seen, true)
            {
                work.push(kept);
            }
        }
    }
    reachable
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Walks from each node that somebody holds.
    fn walked(held: &[usize], keeps: &[Vec<usize>]) -> Vec<bool> {
        fn walk(at: usize, keeps: &[Vec<usize>], seen: &mut [bool]) {
            if !std::mem::replace(&mut seen[at], true) {
                keeps[at].iter().for_each(|kept| walk(*kept, keeps, seen));
            }
        }
        let mut seen = vec![false; held.len()];
        (0..held.len()).filter(|at| held[*at] > 0).for_each(|at| walk(at, keeps, &mut seen));
        seen
    }

    proptest! {
        #[test]
        fn what_nobody_holds_is_unreachable(
            (held, keeps) in (1..9usize).prop_flat_map(|count| (
                proptest::collection::vec(prop_oneof![3 => Just(0usize), 1 => 1..3usize], count),
                proptest::collection::vec(proptest::collection::vec(0..count, 0..4), count),
            ))
        ) {
            let references: Vec<usize> = (0..held.len())
                .map(|at| held[at] + keeps.iter().flatten().filter(|kept| **kept == at).count())
                .collect();
            let slices: Vec<&[usize]> = keeps.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(reachable(&references, &slices), walked(&held, &keeps));
        }
    }
}
