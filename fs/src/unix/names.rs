//! Who is bound to which name.

use alloc::sync::{Arc, Weak};

use base::hash::{HashTable, Statistics};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use super::address::{Address, Key};
use super::socket::Socket;

static NAMES: SpinLock<HashTable<Key, Weak<Socket>>> =
    SpinLock::new(LockClass::SocketNames, HashTable::new());

/// Gives the name to `socket`.
///
/// # Errors
///
/// `EADDRINUSE` when somebody has it.
pub(super) fn insert(address: &Address, socket: &Socket) -> Result<()> {
    let mut names = NAMES.lock();
    if names.contains_key(&address.key) {
        return Err(Errno::EADDRINUSE);
    }
    names.insert(address.key.clone(), socket.this.clone());
    Ok(())
}

/// Takes the name from `socket`.
pub(super) fn remove(address: &Address, socket: &Socket) {
    let mut names = NAMES.lock();
    if names.get(&address.key).is_some_and(|bound| Weak::ptr_eq(bound, &socket.this)) {
        names.remove(&address.key);
    }
}

/// The socket with this name.
pub(super) fn find(key: &Key) -> Option<Arc<Socket>> {
    NAMES.lock().get(key)?.upgrade()
}

/// The table of names: for `/sys/ipc/hash_stats`.
pub(super) fn statistics() -> Statistics {
    NAMES.lock().statistics()
}
