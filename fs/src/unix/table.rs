//! All sockets: `/proc/net/unix`, and the limits under `/proc/sys/net`.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;

use base::Result;
use base::caller::Caller;
use base::sync::{LockClass, SpinLock};

use super::listen::BACKLOG_MAX;
use super::names;
use super::options::{BUFFER_DEFAULT, BUFFER_MAX};
use super::socket::{DATAGRAMS_MAX, Phase, Socket};
use crate::procfs::ProcFs;
use crate::pseudo::Text;
use crate::sysfs;

static SOCKETS: SpinLock<BTreeMap<u64, Weak<Socket>>> =
    SpinLock::new(LockClass::SocketNames, BTreeMap::new());

/// Adds a new socket.
pub(super) fn add(socket: &Arc<Socket>) {
    SOCKETS.lock().insert(socket.inode.ino(), Arc::downgrade(socket));
}

/// A socket has ended. Further calls have no effect.
pub(super) fn remove(ino: u64) {
    let removed = SOCKETS.lock().remove(&ino);
    drop(removed);
}

/// Publishes the table and the limits.
pub(crate) fn publish(proc: &ProcFs) {
    let tree = &proc.tree;
    sysfs::show_table("unix_names", names::statistics);
    let net = tree.directory(tree.root(), "net");
    tree.file(&net, "unix", list);
    let core = tree.directory(&proc.sys_net, "core");
    tree.file(&core, "somaxconn", |_, text| number(text, BACKLOG_MAX as usize));
    for name in ["wmem_default", "rmem_default"] {
        tree.file(&core, name, |_, text| number(text, BUFFER_DEFAULT));
    }
    for name in ["wmem_max", "rmem_max"] {
        tree.file(&core, name, |_, text| number(text, BUFFER_MAX));
    }
    let unix = tree.directory(&proc.sys_net, "unix");
    tree.file(&unix, "max_dgram_qlen", |_, text| number(text, DATAGRAMS_MAX as usize));
}

// A writer that is full is noticed by the frame.
fn number(text: &mut Text, number: usize) -> Result<()> {
    let _ = writeln!(text, "{number}");
    Ok(())
}

fn list(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "Num       RefCount Protocol Flags    Type St Inode Path");
    let sockets: Vec<Weak<Socket>> = SOCKETS.lock().values().cloned().collect();
    for socket in sockets.iter().filter_map(Weak::upgrade) {
        line(&socket, text);
    }
    Ok(())
}

/// One socket. A connection that nobody has accepted has no inode and is being connected.
fn line(socket: &Arc<Socket>, text: &mut Text) {
    const LISTENS: u32 = 1 << 16;
    let (phase, embryo, address) = {
        let state = socket.state.lock();
        (state.phase, state.embryo, state.address.clone())
    };
    let ino = socket.inode.ino();
    let flags = if phase == Phase::Listening { LISTENS } else { 0 };
    let state = match phase {
        Phase::Connected if embryo => 2,
        Phase::Connected => 3,
        _ => 1,
    };
    // The count without the one that looks.
    let references = Arc::strong_count(socket).saturating_sub(1);
    let shown = if embryo { 0 } else { ino };
    let kind = socket.kind.number();
    let _ =
        write!(text, "{ino:016x}: {references:08X} 00000000 {flags:08X} {kind:04X} {state:02X} {shown:5}");
    if let Some(address) = address {
        let name = address.name();
        let path = name.strip_suffix(&[0]).filter(|path| path.first() != Some(&0)).unwrap_or(name);
        let _ = text.write_char(' ');
        for byte in path {
            let _ = text.write_char(if *byte == 0 { '@' } else { char::from(*byte) });
        }
    }
    let _ = text.write_char('\n');
}
