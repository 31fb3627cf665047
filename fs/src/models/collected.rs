//! The collector of what only lies in queues, beside those who take something out.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use base::memory::{Access, KernelBytes, UserBuffer};
use base::sync::atomic::{AtomicBool, Ordering};
use ipc::collector::collect;
use shuttle::future::block_on;
use shuttle::thread;

use super::explore;
use crate::file::{FdEntry, OpenFile, OpenFlags};
use crate::testing;
use crate::tmpfs::TmpFs;
use crate::unix::{Kind, Outgoing, ReceiveFlags, Rights, SendFlags, Socket, pair};
use crate::vfs::{FsContext, Mount, MountFlags, Namespace, Subject};

fn send(file: &Arc<OpenFile>, what: &[u8], files: &[&Arc<OpenFile>]) {
    let caller = testing::root();
    let entries = files.iter().map(|file| FdEntry::new((*file).clone(), false)).collect();
    let rights = Rights::new(&caller, entries).unwrap();
    let memory = KernelBytes::new(what.to_vec());
    let mut buffer = UserBuffer::new(&memory, 0, what.len(), Access::Read);
    let mut outgoing = Outgoing::default();
    outgoing.rights = Some(rights);
    let socket = Socket::of(file).unwrap();
    block_on(socket.send(&caller, &mut buffer, outgoing, SendFlags::empty(), true)).unwrap();
}

/// The descriptors of the next message.
fn receive(file: &Arc<OpenFile>) -> Vec<Arc<OpenFile>> {
    let memory = KernelBytes::new(vec![0; 8]);
    let mut buffer = UserBuffer::new(&memory, 0, 8, Access::Write);
    let (_, reception) =
        block_on(Socket::of(file).unwrap().receive(&mut buffer, ReceiveFlags::empty(), true)).unwrap();
    reception.rights.iter().map(|entry| entry.file.clone()).collect()
}

/// A connection holds a socket, in whose queue the listener lies: accepted, the listener is let go at once.
#[test]
fn what_comes_with_an_accepted_connection_is_not_collected() {
    explore(|| {
        let caller = testing::root();
        let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
        let context = FsContext::new(&Namespace::new(&root));
        let subject = Subject { caller: &caller, fs: &context };
        let open = || Socket::open(&caller, Kind::Stream, OpenFlags::empty()).unwrap();
        let (server, client) = (open(), open());
        Socket::of(&server).unwrap().bind(subject, b"\x01\0\0model").unwrap();
        Socket::of(&server).unwrap().listen(&caller, 1).unwrap();
        block_on(Socket::of(&client).unwrap().connect(subject, b"\x01\0\0model", true)).unwrap();
        let (held, other) = pair(&caller, Kind::SeqPacket, OpenFlags::empty()).unwrap();
        send(&other, b"in it", &[&server]);
        send(&client, b"x", &[&held]);
        drop((held, other));
        let done = Arc::new(AtomicBool::new(false));
        let looks = {
            let done = done.clone();
            thread::spawn(move || {
                while !done.load(Ordering::Acquire) {
                    block_on(collect());
                    thread::yield_now();
                }
            })
        };
        let accept = Socket::of(&server).unwrap().accept(&caller, OpenFlags::empty(), true);
        let connection = block_on(accept).unwrap();
        drop(server);
        let held = receive(&connection);
        assert_eq!(receive(&held[0]).len(), 1, "its queue was emptied");
        done.store(true, Ordering::Release);
        looks.join().unwrap();
    });
}
