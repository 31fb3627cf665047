use alloc::sync::Arc;

use base::Errno;

use super::queue::{QUEUE_MAX, Queue, Read};
use crate::testing;

fn read(queue: &mut Queue, length: usize) -> (Read, Vec<u8>) {
    testing::into_bytes(length, |buffer| queue.read(buffer))
}

#[test]
fn names_are_padded_and_events_come_whole() {
    let account = testing::root().account;
    let mut queue = Queue::default();
    assert!(queue.push(&account, 1, 0x100, 0, Some(b"a")));
    assert!(queue.push(&account, 1, 0x100, 0, Some(b"fifteen bytes..")));
    assert!(queue.push(&account, 1, 0x100, 0, Some(b"sixteen bytes...")));
    assert!(queue.push(&account, 2, 0x2, 0, None));
    assert_eq!(queue.bytes(), 32 + 32 + 48 + 16);
    assert_eq!(read(&mut queue, 31), (Read::TooSmall, vec![]));
    let (end, bytes) = read(&mut queue, 100);
    assert_eq!((end, bytes.len()), (Read::Done, 64), "the third does not fit");
    assert_eq!(bytes[..20], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, b'a', 0, 0, 0]);
    assert_eq!(read(&mut queue, 1000).1.len(), 64);
    assert_eq!((read(&mut queue, 1000).0, queue.bytes()), (Read::Empty, 0));
    assert_eq!(account.charged(), 0);
}

#[test]
fn the_same_again_is_told_once_unless_something_lies_between() {
    let account = testing::root().account;
    let mut queue = Queue::default();
    let mut push = |mask, name: Option<&[u8]>| queue.push(&account, 1, mask, 0, name);
    assert!(push(2, None));
    assert!(!push(2, None));
    assert!(push(2, Some(b"a")));
    assert!(push(2, None));
    assert!(push(super::queue::IGNORED, None) && push(super::queue::IGNORED, None));
    assert_eq!(read(&mut queue, 1000).1.len(), 16 + 32 + 16 + 32);
}

#[test]
fn a_full_queue_says_so_once() {
    let account = testing::root().account;
    let mut queue = Queue::default();
    for number in 0..QUEUE_MAX + 10 {
        queue.push(&account, 1, if number % 2 == 0 { 2 } else { 4 }, 0, None);
    }
    assert_eq!(queue.bytes(), 16 * (QUEUE_MAX + 1));
    let (_, bytes) = read(&mut queue, 16 * (QUEUE_MAX + 1));
    assert_eq!(bytes[bytes.len() - 16..][..8], [255, 255, 255, 255, 0, 0x40, 0, 0]);
    assert!(queue.push(&account, 1, 2, 0, None), "and goes on afterwards");
}

#[test]
fn a_missing_page_loses_nothing() {
    let account = testing::root().account;
    let mut queue = Queue::default();
    queue.push(&account, 1, 2, 0, Some(b"name"));
    let memory = base::memory::KernelBytes::new(vec![0; 20]);
    let mut buffer = base::memory::UserBuffer::new(&memory, 0, 64, base::memory::Access::Write);
    assert_eq!(queue.read(&mut buffer), Read::Fault);
    assert_eq!(read(&mut queue, 64).1.len(), 32);
}

#[test]
fn an_instance_without_events_has_nothing_and_forgets_its_watches() {
    let caller = testing::root();
    let inode: Arc<dyn crate::vfs::Inode> =
        Arc::new(crate::vfs::AnonymousInode::new(crate::vfs::FileType::Fifo, 0o600, 0, 0));
    let file = super::Inotify::open(&caller, true).unwrap();
    let instance = super::Inotify::of(&file).unwrap();
    let flags = super::WatchFlags::EVENTS;
    assert_eq!(instance.watch(&caller, &inode, flags), Ok(1));
    assert_eq!(instance.watch(&caller, &inode, flags | super::WatchFlags::MASK_CREATE), Err(Errno::EEXIST));
    crate::vfs::events::itself(crate::vfs::events::EventMask::MODIFY, &inode);
    assert_eq!(file.poll(), super::instance::READABLE);
    assert_eq!(instance.remove(1), Ok(()));
    assert_eq!(instance.remove(1), Err(Errno::EINVAL));
    assert_eq!(instance.watch(&caller, &inode, flags), Ok(2), "numbers do not come again");
    assert_eq!(Arc::strong_count(&inode), 2);
    drop(file);
    assert_eq!(Arc::strong_count(&inode), 1);
}
