//! One look at what lies in queues: what keeps what, and what is kept by nothing else.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Node;

/// What was found, and what each of it keeps.
pub(super) struct Graph {
    nodes: Vec<Found>,
    /// Where the node with an id is.
    places: BTreeMap<u64, usize>,
}

struct Found {
    node: Box<dyn Node>,
    /// The places of what it keeps, one for each reference.
    keeps: Vec<usize>,
}

impl Graph {
    pub(super) fn new() -> Graph {
        Graph { nodes: Vec::new(), places: BTreeMap::new() }
    }

    /// Adds a node, unless it is there.
    pub(super) fn add(&mut self, node: &dyn Node) {
        let id = node.id();
        if !self.places.contains_key(&id) {
            self.places.insert(id, self.nodes.len());
            self.nodes.push(Found { node: node.hold(), keeps: Vec::new() });
        }
    }

    /// Adds all that the nodes keep, and what that keeps.
    pub(super) fn follow(&mut self) {
        let mut at = 0;
        while let Some(found) = self.nodes.get(at) {
            let (mut keeps, mut fresh) = (Vec::new(), Vec::new());
            let (places, first_fresh) = (&mut self.places, self.nodes.len());
            found.node.visit(&mut |inner| {
                let place = *places.entry(inner.id()).or_insert_with(|| {
                    fresh.push(Found { node: inner.hold(), keeps: Vec::new() });
                    first_fresh + fresh.len() - 1
                });
                keeps.push(place);
            });
            if let Some(found) = self.nodes.get_mut(at) {
                found.keeps = keeps;
            }
            self.nodes.append(&mut fresh);
            at += 1;
        }
    }

    /// Takes out what is kept by nothing but other nodes that are taken out.
    pub(super) fn unreachable(self) -> Vec<Box<dyn Node>> {
        let references: Vec<usize> = self.nodes.iter().map(|found| found.node.references()).collect();
        let keeps: Vec<&[usize]> = self.nodes.iter().map(|found| found.keeps.as_slice()).collect();
        let reachable = reachable(&references, &keeps);
        let nodes = self.nodes.into_iter().zip(reachable);
        nodes.filter(|(_, reachable)| !reachable).map(|(found, _)| found.node).collect()
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
