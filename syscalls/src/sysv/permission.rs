//! Who may do what to an object. Source: `sysvipc(7)`, `ipc_perm`.

use base::caller::{Capabilities, Credentials};
use base::{Errno, Result};

use super::ids::sequence_of;
use super::record::Record;

/// Permission to read, for owner, group and others.
pub const READ: i32 = 0o444;
/// Permission to change.
pub const WRITE: i32 = 0o222;
/// Permission to execute: shared memory alone has it.
pub const EXECUTE: i32 = 0o111;

/// Owner and permission bits of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The identifier of the object.
    pub id: i32,
    /// The key that leads to it.
    pub key: i32,
    /// Owner.
    pub uid: u32,
    /// Group of the owner.
    pub gid: u32,
    /// Creator.
    pub cuid: u32,
    /// Group of the creator.
    pub cgid: u32,
    /// The nine permission bits.
    pub mode: u32,
}

/// What `IPC_SET` may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOwner {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Permissions {
    /// Those of a new object of the caller; the lowest bits of `flags` are its mode.
    #[must_use]
    pub fn new(id: i32, key: i32, flags: i32, credentials: &Credentials) -> Permissions {
        let (uid, gid) = (credentials.euid, credentials.egid);
        Permissions { id, key, uid, gid, cuid: uid, cgid: gid, mode: flags.cast_unsigned() & 0o777 }
    }

    /// Checks that the caller may do what `wanted` says, in permission bits of any of the three classes.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub fn check(&self, credentials: &Credentials, wanted: i32) -> Result<()> {
        let wanted = wanted.cast_unsigned();
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let granted = if self.is_owned_by(credentials) {
            self.mode >> 6
        } else if credentials.in_group(self.cgid) || credentials.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        let allowed = wanted & !granted == 0 || credentials.capable(Capabilities::IPC_OWNER);
        if allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn is_owned_by(&self, credentials: &Credentials) -> bool {
        credentials.euid == self.cuid || credentials.euid == self.uid
    }

    /// Checks that the caller may remove the object or change who owns it.
    ///
    /// # Errors
    ///
    /// `EPERM`.
    pub fn check_owner(&self, credentials: &Credentials, privilege: Capabilities) -> Result<()> {
        let allowed = self.is_owned_by(credentials) || credentials.capable(privilege);
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Changes who owns the object: `IPC_SET`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an id that is none.
    pub fn set(&mut self, new: NewOwner) -> Result<()> {
        if new.uid == u32::MAX || new.gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        *self = Permissions { uid: new.uid, gid: new.gid, mode: new.mode & 0o777, ..*self };
        Ok(())
    }

    /// `struct ipc64_perm`; `extra` are the bits that an object shows in its mode beside the nine.
    #[must_use]
    pub fn record(&self, extra: u32) -> Record {
        Record::default()
            .i32(self.key)
            .u32(self.uid)
            .u32(self.gid)
            .u32(self.cuid)
            .u32(self.cgid)
            .u32(self.mode | extra)
            .u16(sequence_of(self.id))
            .zeros(22)
    }
}

impl NewOwner {
    /// Bytes of `struct ipc64_perm`.
    pub const BYTES: usize = 48;

    /// Reads `struct ipc64_perm`.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::BYTES]) -> NewOwner {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
        NewOwner { uid: word(1), gid: word(2), mode: word(5) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Credentials {
        let none = Capabilities::empty();
        Credentials { euid: 9, fsgid: 8, egid: 8, effective: none, ..Credentials::root() }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let object = Permissions { id: 0, key: 0, uid: 9, gid: 5, cuid: 1, cgid: 8, mode: 0o046 };
        let user = nobody();
        assert_eq!(object.check(&user, READ), Err(Errno::EACCES), "as the owner");
        let object = Permissions { uid: 1, ..object };
        assert_eq!(object.check(&user, READ), Ok(()), "as one of the creator's group");
        assert_eq!(object.check(&user, WRITE), Err(Errno::EACCES));
        let object = Permissions { cgid: 5, ..object };
        assert_eq!(object.check(&user, READ | WRITE), Ok(()), "as anybody");
        assert_eq!(object.check_owner(&user, Capabilities::SYS_ADMIN), Err(Errno::EPERM));
        assert_eq!(object.check(&Credentials::root(), 0o111), Ok(()));
    }

    #[test]
    fn an_owner_is_read_from_where_it_was_written() {
        let object = Permissions::new(5, 3, 0o2640, &nobody());
        let bytes: [u8; NewOwner::BYTES] = object.record(0o1000).as_bytes().try_into().unwrap();
        assert_eq!(NewOwner::decode(&bytes), NewOwner { uid: 9, gid: 8, mode: 0o1640 });
    }
}
