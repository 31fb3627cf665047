//! The flags of [`EventKind::IpcCap`](super::EventKind::IpcCap), version 1: the operation in bits 7..0, the version in
//! bits 31..28. The second argument of the event depends on the operation.

use super::channel::field;

/// The version that these flags say.
pub const VERSION: u32 = 1;

field! {
    /// Which guard held.
    Op {
        /// A revocation marked the capability; argument: the capability from which it started.
        RevokeMarked = 1, "revoke_marked";
        /// It could not be bound, because it is revoked; argument: 1 the node's mark, 2 an epoch.
        BindRejectedRevoked = 2, "bind_rejected_revoked";
        /// A reservation was not what it should be; argument: `handle << 32 | mask`, with bit 0 for a slot that is
        /// not reserved, bit 1 for the token, bit 2 for the generation.
        CommitEagain = 3, "commit_eagain";
        /// A revocation found the holder gone; argument: the capability from which it started.
        TryGetFailed = 4, "tryget_failed";
        /// It was revoked between its reservation and its commit; argument: the low halves of the epochs,
        /// `expected << 32 | current`.
        CommitEpochMismatch = 5, "commit_epoch_mismatch";
    }
}

/// The flags of `op`.
#[must_use]
pub const fn flags(op: Op) -> u32 {
    op as u32 | VERSION << 28
}

/// Version and number of the operation in `flags`.
#[must_use]
pub const fn fields(flags: u32) -> (u32, u32) {
    (flags >> 28, flags & 0xff)
}
