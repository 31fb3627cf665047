//! Delta debugging: from a list that fails to one in which nothing can be left out.
//!
//! Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002 (ddmin).
//! The lists of one round do not depend on each other, so they are tried side by side.

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shrunk<T> {
    /// The smallest list that failed.
    pub(super) list: Vec<T>,
    /// Whether no item of it can be left out; false when the tries ran out before that was known.
    pub(super) is_minimal: bool,
    /// Lists that were tried.
    pub(super) tries: usize,
}

/// Leaves out of `list`, which fails, what is not needed for it to fail. `fails` is given several lists and says
/// which of them fail; it is given `most` lists in all, or a few more.
pub(super) fn shrink<T: Clone>(
    list: Vec<T>,
    most: usize,
    mut fails: impl FnMut(&[Vec<T>]) -> Vec<bool>,
) -> Shrunk<T> {
    let mut search = Search { list, tries: 0, fails: &mut fails };
    if search.list.is_empty() || search.first_that_fails(vec![Vec::new()]) {
        return Shrunk { list: search.list, is_minimal: true, tries: search.tries };
    }
    let mut parts = 2;
    while search.list.len() > 1 {
        if search.tries >= most {
            return Shrunk { list: search.list, is_minimal: false, tries: search.tries };
        }
        parts = parts.min(search.list.len());
        let (alone, without) = cuts(&search.list, parts);
        if search.first_that_fails(alone) {
            parts = 2;
        } else if parts > 2 && search.first_that_fails(without) {
            parts -= 1;
        } else if parts == search.list.len() {
            break;
        } else {
            parts *= 2;
        }
    }
    Shrunk { list: search.list, is_minimal: true, tries: search.tries }
}

struct Search<'a, T> {
    list: Vec<T>,
    tries: usize,
    fails: &'a mut dyn FnMut(&[Vec<T>]) -> Vec<bool>,
}

impl<T> Search<'_, T> {
    /// Goes on with the first of `candidates` that fails, if one does.
    fn first_that_fails(&mut self, mut candidates: Vec<Vec<T>>) -> bool {
        self.tries += candidates.len();
        let found = (self.fails)(&candidates).into_iter().position(|fails| fails);
        if let Some(index) = found {
            self.list = candidates.swap_remove(index);
        }
        found.is_some()
    }
}

/// Each of `parts` pieces of `list`, and the list without each of them.
fn cuts<T: Clone>(list: &[T], parts: usize) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
    let border = |part: usize| list.len() * part / parts;
    let ranges = (0..parts).map(|part| border(part)..border(part + 1));
    let alone = ranges.clone().map(|range| list[range].to_vec());
    let without = ranges.map(|range| [&list[..range.start], &list[range.end..]].concat());
    (alone.collect(), without.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shrinks 0..count, which fails while it has all of `needed`.
    fn search(count: u32, needed: &[u32], most: usize) -> Shrunk<u32> {
        let fails = |list: &Vec<u32>| needed.iter().all(|item| list.contains(item));
        shrink((0..count).collect(), most, |lists| lists.iter().map(fails).collect())
    }

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        for needed in [&[][..], &[0], &[99], &[3, 57], &[0, 1, 2, 50, 99], &[10, 20, 30, 40, 60, 80]] {
            let shrunk = search(100, needed, usize::MAX);
            assert_eq!(shrunk.list, needed);
            assert!(shrunk.is_minimal && shrunk.tries < 500, "{shrunk:?}");
        }
        assert_eq!(search(1, &[0], 10).list, [0]);
        assert_eq!(search(0, &[], 10), Shrunk { list: vec![], is_minimal: true, tries: 0 });
    }

    #[test]
    fn a_search_that_takes_too_long_says_what_it_has() {
        let shrunk = search(1000, &[1, 500, 999], 20);
        assert!(!shrunk.is_minimal && shrunk.list.len() < 1000 && shrunk.list.contains(&500));
    }
}
