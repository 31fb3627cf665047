//! Capability sets. Source: `capabilities(7)`, `capset(2)`.

use base::caller::{Capabilities, Credentials};
use base::{Errno, Result};

/// `SECBIT_NOROOT`: user 0 gets nothing from execve(2).
pub const NOROOT: u32 = 1 << 0;
/// `SECBIT_NO_SETUID_FIXUP`: id changes leave the sets alone.
pub const NO_SETUID_FIXUP: u32 = 1 << 2;
/// `SECBIT_KEEP_CAPS`: the permitted set survives the step from user 0.
pub const KEEP_CAPS: u32 = 1 << 4;
/// `SECBIT_NO_CAP_AMBIENT_RAISE`: nothing can be added to the ambient set.
pub const NO_AMBIENT_RAISE: u32 = 1 << 6;
/// Every securebit with its lock.
pub const ALL_SECUREBITS: u32 = 0xff;
/// The locks among the securebits: each stands one above the bit that it locks.
pub const SECUREBIT_LOCKS: u32 = 0xaa;

/// Highest capability that Linux 6.1 knows.
pub const LAST: u32 = 40;

/// Capabilities that follow the file-system user id: `CAP_CHOWN` to `CAP_FSETID`,
/// `CAP_LINUX_IMMUTABLE`, `CAP_MKNOD`, `CAP_MAC_OVERRIDE`.
const FILE_SYSTEM: Capabilities = Capabilities::from_bits_retain(0x1f | 1 << 9 | 1 << 27 | 1 << 32);

/// The set with the one capability of this number.
///
/// # Errors
///
/// `EINVAL` for a number past [`LAST`].
pub fn single(number: u64) -> Result<Capabilities> {
    if number > u64::from(LAST) {
        return Err(Errno::EINVAL);
    }
    Ok(Capabilities::from_bits_retain(1 << number))
}

/// Every capability that there is.
#[must_use]
pub fn all() -> Capabilities {
    Capabilities::from_bits_retain((1 << (LAST + 1)) - 1)
}

/// What a change of the real, effective or saved user id does to the sets.
pub(super) fn follow_user_ids(old: &Credentials, new: &mut Credentials) {
    if old.securebits & NO_SETUID_FIXUP != 0 {
        return;
    }
    let was_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
    let is_root = new.uid == 0 || new.euid == 0 || new.suid == 0;
    if was_root && !is_root {
        if old.securebits & KEEP_CAPS == 0 {
            new.permitted = Capabilities::empty();
            new.effective = Capabilities::empty();
        }
        new.ambient = Capabilities::empty();
    }
    match (old.euid, new.euid) {
        (0, 0) => {}
        (0, _) => new.effective = Capabilities::empty(),
        (_, 0) => new.effective = new.permitted,
        _ => {}
    }
}

/// What a change of the file-system user id does to the effective set.
pub(super) fn follow_fs_user(old: &Credentials, new: &mut Credentials) {
    if old.securebits & NO_SETUID_FIXUP != 0 {
        return;
    }
    match (old.fsuid, new.fsuid) {
        (0, 0) => {}
        (0, _) => new.effective -= FILE_SYSTEM,
        (_, 0) => new.effective |= FILE_SYSTEM & new.permitted,
        _ => {}
    }
}

/// capset(2).
///
/// # Errors
///
/// `EPERM` for whatever would add a capability that the process may not have.
pub fn set(
    old: &Credentials,
    effective: Capabilities,
    permitted: Capabilities,
    inheritable: Capabilities,
) -> Result<Credentials> {
    let (effective, permitted, inheritable) = (effective & all(), permitted & all(), inheritable & all());
    if !old.capable(Capabilities::SETPCAP) && !(old.inheritable | old.permitted).contains(inheritable) {
        return Err(Errno::EPERM);
    }
    if !(old.inheritable | old.bounding).contains(inheritable)
        || !old.permitted.contains(permitted)
        || !permitted.contains(effective)
    {
        return Err(Errno::EPERM);
    }
    let ambient = old.ambient & permitted & inheritable;
    Ok(Credentials { effective, permitted, inheritable, ambient, ..old.clone() })
}

/// `prctl(PR_CAPBSET_DROP)`.
///
/// # Errors
///
/// `EPERM` without `CAP_SETPCAP`, which is checked before `EINVAL` for an unknown number.
pub fn drop_from_bounding(old: &Credentials, number: u64) -> Result<Credentials> {
    if !old.capable(Capabilities::SETPCAP) {
        return Err(Errno::EPERM);
    }
    Ok(Credentials { bounding: old.bounding - single(number)?, ..old.clone() })
}

/// `prctl(PR_SET_SECUREBITS)`.
///
/// # Errors
///
/// `EPERM` for an unknown bit, a change of a locked one, a lock taken off, or without `CAP_SETPCAP`.
pub fn set_securebits(old: &Credentials, bits: u64) -> Result<Credentials> {
    let bits = u32::try_from(bits).ok().filter(|bits| bits & !ALL_SECUREBITS == 0).ok_or(Errno::EPERM)?;
    let locks = old.securebits & SECUREBIT_LOCKS;
    let locked = locks | locks >> 1;
    if (old.securebits ^ bits) & locked != 0 || !old.capable(Capabilities::SETPCAP) {
        return Err(Errno::EPERM);
    }
    Ok(Credentials { securebits: bits, ..old.clone() })
}

/// `prctl(PR_SET_KEEPCAPS)`.
///
/// # Errors
///
/// `EINVAL` unless `on` is 0 or 1; `EPERM` when the bit is locked.
pub fn set_keep(old: &Credentials, on: u64) -> Result<Credentials> {
    if on > 1 {
        return Err(Errno::EINVAL);
    }
    if old.securebits & (KEEP_CAPS << 1) != 0 {
        return Err(Errno::EPERM);
    }
    let securebits = if on == 1 { old.securebits | KEEP_CAPS } else { old.securebits & !KEEP_CAPS };
    Ok(Credentials { securebits, ..old.clone() })
}

/// `prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE)`.
///
/// # Errors
///
/// `EPERM` when the capability is not both permitted and inheritable, or a securebit forbids it.
pub fn raise_ambient(old: &Credentials, capability: Capabilities) -> Result<Credentials> {
    let allowed = old.permitted & old.inheritable;
    if !allowed.contains(capability) || old.securebits & NO_AMBIENT_RAISE != 0 {
        return Err(Errno::EPERM);
    }
    Ok(Credentials { ambient: old.ambient | capability, ..old.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_added_that_was_not_permitted() {
        let root = Credentials::root();
        let one = Capabilities::CHOWN;
        let less = set(&root, one, one, Capabilities::empty()).unwrap();
        assert_eq!(less.permitted, one);
        assert_eq!(set(&less, one, one | Capabilities::KILL, Capabilities::empty()), Err(Errno::EPERM));
        assert_eq!(set(&less, one, Capabilities::empty(), one), Err(Errno::EPERM));
    }

    #[test]
    fn a_locked_securebit_stays() {
        let root = Credentials::root();
        let locked = set_securebits(&root, u64::from(KEEP_CAPS | KEEP_CAPS << 1)).unwrap();
        assert_eq!(set_securebits(&locked, 0), Err(Errno::EPERM));
        assert_eq!(set_keep(&locked, 0), Err(Errno::EPERM));
        assert_eq!(set_securebits(&root, 0x100), Err(Errno::EPERM));
    }

    #[test]
    fn the_ambient_set_stays_within_permitted_and_inheritable() {
        let root = Credentials::root();
        assert_eq!(raise_ambient(&root, Capabilities::CHOWN), Err(Errno::EPERM));
        let inheriting = set(&root, all(), all(), Capabilities::CHOWN).unwrap();
        let raised = raise_ambient(&inheriting, Capabilities::CHOWN).unwrap();
        assert_eq!(raised.ambient, Capabilities::CHOWN);
        let dropped = set(&raised, all(), all(), Capabilities::empty()).unwrap();
        assert!(dropped.ambient.is_empty());
    }
}
