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
    table.chains.counted(&table.entries)
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
        assert!(after.buckets <= Chains::<Depths>::most_after(before));
        assert!(after.load_per_mille() <= 600 && !after.rehash_recommended(), "{after:?}");
    }
    assert_eq!(table.statistics(), counted(&table));
    for key in 0..1000 {
        let before = table.statistics().buckets;
        assert!(table.remove(&key).is_some());
        let after = table.statistics();
        assert!(after.buckets + 4 >= before && after.max_bucket_depth < 8, "{after:?}");
        assert!(after.entries < 8 || after.load_per_mille() >= 200, "{after:?}");
    }
    let empty = table.statistics();
    assert_eq!((empty.entries, empty.used_buckets, empty.max_bucket_depth), (0, 0, 0));
    assert!(empty.buckets <= 8, "{empty:?}");
    assert!(table.is_empty());
}

#[test]
fn names_are_keys_that_can_be_borrowed() {
    crate::host::install();
    let mut table = HashTable::<alloc::sync::Arc<[u8]>, u32>::new();
    table.insert(b"one".as_slice().into(), 1);
    assert_eq!(table.get(b"one".as_slice()), Some(&1));
    assert!(!table.contains_key(b"two".as_slice()));
    assert_eq!(table.insert(b"one".as_slice().into(), 2), Some(1));
    assert_eq!(table.remove(b"one".as_slice()), Some(2));
}

#[test]
fn small_tables_are_counted_together() {
    static ALL: SharedDepths = SharedDepths::new();
    let mut tables: Vec<HashTable<u32, u32, Share>> = (0..3).map(|_| HashTable::counted_in(&ALL)).collect();
    assert_eq!(ALL.statistics(), Statistics::default());
    for key in 0..90 {
        tables[key as usize % 3].insert(key, key);
    }
    let each = tables.iter().map(|table| table.chains.counted(&table.entries));
    let sum = each.fold(Statistics::default(), |sum, one| Statistics {
        buckets: sum.buckets + one.buckets,
        used_buckets: sum.used_buckets + one.used_buckets,
        entries: sum.entries + one.entries,
        max_bucket_depth: sum.max_bucket_depth.max(one.max_bucket_depth),
    });
    assert_eq!((ALL.statistics(), sum.entries), (sum, 90));
    let mut values: Vec<u32> = tables.iter_mut().flat_map(HashTable::take_all).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..90) && tables.iter().all(HashTable::is_empty));
    drop(tables);
    assert_eq!(ALL.statistics(), Statistics::default());
}

#[test]
fn entries_that_somebody_else_keeps_are_linked_where_they_are() {
    struct Element {
        key: u64,
        next: u32,
    }
    struct List(Vec<Element>);
    impl Entries for List {
        fn hash(&self, at: u32) -> Option<u64> {
            self.0.get(at as usize).map(|element| mix(element.key))
        }
        fn next(&self, at: u32) -> u32 {
            self.0.get(at as usize).map_or(NONE, |element| element.next)
        }
        fn set_next(&mut self, at: u32, next: u32) {
            self.0[at as usize].next = next;
        }
    }
    let mut list = List((0..19).map(|key| Element { key: key * 1000, next: NONE }).collect());
    let mut chains = Chains::new(Depths::new());
    let find = |chains: &Chains, list: &List, key: u64| {
        let mut at = chains.first(mix(key));
        while at != NONE && list.0[at as usize].key != key {
            at = list.next(at);
        }
        at
    };
    (0..19).for_each(|at| chains.insert(&mut list, at));
    assert!((0..19).all(|at| find(&chains, &list, u64::from(at) * 1000) == at));
    assert_eq!(find(&chains, &list, 1), NONE);
    assert_eq!((chains.statistics(), chains.len()), (chains.counted(&list), 19));
    for at in (0..19).step_by(2) {
        chains.remove(&mut list, at);
        // Nothing happens the second time.
        chains.remove(&mut list, at);
    }
    assert!(
        (0..19).all(|at| find(&chains, &list, u64::from(at) * 1000) == if at % 2 == 0 { NONE } else { at })
    );
    assert_eq!((chains.statistics(), chains.len()), (chains.counted(&list), 9));
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
