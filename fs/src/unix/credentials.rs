//! Who is at the other end. Source: `unix(7)`, SCM_CREDENTIALS and SO_PEERCRED.

use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};
use base::charge::Account;
use base::{Errno, Result};

/// The id that stands for one that is not known.
const OVERFLOW_ID: u32 = 65_534;

/// `struct ucred`: what a message says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ucred {
    /// Process id; 0 when it is not known.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Ucred {
    /// Bytes of the structure.
    pub const BYTES: usize = 12;

    /// What is told about a message that nobody asked credentials of.
    pub(super) const UNKNOWN: Ucred = Ucred { pid: 0, uid: OVERFLOW_ID, gid: OVERFLOW_ID };

    /// The caller, with its real ids, as a message carries them unasked.
    #[must_use]
    pub fn of(caller: &Caller) -> Ucred {
        let Caller { pid, credentials, .. } = caller;
        Ucred { pid: *pid, uid: credentials.uid, gid: credentials.gid }
    }

    /// Checks that the caller may say this about itself.
    ///
    /// # Errors
    ///
    /// `EPERM` for a process or an id that is not its own, without the capability for it.
    pub fn check(&self, caller: &Caller) -> Result<()> {
        let own = &caller.credentials;
        let pid = self.pid == caller.pid || own.capable(Capabilities::SYS_ADMIN);
        let uid = [own.uid, own.euid, own.suid].contains(&self.uid) || own.capable(Capabilities::SETUID);
        let gid = [own.gid, own.egid, own.sgid].contains(&self.gid) || own.capable(Capabilities::SETGID);
        if pid && uid && gid { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// The structure as programs see it.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(4).zip([self.pid, self.uid, self.gid]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// Who sent a message.
#[derive(Clone, Debug)]
pub struct Sender {
    /// What it says about itself.
    pub ids: Ucred,
    /// The account of the process that sent it, if it spoke of itself.
    pub account: Option<Arc<Account>>,
}

impl Sender {
    /// The caller, as it describes itself or as it is.
    pub(super) fn of(caller: &Caller, described: Option<Ucred>) -> Sender {
        let ids = described.unwrap_or_else(|| Ucred::of(caller));
        Sender { ids, account: (ids.pid == caller.pid).then(|| caller.account.clone()) }
    }
}

/// Who connected, listened or made the pair: `SO_PEERCRED`, `SO_PEERGROUPS`, `SO_PEERPIDFD`.
#[derive(Clone, Debug)]
pub struct PeerCredentials {
    /// Process id and effective ids.
    pub ids: Ucred,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    /// The account of the process, which tells it from a later one with the same number.
    pub account: Arc<Account>,
}

impl PeerCredentials {
    /// The caller's.
    #[must_use]
    pub fn of(caller: &Caller) -> PeerCredentials {
        let Caller { pid, credentials, .. } = caller;
        PeerCredentials {
            ids: Ucred { pid: *pid, uid: credentials.euid, gid: credentials.egid },
            groups: credentials.groups.clone(),
            account: caller.account.clone(),
        }
    }
}
