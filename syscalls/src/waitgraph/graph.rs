//! Who can be woken by whom, as a plain graph: what is stuck, and in which cycles.
//!
//! An edge leads from one that waits to one that may end the wait, and any one of them is enough. So a node can
//! go on as soon as one of its successors can; one without successors waits for something outside the graph,
//! and counts as one that goes on. What is left is stuck, and whoever is stuck waits, by way of others perhaps,
//! for a cycle of its kind.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Nodes of type `N`, and edges between them.
pub(super) struct Graph<N> {
    nodes: Vec<N>,
    index: BTreeMap<N, usize>,
    edges: BTreeSet<(usize, usize)>,
    capacity: usize,
    truncated: bool,
}

/// What [`Graph::analyse`] finds out about each node.
pub(super) struct Analysis {
    /// Nothing in the graph can wake it.
    pub(super) stuck: Vec<bool>,
    /// The number of the cycle of stuck nodes that it belongs to, from 1.
    pub(super) cycle: Vec<Option<u32>>,
}

impl<N: Ord + Copy> Graph<N> {
    /// An empty graph that takes `capacity` edges at most.
    pub(super) fn new(capacity: usize) -> Graph<N> {
        Graph {
            nodes: Vec::new(),
            index: BTreeMap::new(),
            edges: BTreeSet::new(),
            capacity,
            truncated: false,
        }
    }

    /// The nodes, in the order in which they came.
    pub(super) fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// The edges, as positions in [`nodes`](Self::nodes).
    pub(super) fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        self.edges.iter().copied()
    }

    /// Says that there are more edges than are known.
    pub(super) fn truncate(&mut self) {
        self.truncated = true;
    }

    /// True when edges are missing.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The position of `node`, if it is there.
    pub(super) fn find(&self, node: N) -> Option<usize> {
        self.index.get(&node).copied()
    }

    /// The position of `node`, which is added if it is not there.
    pub(super) fn add(&mut self, node: N) -> usize {
        let next = self.nodes.len();
        let at = *self.index.entry(node).or_insert(next);
        if at == next {
            self.nodes.push(node);
        }
        at
    }

    /// Adds an edge, and the nodes at its ends.
    pub(super) fn connect(&mut self, from: N, to: N) {
        if self.edges.len() >= self.capacity {
            self.truncate();
            return;
        }
        let edge = (self.add(from), self.add(to));
        self.edges.insert(edge);
    }

    /// Finds out what is stuck, given who goes on by itself. Nothing is when edges are missing.
    pub(super) fn analyse(&self, goes_on: impl Fn(usize) -> bool) -> Analysis {
        let count = self.nodes.len();
        let mut successors = alloc::vec![Vec::new(); count];
        let mut predecessors = alloc::vec![Vec::new(); count];
        for &(from, to) in &self.edges {
            successors[from].push(to);
            predecessors[to].push(from);
        }
        let mut stuck = alloc::vec![true; count];
        let mut pending: Vec<usize> = (0..count)
            .filter(|&node| self.truncated || goes_on(node) || successors[node].is_empty())
            .collect();
        pending.iter().for_each(|&node| stuck[node] = false);
        while let Some(node) = pending.pop() {
            for &waiting in &predecessors[node] {
                if core::mem::replace(&mut stuck[waiting], false) {
                    pending.push(waiting);
                }
            }
        }
        let cycle = number_cycles(&successors, &stuck);
        Analysis { stuck, cycle }
    }
}

/// Numbers the strongly connected components of the stuck nodes that have more than one node: Tarjan's algorithm,
/// with its stack of calls on the heap.
fn number_cycles(successors: &[Vec<usize>], stuck: &[bool]) -> Vec<Option<u32>> {
    const UNSEEN: usize = usize::MAX;
    let count = successors.len();
    let mut cycle = alloc::vec![None; count];
    let mut order = alloc::vec![UNSEEN; count];
    let mut low = alloc::vec![UNSEEN; count];
    let mut open = alloc::vec![false; count];
    let (mut component, mut calls) = (Vec::new(), Vec::new());
    let (mut next, mut cycles) = (0, 0);
    for root in (0..count).filter(|&node| stuck[node]) {
        if order[root] == UNSEEN {
            calls.push((root, 0));
        }
        while let Some((node, done)) = calls.pop() {
            if done == 0 {
                (order[node], low[node], open[node]) = (next, next, true);
                next += 1;
                component.push(node);
            } else {
                low[node] = low[node].min(low[successors[node][done - 1]]);
            }
            let rest = successors[node].iter().enumerate().skip(done).filter(|&(_, &to)| stuck[to]);
            let mut descent = None;
            for (at, &to) in rest {
                if order[to] == UNSEEN {
                    descent = Some((at, to));
                    break;
                }
                if open[to] {
                    low[node] = low[node].min(order[to]);
                }
            }
            if let Some((at, to)) = descent {
                calls.push((node, at + 1));
                calls.push((to, 0));
            } else if low[node] == order[node] {
                let start = component.iter().rposition(|&member| member == node).unwrap_or(0);
                let members = component.split_off(start);
                cycles += u32::from(members.len() > 1);
                for member in &members {
                    open[*member] = false;
                    cycle[*member] = (members.len() > 1).then_some(cycles);
                }
            }
        }
    }
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(u32, u32)]) -> Graph<u32> {
        let mut graph = Graph::new(100);
        for &(from, to) in edges {
            graph.connect(from, to);
        }
        graph
    }

    /// Those that are stuck, with the number of their cycle.
    fn stuck(edges: &[(u32, u32)], goes_on: &[u32]) -> Vec<(u32, Option<u32>)> {
        let graph = graph(edges);
        let analysis = graph.analyse(|at| goes_on.contains(&graph.nodes()[at]));
        let all = graph.nodes().iter().enumerate().filter(|(at, _)| analysis.stuck[*at]);
        let mut stuck: Vec<_> = all.map(|(at, node)| (*node, analysis.cycle[at])).collect();
        stuck.sort_unstable();
        stuck
    }

    #[test]
    fn two_who_wait_for_each_other_are_a_cycle_and_who_waits_for_them_is_stuck() {
        assert_eq!(stuck(&[(1, 2), (2, 1), (3, 1)], &[]), [(1, Some(1)), (2, Some(1)), (3, None)]);
    }

    #[test]
    fn a_chain_that_ends_outside_goes_on() {
        assert_eq!(stuck(&[(1, 2), (2, 3)], &[]), []);
        assert_eq!(stuck(&[(1, 2), (2, 1)], &[2]), []);
    }

    #[test]
    fn one_way_out_of_a_cycle_is_enough() {
        assert_eq!(stuck(&[(1, 2), (2, 1), (2, 3)], &[]), []);
        assert_eq!(stuck(&[(1, 2), (2, 1), (2, 3), (3, 4), (4, 3)], &[]).len(), 4);
    }

    #[test]
    fn cycles_are_told_apart() {
        let edges = [(1, 2), (2, 1), (3, 4), (4, 5), (5, 3), (5, 1)];
        let found = stuck(&edges, &[]);
        assert_eq!(found, [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, Some(2)), (5, Some(2))]);
    }

    #[test]
    fn a_long_cycle_takes_no_deep_stack() {
        let edges: Vec<(u32, u32)> = (0..10_000).map(|at| (at, (at + 1) % 10_000)).collect();
        let mut graph = Graph::new(edges.len());
        edges.iter().for_each(|&(from, to)| graph.connect(from, to));
        let analysis = graph.analyse(|_| false);
        assert!(analysis.cycle.iter().all(|cycle| *cycle == Some(1)));
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let mut graph = Graph::new(2);
        graph.connect(1, 2);
        graph.connect(2, 1);
        assert!(!graph.is_truncated());
        graph.connect(2, 3);
        assert!(graph.is_truncated());
        // The edge that is missing may be the way out.
        assert!(!graph.analyse(|_| false).stuck.contains(&true));
    }
}
