//! A sequence that grows and shrinks in chunks and never copies what it has: small ones first, so that a small table is
//! small.

use alloc::vec::Vec;

/// Elements of the first chunk, and of the second. Each further one has twice as many as the one before, up to
/// [`LARGEST`].
const FIRST: usize = 4;
/// Elements of a chunk at most.
const LARGEST: usize = 64;
/// Chunks that are smaller than the largest.
const SMALL_CHUNKS: usize = (LARGEST / FIRST).ilog2() as usize + 1;

/// Elements by index.
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

/// The chunk of an index, and the place in it.
#[inline]
fn locate(index: usize) -> (usize, usize) {
    if index >= LARGEST {
        return (SMALL_CHUNKS - 1 + index / LARGEST, index % LARGEST);
    }
    let chunk = ((index | (FIRST - 1)).ilog2() - (FIRST - 1).ilog2()) as usize;
    (chunk, if chunk == 0 { index } else { index - (FIRST << (chunk - 1)) })
}

/// Elements of a chunk.
fn size(chunk: usize) -> usize {
    if chunk >= SMALL_CHUNKS { LARGEST } else { FIRST << chunk.saturating_sub(1) }
}

impl<T> Chunks<T> {
    pub(super) const fn new() -> Chunks<T> {
        Chunks { chunks: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, place) = locate(index);
        self.chunks.get(chunk)?.get(place)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (chunk, place) = locate(index);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }

    pub(super) fn push(&mut self, element: T) {
        let (chunk, _) = locate(self.len);
        if chunk == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(size(chunk)));
        }
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            chunk.push(element);
            self.len += 1;
        }
    }

    /// Takes the last element. One chunk is kept in reserve, so that not every other push makes one.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (chunk, _) = locate(self.len.checked_sub(1)?);
        let element = self.chunks.get_mut(chunk)?.pop()?;
        self.len -= 1;
        self.chunks.truncate(chunk + 2);
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
        Some(element)
    }

    /// Takes an element; the last one comes to its place.
    pub(super) fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.pop()?;
        if index == self.len { Some(last) } else { Some(core::mem::replace(self.get_mut(index)?, last)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_has_its_place() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.get(0), None);
        (0..1000).for_each(|index| chunks.push(index));
        assert!((0..1000).all(|index| chunks.get(index) == Some(&index)));
        assert_eq!((chunks.get(1000), chunks.len()), (None, 1000));
        assert_eq!((chunks.swap_remove(77), chunks.get(77)), (Some(77), Some(&999)));
        assert_eq!((chunks.swap_remove(998), chunks.get(998)), (Some(998), None));
        assert!((0..998).rev().all(|index| chunks.pop() == Some(if index == 77 { 999 } else { index })));
        assert_eq!((chunks.pop(), chunks.len()), (None, 0));
    }

    #[test]
    fn there_is_little_more_room_than_is_used() {
        let mut chunks = Chunks::new();
        let room = |chunks: &Chunks<()>| (0..chunks.chunks.len()).map(size).sum::<usize>();
        for (index, expected) in [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 192)] {
            while chunks.len() <= index {
                chunks.push(());
            }
            assert_eq!(room(&chunks), expected);
        }
        while chunks.pop().is_some() {}
        assert_eq!((room(&chunks), chunks.chunks.capacity() <= 8), (8, true));
    }
}
