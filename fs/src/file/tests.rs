//! The descriptor table against a naive map.

use alloc::collections::BTreeMap;

use base::Errno;
use base::caller::Resource;
use proptest::prelude::*;

use super::*;
use crate::testing;
use crate::tmpfs::{MemfdFlags, memfd_create};

#[derive(Clone, Debug)]
enum Step {
    Insert(bool),
    Dup(i32, usize),
    DupTo(i32, i32),
    Close(i32),
    CloseRange(u32, u32),
    CloseOnExec,
    Fork,
}

const LIMIT: u64 = 80;

fn step() -> impl Strategy<Value = Step> {
    let fd = -1i32..90;
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Insert),
        1 => (fd.clone(), 0usize..90).prop_map(|(fd, from)| Step::Dup(fd, from)),
        2 => (fd.clone(), fd.clone()).prop_map(|(old, new)| Step::DupTo(old, new)),
        2 => fd.prop_map(Step::Close),
        1 => (0u32..90, 0u32..9).prop_map(|(first, more)| Step::CloseRange(first, first + more)),
        1 => Just(Step::CloseOnExec),
        1 => Just(Step::Fork),
    ]
}

/// File id and close-on-exec by descriptor.
type Model = BTreeMap<i32, (u64, bool)>;

fn lowest_free(model: &Model, from: i32) -> Result<i32, Errno> {
    (from..LIMIT as i32).find(|fd| !model.contains_key(fd)).ok_or(Errno::EMFILE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_table_is_a_map_with_the_lowest_free_number(steps in proptest::collection::vec(step(), 1..150)) {
        let caller = testing::root();
        caller.limits.set(Resource::OpenFiles, LIMIT, LIMIT);
        let (mut table, mut model) = (FdTable::new(), Model::new());
        for step in steps {
            match step {
                Step::Insert(cloexec) => {
                    let file = memfd_create(&caller, b"", MemfdFlags::empty()).unwrap();
                    let (id, expected) = (file.id(), lowest_free(&model, 0));
                    prop_assert_eq!(table.insert(&caller, file, cloexec), expected);
                    if let Ok(fd) = expected {
                        model.insert(fd, (id, cloexec));
                    }
                }
                Step::Dup(fd, from) => {
                    let expected = match model.get(&fd) {
                        None => Err(Errno::EBADF),
                        Some(_) => lowest_free(&model, from as i32),
                    };
                    prop_assert_eq!(table.duplicate_fd(&caller, fd, from, true), expected);
                    if let Ok(new) = expected {
                        model.insert(new, (model[&fd].0, true));
                    }
                }
                Step::DupTo(old, new) => {
                    let valid = model.contains_key(&old) && (0..LIMIT as i32).contains(&new);
                    let found = table.duplicate_to(&caller, old, new, false);
                    prop_assert_eq!(found, if valid { Ok(new) } else { Err(Errno::EBADF) });
                    if valid {
                        model.insert(new, (model[&old].0, false));
                    }
                }
                Step::Close(fd) => {
                    let found = table.close(fd);
                    prop_assert_eq!(found, model.remove(&fd).map(|_| ()).ok_or(Errno::EBADF));
                }
                Step::CloseRange(first, last) => {
                    testing::now(table.close_range(first, last));
                    model.retain(|fd, _| !(first as i32..=last as i32).contains(fd));
                }
                Step::CloseOnExec => {
                    testing::now(table.close_on_exec());
                    model.retain(|_, (_, cloexec)| !*cloexec);
                }
                Step::Fork => {
                    let copy = table.duplicate(&caller).unwrap();
                    testing::now(table.leave());
                    prop_assert!(table.next_open(0).is_none());
                    table = copy;
                }
            }
            let mut found = Model::new();
            let mut next = table.next_open(0);
            while let Some((fd, entry)) = next {
                found.insert(fd as i32, (entry.file.id(), entry.cloexec));
                next = table.next_open(fd + 1);
            }
            prop_assert_eq!(&found, &model);
        }
        testing::now(table.leave());
        drop(table);
        prop_assert_eq!(caller.account.charged(), 0);
    }
}

#[test]
fn a_reserved_descriptor_is_nobodys_and_comes_back() {
    let caller = testing::root();
    let table = FdTable::new();
    let file = memfd_create(&caller, b"", MemfdFlags::empty()).unwrap();
    let reserved = table.reserve(&caller, 0).unwrap();
    assert_eq!(table.get(0).err(), Some(Errno::EBADF));
    assert_eq!(table.insert(&caller, file.clone(), false), Ok(1));
    assert_eq!(table.duplicate_to(&caller, 1, 0, false), Err(Errno::EBUSY));
    assert_eq!(table.close(0).err(), Some(Errno::EBADF));
    drop(reserved);
    assert_eq!(table.duplicate_to(&caller, 1, 0, false), Ok(0));
    assert_eq!(table.limit_rights(0, FdRights::READ), Ok(FdRights::READ));
    assert_eq!(table.duplicate_fd(&caller, 0, 0, false), Err(Errno::EPERM));
    assert_eq!(table.get_required(0, FdRights::WRITE).err(), Some(Errno::EBADF));
}

#[test]
fn appends_and_positions_are_shared_by_duplicates() {
    let caller = testing::root();
    let file = memfd_create(&caller, b"", MemfdFlags::empty()).unwrap();
    let write = |bytes: &[u8]| testing::with_bytes(bytes, |buffer| testing::now(file.write(&caller, buffer)));
    assert_eq!(write(b"hello"), Ok(5));
    assert_eq!(testing::now(file.seek(-3, Whence::Current)), Ok(2));
    assert_eq!(write(b"LL"), Ok(2));
    file.set_status(&caller, OpenFlags::APPEND).unwrap();
    assert_eq!(write(b"!"), Ok(1));
    assert_eq!(testing::now(file.seek(0, Whence::Current)), Ok(6));
    assert_eq!(testing::now(file.read_kernel(&caller, 0, 100)), Ok(b"heLLo!".to_vec()));
    caller.limits.set(Resource::FileSize, 8, 8);
    assert_eq!(write(b"abcdef"), Ok(2));
    assert_eq!(write(b"g"), Err(Errno::EFBIG));
}
