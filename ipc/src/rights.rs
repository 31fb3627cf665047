//! What a handle allows.

use bitflags::bitflags;

bitflags! {
    /// The rights of one handle. They only ever shrink.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Rights: u32 {
        /// Receive from a channel, read a file.
        const READ = 1;
        /// Send to a channel, write a file.
        const WRITE = 2;
        /// Be sent in a message.
        const TRANSFER = 4;
        /// Be duplicated, or turned into a descriptor.
        const DUPLICATE = 8;
        /// Wait on a port.
        const WAIT = 0x10;
        /// Bind to a port, change settings.
        const MANAGE = 0x20;
    }
}

impl Rights {
    /// What a new channel endpoint's handle gets.
    pub const CHANNEL: Rights =
        Rights::READ.union(Rights::WRITE).union(Rights::TRANSFER).union(Rights::DUPLICATE);
    /// What a new port's handle gets. A port cannot be sent.
    pub const PORT: Rights = Rights::WAIT.union(Rights::MANAGE).union(Rights::DUPLICATE);
}

/// What somebody wants to do through a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AccessOp {
    /// Receive.
    Read = 1,
    /// Send.
    Write = 2,
    /// Ask for readiness.
    Poll = 3,
    /// Be the channel of a port binding.
    Signal = 4,
    /// Wait for a packet.
    Wait = 5,
    /// Be the port of a binding.
    Manage = 6,
    /// Derive another handle or a descriptor.
    Duplicate = 7,
    /// Be sent.
    Transfer = 8,
}

impl AccessOp {
    /// The one predicate that decides whether `rights` allow this.
    #[inline]
    #[must_use]
    pub const fn is_allowed_by(self, rights: Rights) -> bool {
        match self {
            AccessOp::Read => rights.contains(Rights::READ),
            AccessOp::Write => rights.contains(Rights::WRITE),
            AccessOp::Poll => rights.intersects(Rights::READ.union(Rights::WRITE).union(Rights::WAIT)),
            AccessOp::Signal => rights.intersects(Rights::READ.union(Rights::MANAGE)),
            AccessOp::Wait => rights.contains(Rights::WAIT),
            AccessOp::Manage => rights.contains(Rights::MANAGE),
            AccessOp::Duplicate => rights.contains(Rights::DUPLICATE),
            AccessOp::Transfer => rights.contains(Rights::TRANSFER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_accesses_have_more_than_one_key() {
        assert!(AccessOp::Poll.is_allowed_by(Rights::WAIT));
        assert!(AccessOp::Signal.is_allowed_by(Rights::MANAGE));
        assert!(AccessOp::Signal.is_allowed_by(Rights::READ));
        assert!(!AccessOp::Signal.is_allowed_by(Rights::WRITE));
        assert!(!AccessOp::Transfer.is_allowed_by(Rights::PORT));
    }
}
