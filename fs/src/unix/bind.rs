//! bind(2): giving a socket its name, and finding a socket by a name.

use alloc::sync::Arc;

use base::sync::atomic::{AtomicU32, Ordering};
use base::{Errno, Result};

use super::address::{Address, Key, Wanted};
use super::names;
use super::socket::{Kind, Socket};
use crate::vfs::{
    FileType, Inode, Path, Permission, Start, Subject, WalkFlags, make_socket, permission, resolve, unlink,
};

/// Names that bind(2) makes up have five hexadecimal digits.
const MADE_UP_NAMES: u32 = 1 << 20;

impl Socket {
    /// `bind(2)`: gives the socket the name in `raw`, a `struct sockaddr_un`; without a name in it, one that
    /// nobody has. A path is made, with the permission bits of the socket's own inode.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad address or a socket that has a name; `EADDRINUSE`; those of `mknod(2)`.
    pub fn bind(&self, subject: Subject<'_>, raw: &[u8]) -> Result<()> {
        match Wanted::decode(raw)? {
            Wanted::Any => self.bind_any(),
            Wanted::Abstract(name) => self.take_name(Address::of_abstract(self.kind, name), None),
            Wanted::Path(path) => self.bind_path(subject, path),
        }
    }

    /// Gives the socket a made-up abstract name, unless it has one.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when all are taken.
    pub(super) fn bind_any(&self) -> Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..MADE_UP_NAMES {
            if self.state.lock().address.is_some() {
                return Ok(());
            }
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % MADE_UP_NAMES;
            let name = alloc::format!("\0{number:05x}");
            match self.take_name(Address::of_abstract(self.kind, name.as_bytes()), None) {
                Err(Errno::EADDRINUSE) => {}
                // Somebody else has just named it.
                Err(Errno::EINVAL) => return Ok(()),
                result => return result,
            }
        }
        Err(Errno::ENOSPC)
    }

    fn bind_path(&self, subject: Subject<'_>, path: &[u8]) -> Result<()> {
        let place = make_socket(subject, path, self.inode.metadata().mode)?;
        let metadata = place.inode().metadata();
        let address = Address::of_path(path, metadata.device, metadata.ino)?;
        self.take_name(address, Some(place)).inspect_err(|_| {
            // The name is nobody's; that it is gone already is no error.
            let _ = unlink(subject, Start::Cwd, path);
        })
    }

    fn take_name(&self, address: Address, place: Option<Path>) -> Result<()> {
        let address = Arc::new(address);
        let mut state = self.state.lock();
        if state.address.is_some() || state.dead {
            // The place goes after the lock.
            drop(state);
            return Err(Errno::EINVAL);
        }
        names::insert(&address, self).map(|()| {
            state.address = Some(address);
            state.place = place;
        })
    }

    /// The socket of type `kind` that is named in `raw`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a bad address; `ECONNREFUSED` when nobody has the name; `EPROTOTYPE` when it is a socket of
    /// another type; `EACCES` without write permission on the path, and those of the walk.
    pub(super) fn find(subject: Subject<'_>, raw: &[u8], kind: Kind) -> Result<Arc<Socket>> {
        match Wanted::decode_named(raw)? {
            Wanted::Any => Err(Errno::EINVAL),
            Wanted::Abstract(name) => {
                names::find(&Key::Abstract(kind, Arc::from(name))).ok_or(Errno::ECONNREFUSED)
            }
            Wanted::Path(path) => {
                let place = resolve(subject, Start::Cwd, path, WalkFlags::FOLLOW)?;
                let metadata = place.inode().metadata();
                permission(&subject.caller.credentials, &metadata, Permission::WRITE)?;
                if metadata.kind != FileType::Socket {
                    return Err(Errno::ECONNREFUSED);
                }
                let found = names::find(&Key::Inode(metadata.device, metadata.ino));
                let found = found.ok_or(Errno::ECONNREFUSED)?;
                if found.kind == kind { Ok(found) } else { Err(Errno::EPROTOTYPE) }
            }
        }
    }

    /// Its name: `getsockname(2)`.
    #[must_use]
    pub fn name(&self) -> Option<Arc<Address>> {
        self.state.lock().address.clone()
    }

    /// The name of the socket that it is connected to: `getpeername(2)`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn peer_name(&self) -> Result<Option<Arc<Address>>> {
        Ok(self.peer().ok_or(Errno::ENOTCONN)?.name())
    }
}
