//! setuid(2) and its family, with what they do to the capability sets.

use base::caller::{Capabilities, Credentials};
use base::{Errno, Result};

use super::KEEP;
use super::capabilities::{follow_fs_user, follow_user_ids};

/// setuid(2).
///
/// # Errors
///
/// `EINVAL` for the id -1; `EPERM` when it is neither the real nor the saved one and `CAP_SETUID` is missing.
pub fn set(old: &Credentials, uid: u32) -> Result<Credentials> {
    if uid == KEEP {
        return Err(Errno::EINVAL);
    }
    let mut new = old.clone();
    if old.capable(Capabilities::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    follow_user_ids(old, &mut new);
    Ok(new)
}

/// setreuid(2).
///
/// # Errors
///
/// `EPERM` for an id that the process may not take.
pub fn set_real_effective(old: &Credentials, real: u32, effective: u32) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETUID);
    if real != KEEP && ![old.uid, old.euid].contains(&real) && !privileged {
        return Err(Errno::EPERM);
    }
    if effective != KEEP && ![old.uid, old.euid, old.suid].contains(&effective) && !privileged {
        return Err(Errno::EPERM);
    }
    let mut new = old.clone();
    new.uid = or_kept(real, old.uid);
    new.euid = or_kept(effective, old.euid);
    if real != KEEP || (effective != KEEP && effective != old.uid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    follow_user_ids(old, &mut new);
    Ok(new)
}

/// setresuid(2).
///
/// # Errors
///
/// `EPERM` for an id that is none of the three and `CAP_SETUID` is missing.
pub fn set_all(old: &Credentials, real: u32, effective: u32, saved: u32) -> Result<Credentials> {
    let owned = [old.uid, old.euid, old.suid];
    let foreign = |id: u32| id != KEEP && !owned.contains(&id);
    if !old.capable(Capabilities::SETUID) && (foreign(real) || foreign(effective) || foreign(saved)) {
        return Err(Errno::EPERM);
    }
    let mut new = old.clone();
    new.uid = or_kept(real, old.uid);
    new.euid = or_kept(effective, old.euid);
    new.suid = or_kept(saved, old.suid);
    new.fsuid = new.euid;
    follow_user_ids(old, &mut new);
    Ok(new)
}

/// setfsuid(2): `None` when nothing changes, which is no error there.
#[must_use]
pub fn set_fs(old: &Credentials, uid: u32) -> Option<Credentials> {
    let allowed =
        [old.uid, old.euid, old.suid, old.fsuid].contains(&uid) || old.capable(Capabilities::SETUID);
    if uid == KEEP || uid == old.fsuid || !allowed {
        return None;
    }
    let mut new = Credentials { fsuid: uid, ..old.clone() };
    follow_fs_user(old, &mut new);
    Some(new)
}

fn or_kept(id: u32, old: u32) -> u32 {
    if id == KEEP { old } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32) -> Credentials {
        set(&Credentials::root(), uid).unwrap()
    }

    #[test]
    fn root_gives_up_everything_for_good() {
        let plain = user(1000);
        assert_eq!((plain.uid, plain.euid, plain.suid, plain.fsuid), (1000, 1000, 1000, 1000));
        assert!(plain.effective.is_empty() && plain.permitted.is_empty());
        assert_eq!(set(&plain, 0), Err(Errno::EPERM));
        assert_eq!(set(&plain, KEEP), Err(Errno::EINVAL));
    }

    #[test]
    fn an_effective_id_can_be_laid_down_and_taken_up_again() {
        let root = Credentials::root();
        let lowered = set_all(&root, KEEP, 1000, KEEP).unwrap();
        assert!(lowered.effective.is_empty());
        assert_eq!(lowered.permitted, root.permitted);
        let raised = set_all(&lowered, KEEP, 0, KEEP).unwrap();
        assert_eq!(raised.effective, root.permitted);
    }

    #[test]
    fn setreuid_moves_the_saved_id_along() {
        let root = Credentials::root();
        assert_eq!(set_real_effective(&root, KEEP, 5).unwrap().suid, 5);
        assert_eq!(set_real_effective(&root, KEEP, 0).unwrap().suid, 0);
        let swapped = set_real_effective(&root, 7, KEEP).unwrap();
        assert_eq!((swapped.uid, swapped.euid, swapped.suid), (7, 0, 0));
        assert_eq!(set_real_effective(&user(9), 0, KEEP), Err(Errno::EPERM));
    }

    #[test]
    fn the_file_system_id_takes_its_capabilities_along() {
        let root = Credentials::root();
        let other = set_fs(&root, 3).unwrap();
        assert!(!other.capable(Capabilities::DAC_OVERRIDE) && other.capable(Capabilities::KILL));
        assert_eq!(set_fs(&other, 0).unwrap().effective, root.effective);
        assert_eq!(set_fs(&user(3), 4), None);
    }
}
