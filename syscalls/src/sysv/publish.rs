//! `/proc/sysvipc`: a table of each kind of objects. Source: `proc(5)`.

use core::fmt::Write;

use base::Result;
use base::caller::Caller;
use fs::procfs::ProcFs;
use fs::pseudo::Text;

use super::ids::Ids;
use super::memory::SEGMENTS_BY_ID;
use super::memory::control::bytes_of;
use super::message::QUEUES_BY_ID;
use super::permission::Permissions;
use super::semaphore::SETS_BY_ID;
use super::settings;

const SEM_HEADER: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime";
const MSG_HEADER: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime";
const SHM_HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap";

/// Puts the files in place, and those of the limits.
pub fn publish(proc: &ProcFs) {
    let tree = &proc.tree;
    let directory = tree.directory(tree.root(), "sysvipc");
    tree.file(&directory, "sem", semaphores);
    tree.file(&directory, "msg", messages);
    tree.file(&directory, "shm", memory);
    settings::publish(proc);
}

/// Renders each object of a kind.
fn for_each<T>(ids: &Ids<T>, mut render: impl FnMut(&T)) {
    let mut next = Some(0);
    while let Some((index, object)) = next.and_then(|index| ids.next(index)) {
        render(&object);
        next = index.checked_add(1);
    }
}

/// The columns that all kinds begin with; `extra` are more bits of the mode.
fn begin(text: &mut Text, permissions: &Permissions, extra: u32) {
    let Permissions { key, id, mode, .. } = permissions;
    // A full text is noticed by the frame.
    let _ = write!(text, "{key:10} {id:10}  {:4o} ", mode | extra);
}

/// The columns of owner and creator.
fn owners(text: &mut Text, permissions: &Permissions) {
    let Permissions { uid, gid, cuid, cgid, .. } = permissions;
    let _ = write!(text, "{uid:5} {gid:5} {cuid:5} {cgid:5} ");
}

fn semaphores(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{SEM_HEADER}");
    for_each(&SETS_BY_ID, |set| {
        let status = set.status();
        begin(text, &status.permissions, 0);
        let _ = write!(text, "{:10} ", status.count);
        owners(text, &status.permissions);
        let _ = writeln!(text, "{:10} {:10}", status.operated, status.changed);
    });
    Ok(())
}

fn messages(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{MSG_HEADER}");
    for_each(&QUEUES_BY_ID, |queue| {
        let status = queue.status();
        begin(text, &status.permissions, 0);
        let (sent, received) = (status.sent, status.received);
        let _ = write!(text, " {:10} {:10} {:5} {:5} ", status.bytes, status.messages, sent.1, received.1);
        owners(text, &status.permissions);
        let _ = writeln!(text, "{:10} {:10} {:10}", sent.0, received.0, status.changed);
    });
    Ok(())
}

fn memory(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "{SHM_HEADER}");
    for_each(&SEGMENTS_BY_ID, |segment| {
        let status = segment.status();
        begin(text, &status.permissions, status.flags);
        let (creator, last_user) = (status.creator, status.last_user);
        let _ = write!(text, "{:21} {creator:5} {last_user:5}  {:5} ", status.size, status.attachments);
        owners(text, &status.permissions);
        let _ = write!(text, "{:10} {:10} {:10} ", status.attached, status.detached, status.changed);
        let _ = writeln!(text, "{:21} {:21}", bytes_of(status.resident_pages), 0);
    });
    Ok(())
}
