//! Names of sockets: `struct sockaddr_un` of `unix(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::hash::{HashKey, mix};
use base::{Errno, Result};

use super::socket::Kind;
use crate::vfs::DeviceNumber;

/// `AF_UNIX`.
pub const AF_UNIX: u16 = 1;
/// `AF_UNSPEC`.
pub const AF_UNSPEC: u16 = 0;

/// Bytes of the family, before the name.
const HEAD: usize = 2;
/// Bytes of `struct sockaddr_un`.
const SIZE: usize = 110;

/// What a program names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// No name: bind(2) makes one up.
    Any,
    /// A path, without its NUL.
    Path(&'a [u8]),
    /// A name outside the file system, with its leading NUL.
    Abstract(&'a [u8]),
}

impl<'a> Wanted<'a> {
    /// What `raw`, a `struct sockaddr_un` of that length, names.
    ///
    /// # Errors
    ///
    /// `EINVAL` for another family or a length that it cannot have.
    pub fn decode(raw: &'a [u8]) -> Result<Wanted<'a>> {
        if raw.len() > SIZE || family(raw) != Some(AF_UNIX) {
            return Err(Errno::EINVAL);
        }
        let name = raw.get(HEAD..).ok_or(Errno::EINVAL)?;
        match name.first() {
            None => Ok(Wanted::Any),
            Some(0) => Ok(Wanted::Abstract(name)),
            Some(_) => Ok(Wanted::Path(name.split(|byte| *byte == 0).next().unwrap_or(name))),
        }
    }

    /// The same, where a name has to be given: connect(2), sendto(2).
    ///
    /// # Errors
    ///
    /// `EINVAL`, also when there is no name.
    pub fn decode_named(raw: &'a [u8]) -> Result<Wanted<'a>> {
        match Self::decode(raw)? {
            Wanted::Any => Err(Errno::EINVAL),
            wanted => Ok(wanted),
        }
    }
}

/// The family of a socket address, if it is long enough to have one.
#[must_use]
pub fn family(raw: &[u8]) -> Option<u16> {
    raw.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// Under what a bound socket is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Outside the file system; each type of socket has names of its own.
    Abstract(Kind, Arc<[u8]>),
    /// The inode of its path.
    Inode(DeviceNumber, u64),
}

impl HashKey for Key {
    fn hash(&self) -> u64 {
        match self {
            Key::Abstract(kind, name) => mix(name.hash() ^ u64::from(kind.number())),
            Key::Inode(device, ino) => mix(mix(*ino) ^ device.encode()),
        }
    }
}

/// The name of a bound socket.
#[derive(Debug)]
pub struct Address {
    /// What stands in `sun_path`: a path with its NUL, or an abstract name.
    name: Vec<u8>,
    pub(super) key: Key,
}

impl Address {
    pub(super) fn of_path(path: &[u8], device: DeviceNumber, ino: u64) -> Result<Address> {
        let mut name = Vec::new();
        name.try_reserve_exact(path.len() + 1).map_err(|_| Errno::ENOMEM)?;
        name.extend_from_slice(path);
        name.push(0);
        Ok(Address { name, key: Key::Inode(device, ino) })
    }

    pub(super) fn of_abstract(kind: Kind, name: &[u8]) -> Address {
        Address { name: name.to_vec(), key: Key::Abstract(kind, Arc::from(name)) }
    }

    /// What stands in `sun_path`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

/// The `struct sockaddr_un` of a socket with this name, or without one.
#[must_use]
pub fn encode(address: Option<&Address>) -> Vec<u8> {
    let mut raw = AF_UNIX.to_le_bytes().to_vec();
    raw.extend(address.map(Address::name).unwrap_or_default());
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_their_first_byte() {
        assert_eq!(Wanted::decode(b"\x01\0"), Ok(Wanted::Any));
        assert_eq!(Wanted::decode(b"\x01\0/a\0b"), Ok(Wanted::Path(b"/a")));
        assert_eq!(Wanted::decode(b"\x01\0\0a\0b"), Ok(Wanted::Abstract(b"\0a\0b")));
        assert_eq!(Wanted::decode(b"\x02\0/a"), Err(Errno::EINVAL));
        assert_eq!(Wanted::decode(b"\x01"), Err(Errno::EINVAL));
        assert_eq!(Wanted::decode(&[1; 111]), Err(Errno::EINVAL));
        assert_eq!(Wanted::decode_named(b"\x01\0"), Err(Errno::EINVAL));
    }

    #[test]
    fn a_path_is_told_with_its_nul_and_no_name_as_the_family_alone() {
        let address = Address::of_path(b"/a", DeviceNumber::new(0, 1), 5).unwrap();
        assert_eq!(encode(Some(&address)), b"\x01\0/a\0");
        assert_eq!(encode(None), b"\x01\0");
    }
}
