//! Sockets of the family AF_UNIX: streams, datagrams and sequenced packets. Source: `unix(7)`, `socket(7)`.
//!
//! A socket holds one queue, that of what it has been sent, and two wait sources: `input` for those who
//! receive and accept, `output` for those who send and connect. Whoever finds somebody else's queue full
//! leaves their own `output` there, so that nobody ever waits on two sources.
//!
//! | module | subject |
//! |---|---|
//! | `socket` | the socket, its states, its birth and its end |
//! | [`options`] | what `setsockopt(2)` changes |
//! | `message`, `budget` | what lies in a queue, and who pays for it |
//! | `send`, `receive` | the loops that wait; one step each in `stream` and `datagram` |
//! | `address`, `names` | names, and who is bound to them |
//! | `bind`, `connect`, `listen` | how two sockets find each other |
//! | `rights` | descriptors on their way, `SCM_RIGHTS` |
//! | `collector`, `grave` | descriptors that nobody can receive any more, and how they are closed |
//! | `credentials` | who is at the other end |
//! | `table` | the list of all sockets |
//! | `file` | a socket as an open file: read, write, poll, ioctl |
//!
//! Lock order: a socket (two of them only in the order of their addresses), the names.
//! No lock is held while a message, a descriptor or a socket is dropped.

mod address;
mod bind;
mod budget;
mod collector;
mod connect;
mod credentials;
mod datagram;
mod file;
mod grave;
mod listen;
mod message;
mod names;
pub mod options;
mod receive;
mod rights;
mod send;
mod socket;
mod stream;
mod table;

pub use address::{AF_UNIX, AF_UNSPEC, Address, Wanted, encode, family};
pub(crate) use collector::{let_go, show};
pub use credentials::{PeerCredentials, Sender, Ucred};
pub use listen::BACKLOG_MAX;
pub use options::Options;
pub use receive::{ReceiveFlags, Reception};
pub use rights::{RIGHTS_MAX, Rights};
pub use send::{Outgoing, SendFlags};
pub use socket::{Kind, ShutDown, Socket, pair};
pub(crate) use table::publish;

#[cfg(test)]
mod tests;
