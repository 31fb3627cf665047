//! Both sides of a FIFO open it, and one may be gone before the other looks.

use alloc::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::{explore, give, take};
use crate::file::{AccessMode, OpenFile, OpenFlags};
use crate::pipe::open_fifo;
use crate::testing;
use crate::vfs::{AnonymousInode, FileType, Inode, anonymous_place};

fn open(inode: &Arc<dyn Inode>, access: AccessMode, mode: OpenFlags) -> Arc<OpenFile> {
    let end = block_on(open_fifo(inode, access, false)).unwrap();
    OpenFile::new(&testing::root(), end, anonymous_place(inode.clone(), b"fifo"), mode).unwrap()
}

#[test]
fn sides_of_a_fifo_meet_however_short_they_stay() {
    explore(|| {
        let inode: Arc<dyn Inode> = Arc::new(AnonymousInode::new(FileType::Fifo, 0o600, 0, 0));
        let own = inode.clone();
        let writer = thread::spawn(move || {
            let to = open(&own, AccessMode::WRITE, OpenFlags::WRONLY);
            block_on(give(&to, 7));
        });
        let from = open(&inode, AccessMode::READ, OpenFlags::empty());
        assert_eq!(block_on(take(&from)), Ok(7));
        writer.join().unwrap();
    });
}
