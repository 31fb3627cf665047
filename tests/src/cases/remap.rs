//! What mremap(2) does to the pages themselves: each one arrives, at every distance and across the edges of page
//! tables (2 MiB, 1 GiB), whatever lies beside them.

use super::memory::ANONYMOUS;
use crate::harness::{Case, case};
use crate::sys::*;
use libc::{MAP_FIXED, MAP_NORESERVE, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, PROT_NONE};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) const CASES: &[Case] = &[
    case!(moved_down_over_a_table_edge),
    case!(pages_arrive_across_2_mib_edges),
    case!(pages_arrive_across_a_1_gib_edge),
    case!(neighbours_stay_when_pages_move),
    case!(pages_left_behind_are_empty),
    case!(shrunk_and_moved),
    case!(buffer_that_grows_again_and_again),
    case!(copies_move_with_their_pages),
];

/// Pages that one table of the lowest level maps.
const TABLE: usize = 512;
const ARENA_LEN: usize = 3 << 30;

/// Addresses that belong to the case alone and hold nothing.
struct Arena {
    start: usize,
}

impl Arena {
    fn new() -> Arena {
        let flags = ANONYMOUS | MAP_NORESERVE;
        Arena { start: map(0, ARENA_LEN, PROT_NONE, flags, -1, 0).unwrap() }
    }

    /// Takes away whatever was mapped in it.
    fn clear(&self) {
        let flags = ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
        map(self.start, ARENA_LEN, PROT_NONE, flags, -1, 0).unwrap();
    }

    /// Edge of a table of the lowest level with 512 MiB on both sides, not of a higher one.
    fn table_edge(&self) -> usize {
        (self.start + (512 << 20)).next_multiple_of(1 << 30) + (256 << 20)
    }

    /// Edge of a table one level higher.
    fn upper_edge(&self) -> usize {
        (self.start + (512 << 20)).next_multiple_of(1 << 30)
    }
}

fn map_at(at: usize, pages: usize) {
    map(at, pages * PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0).unwrap();
}

fn mremap(at: usize, old: usize, new: usize, flags: i32, to: usize) -> Sys<usize> {
    syscall!(SYS_mremap, at, old * PAGE, new * PAGE, flags, to)
}

/// Pages of a range worth a look: the ends, and both sides of each table's edge.
fn landmarks(at: usize, pages: usize) -> BTreeSet<usize> {
    let near_edge = |index: usize| {
        let place = (at / PAGE + index) % TABLE;
        !(3..TABLE - 3).contains(&place)
    };
    (0..pages).filter(|&index| index < 3 || index + 3 >= pages || near_edge(index)).collect()
}

fn fill(at: usize, indices: &BTreeSet<usize>) {
    indices.iter().for_each(|&index| word_at(at + index * PAGE).store(index as u32 + 1, Relaxed));
}

/// Each page of `indices` holds what `fill` put there, and the pages beside them nothing.
fn check(at: usize, pages: usize, indices: &BTreeSet<usize>, what: &str) {
    for index in indices.iter().flat_map(|&index| [index.saturating_sub(1), index, index + 1]) {
        if index < pages {
            let expected = if indices.contains(&index) { index as u32 + 1 } else { 0 };
            let found = word_at(at + index * PAGE).load(Relaxed);
            assert_eq!(found, expected, "page {index} of {pages} at {at:#x}: {what}");
        }
    }
}

/// The smallest example of pages that move into the table that they empty.
fn moved_down_over_a_table_edge() {
    let arena = Arena::new();
    let edge = arena.table_edge();
    let (from, to) = (edge - 2 * PAGE, edge - 8 * PAGE);
    map_at(from, 6);
    let all = (0..6).collect();
    fill(from, &all);
    assert_eq!(mremap(from, 6, 6, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
    check(to, 6, &all, "moved by 6 pages");
    // Farther: the part that stays in the first table is what the second one held.
    arena.clear();
    let (from, to) = (edge - 2 * PAGE, edge - 2 * PAGE - (TABLE + 2) * PAGE);
    map_at(from, TABLE + 2);
    let all = (0..TABLE + 2).collect();
    fill(from, &all);
    assert_eq!(mremap(from, TABLE + 2, TABLE + 2, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
    check(to, TABLE + 2, &all, "moved by a table and two pages");
}

const LENGTHS: [usize; 6] = [1, 3, 511, 512, 514, 1025];
/// Where a source begins, in pages before the edge.
const BEFORE: [usize; 5] = [0, 1, 2, 511, 513];
/// Pages between source and target.
const GAPS: [usize; 4] = [0, 1, 2, 510];

/// Moves mappings of all lengths over all gaps, up and down, and lets `each(arena, from, to, pages)` judge.
fn all_moves(edge: fn(&Arena) -> usize, each: fn(usize, usize, usize)) {
    let arena = Arena::new();
    for pages in LENGTHS {
        for before in BEFORE {
            for gap in GAPS {
                let from = edge(&arena) - before * PAGE;
                for to in [from - (pages + gap) * PAGE, from + (pages + gap) * PAGE] {
                    map_at(from, pages);
                    each(from, to, pages);
                    arena.clear();
                }
            }
        }
    }
}

fn move_and_check(from: usize, to: usize, pages: usize) {
    let marks = &landmarks(from, pages) | &landmarks(to, pages);
    fill(from, &marks);
    assert_eq!(mremap(from, pages, pages, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
    check(to, pages, &marks, &format!("from {from:#x}"));
}

fn pages_arrive_across_2_mib_edges() {
    all_moves(Arena::table_edge, move_and_check);
}

fn pages_arrive_across_a_1_gib_edge() {
    all_moves(Arena::upper_edge, move_and_check);
}

fn neighbours_stay_when_pages_move() {
    all_moves(Arena::table_edge, |from, to, pages| {
        let target = to..to + pages * PAGE;
        let beside = [from - PAGE, from + pages * PAGE, to - PAGE, target.end];
        let free = |at: &usize| !target.contains(at) && !(from..from + pages * PAGE).contains(at);
        let beside: BTreeSet<usize> = beside.into_iter().filter(free).collect();
        for &at in &beside {
            map_at(at, 1);
            word_at(at).store(0xfeed, Relaxed);
        }
        move_and_check(from, to, pages);
        assert!(beside.iter().all(|&at| word_at(at).load(Relaxed) == 0xfeed), "{from:#x} to {to:#x}");
    });
}

fn pages_left_behind_are_empty() {
    all_moves(Arena::table_edge, |from, to, pages| {
        let marks = landmarks(from, pages);
        fill(from, &marks);
        let flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
        assert_eq!(mremap(from, pages, pages, flags, to), Ok(to));
        check(to, pages, &marks, "the pages moved");
        check(from, pages, &BTreeSet::new(), "the old range is empty");
        assert!(marks.iter().all(|index| word_at(from + index * PAGE).load(Relaxed) == 0));
    });
}

fn shrunk_and_moved() {
    let arena = Arena::new();
    let edge = arena.table_edge();
    for (pages, left) in [(1030, 1), (1030, 511), (1030, 513), (600, 512), (8, 3)] {
        for before in BEFORE {
            let from = edge - before * PAGE;
            map_at(from, pages);
            let all: BTreeSet<usize> = (0..pages).collect();
            fill(from, &all);
            let to = from - left * PAGE;
            let smaller: BTreeSet<usize> = (0..left).collect();
            assert_eq!(mremap(from, pages, left, 0, 0), Ok(from));
            check(from, left, &smaller, "shrunk in place");
            assert_eq!(fault_of(|| discard(peek(from + left * PAGE))), unmapped_at(from + left * PAGE));
            assert_eq!(mremap(from, left, left, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
            check(to, left, &smaller, "and moved down against itself");
            arena.clear();
        }
    }
}

/// As realloc(3) of a buffer into which a file is read.
fn buffer_that_grows_again_and_again() {
    for step in [1, 2, 33, 128, 511, 513] {
        let mut pages = 33;
        let mut buffer = map_anonymous(pages * PAGE);
        let mut filled = 0;
        let mut obstacle = true;
        while pages < 1300 {
            fill(buffer, &(filled..pages).collect());
            filled = pages;
            if obstacle {
                // Something in the way, now and then.
                let _ = map(buffer + pages * PAGE, PAGE, PROT_NONE, ANONYMOUS, -1, 0);
            }
            obstacle = !obstacle;
            let more = if step < 33 { pages * step / 2 + step } else { step };
            buffer = mremap(buffer, pages, pages + more, MREMAP_MAYMOVE, 0).unwrap();
            pages += more;
            check(buffer, pages, &(0..filled).collect(), &format!("step {step}"));
        }
        unmap(buffer, pages * PAGE).unwrap();
    }
}

fn copies_move_with_their_pages() {
    let arena = Arena::new();
    let edge = arena.table_edge();
    let (pages, from) = (520, edge - 4 * PAGE);
    let to = from - 523 * PAGE;
    map_at(from, pages);
    let all: BTreeSet<usize> = (0..pages).collect();
    fill(from, &all);
    // The child moves pages that it shares with its parent; each one changes only its own.
    fork(|| {
        assert_eq!(mremap(from, pages, pages, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
        check(to, pages, &all, "in the child");
        (0..pages).for_each(|index| word_at(to + index * PAGE).store(7, Relaxed));
    })
    .succeeds();
    check(from, pages, &all, "in the parent");
    assert_eq!(mremap(from, pages, pages, MREMAP_MAYMOVE | MREMAP_FIXED, to), Ok(to));
    check(to, pages, &all, "moved by the parent");
}
