//! Distributions: how many of each.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// How many of each.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts the items.
    pub(crate) fn of(items: impl Iterator<Item = String>) -> Counts {
        let mut counts = Counts::default();
        items.for_each(|item| *counts.0.entry(item).or_default() += 1);
        counts
    }

    /// The commonest first, at most `most`; equals by name.
    pub(crate) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        all.truncate(most);
        all
    }

    /// As a JSON object of the commonest `most`.
    pub(crate) fn json(&self, most: usize) -> Value {
        let entries = self.top(most).into_iter().map(|(name, count)| (name.to_owned(), count.into()));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// As lines below a title; nothing when there is nothing to count.
    pub(crate) fn print(&self, title: &str, most: usize) {
        if self.0.is_empty() {
            return;
        }
        println!("{title}:");
        for (name, count) in self.top(most) {
            println!("  {name}: {count}");
        }
    }
}

/// The value below which `per_mille` of the sorted values lie; 0 of none.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_come_first() {
        let counts = Counts::of(["b", "a", "c", "b", "a"].map(String::from).into_iter());
        assert_eq!(counts.top(2), [("a", 2), ("b", 2)]);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(
            (percentile(&values, 500), percentile(&values, 990), percentile(&values, 1000)),
            (100, 198, 200)
        );
        assert_eq!((percentile(&[], 500), percentile(&[7], 990)), (0, 7));
    }
}
