//! Tables against a model, and their statistics.

use super::*;
use std::collections::BTreeMap;
use std::string::ToString;

fn lcg(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// What the statistics should be, counted.
fn counted<V>(table: &HashTable<u32, V>) -> Statistics {
    let depth = |place| {
        let (mut depth, mut at) = (0, table.bucket(place).first);
        while let Some(entry) = table.entries.get(at) {
            assert_eq!(table.place(&entry.key), Some(place), "each entry is in its bucket");
            (depth, at) = (depth + 1, entry.next);
        }
        depth
    };
    let depths: Vec<usize> = (0..table.buckets).map(depth).collect();
    Statistics {
        buckets: table.buckets,
        used_buckets: depths.iter().filter(|depth| **depth > 0).count(),
        entries: depths.iter().sum(),
        max_bucket_depth: depths.iter().max().copied().unwrap_or(0),
    }
}

#[test]
fn a_table_is_a_map() {
    let (mut table, mut model, mut state) = (HashTable::<u32, u64>::new(), BTreeMap::new(), 1);
    let rounds = if cfg!(miri) { 400 } else { 20_000 };
    for round in 0..rounds {
        let (key, value) = ((lcg(&mut state) % 700) as u32, lcg(&mut state));
        // Fills and drains by turns.
        if lcg(&mut state) % 10 < if round % 4000 < 2000 { 7 } else { 2 } {
            assert_eq!(table.insert(key, value), model.insert(key, value));
        } else {
            assert_eq!(table.remove(&key), model.remove(&key));
        }
        assert_eq!(table.get(&key), model.get(&key));
        assert_eq!(table.len(), model.len());
        if round % 100 == 0 {
            assert_eq!(table.statistics(), counted(&table));
        }
    }
    assert!((0..700).all(|key| table.get(&key) == model.get(&key)));
}

#[test]
fn a_table_grows_by_a_few_buckets_at_a_time() {
    let mut table = HashTable::<u32, ()>::new();
    assert_eq!(table.statistics(), Statistics::default());
    assert!(table.get(&1).is_none() && table.remove(&1).is_none());
    for key in 0..1000 {
        let before = table.statistics().buckets;
        table.insert(key, ());
        let after = table.statistics();
        assert!(after.buckets <= before.max(FIRST_BUCKETS) + SPLITS);
        assert!(after.load_per_mille() <= 600 && !after.rehash_recommended(), "{after:?}");
    }
    assert_eq!(table.statistics(), counted(&table));
    (0..1000).for_each(|key| assert!(table.remove(&key).is_some()));
    let empty = table.statistics();
    assert_eq!((empty.entries, empty.used_buckets, empty.max_bucket_depth), (0, 0, 0));
    assert!(table.is_empty());
}

#[test]
fn names_are_keys_that_can_be_borrowed() {
    let mut table = HashTable::<alloc::sync::Arc<[u8]>, u32>::new();
    table.insert(b"one".as_slice().into(), 1);
    assert_eq!(table.get(b"one".as_slice()), Some(&1));
    assert!(!table.contains_key(b"two".as_slice()));
    assert_eq!(table.insert(b"one".as_slice().into(), 2), Some(1));
    assert_eq!(table.remove(b"one".as_slice()), Some(2));
}

#[test]
fn statistics_have_their_format() {
    let statistics = Statistics { buckets: 1024, used_buckets: 61, entries: 64, max_bucket_depth: 2 };
    assert_eq!(
        statistics.to_string(),
        "buckets=1024 used_buckets=61 entries=64 load_per_mille=62 avg_chain_per_mille=1049 \
         collision_entries=3 max_bucket_depth=2 rehash_recommended=0"
    );
    let with = |entries, max_bucket_depth| {
        Statistics { buckets: 1024, used_buckets: 1000, entries, max_bucket_depth }.rehash_recommended()
    };
    assert!(!with(2049, 7) && with(2050, 7) && with(9, 8));
}
