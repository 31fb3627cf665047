//! setgid(2) and its family, setgroups(2). Group ids touch no capability.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Capabilities, Credentials};
use base::{Errno, Result};

use super::KEEP;

/// Most supplementary groups: `NGROUPS_MAX`.
pub const MAX_GROUPS: usize = 65_536;

/// setgid(2).
///
/// # Errors
///
/// `EINVAL` for the id -1; `EPERM` when it is neither the real nor the saved one and `CAP_SETGID` is missing.
pub fn set(old: &Credentials, gid: u32) -> Result<Credentials> {
    if gid == KEEP {
        return Err(Errno::EINVAL);
    }
    let mut new = old.clone();
    if old.capable(Capabilities::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    Ok(new)
}

/// setregid(2).
///
/// # Errors
///
/// `EPERM` for an id that the process may not take.
pub fn set_real_effective(old: &Credentials, real: u32, effective: u32) -> Result<Credentials> {
    let privileged = old.capable(Capabilities::SETGID);
    if real != KEEP && ![old.gid, old.egid].contains(&real) && !privileged {
        return Err(Errno::EPERM);
    }
    if effective != KEEP && ![old.gid, old.egid, old.sgid].contains(&effective) && !privileged {
        return Err(Errno::EPERM);
    }
    let mut new = old.clone();
    new.gid = or_kept(real, old.gid);
    new.egid = or_kept(effective, old.egid);
    if real != KEEP || (effective != KEEP && effective != old.gid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setresgid(2).
///
/// # Errors
///
/// `EPERM` for an id that is none of the three and `CAP_SETGID` is missing.
pub fn set_all(old: &Credentials, real: u32, effective: u32, saved: u32) -> Result<Credentials> {
    let owned = [old.gid, old.egid, old.sgid];
    let foreign = |id: u32| id != KEEP && !owned.contains(&id);
    if !old.capable(Capabilities::SETGID) && (foreign(real) || foreign(effective) || foreign(saved)) {
        return Err(Errno::EPERM);
    }
    let mut new = old.clone();
    new.gid = or_kept(real, old.gid);
    new.egid = or_kept(effective, old.egid);
    new.sgid = or_kept(saved, old.sgid);
    new.fsgid = new.egid;
    Ok(new)
}

/// setfsgid(2): `None` when nothing changes, which is no error there.
#[must_use]
pub fn set_fs(old: &Credentials, gid: u32) -> Option<Credentials> {
    let allowed =
        [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.capable(Capabilities::SETGID);
    (gid != KEEP && gid != old.fsgid && allowed).then(|| Credentials { fsgid: gid, ..old.clone() })
}

/// setgroups(2). [`may_set_supplementary`] comes before the list is even read.
///
/// # Errors
///
/// `EINVAL` when one of the ids is -1.
pub fn set_supplementary(old: &Credentials, mut groups: Vec<u32>) -> Result<Credentials> {
    if groups.contains(&KEEP) {
        return Err(Errno::EINVAL);
    }
    groups.sort_unstable();
    Ok(Credentials { groups: Arc::from(groups), ..old.clone() })
}

/// Whether setgroups(2) is allowed for this number of groups.
///
/// # Errors
///
/// `EPERM` without `CAP_SETGID`; `EINVAL` for more than [`MAX_GROUPS`].
pub fn may_set_supplementary(old: &Credentials, count: u32) -> Result<usize> {
    if !old.capable(Capabilities::SETGID) {
        return Err(Errno::EPERM);
    }
    usize::try_from(count).ok().filter(|&count| count <= MAX_GROUPS).ok_or(Errno::EINVAL)
}

fn or_kept(id: u32, old: u32) -> u32 {
    if id == KEEP { old } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_capability_only_own_ids_can_be_taken() {
        let plain = Credentials { effective: Capabilities::empty(), ..Credentials::root() };
        assert_eq!(set(&plain, 5), Err(Errno::EPERM));
        assert_eq!(may_set_supplementary(&plain, 0), Err(Errno::EPERM));
        let mixed = Credentials { gid: 5, egid: 6, sgid: 7, ..plain };
        assert_eq!(set(&mixed, 7).map(|new| (new.gid, new.egid, new.sgid)), Ok((5, 7, 7)));
        assert_eq!(set_real_effective(&mixed, 7, KEEP), Err(Errno::EPERM));
        assert_eq!(set_all(&mixed, 7, 5, 6).map(|new| (new.gid, new.egid, new.sgid)), Ok((7, 5, 6)));
    }

    #[test]
    fn supplementary_groups_are_kept_sorted() {
        let root = Credentials::root();
        let new = set_supplementary(&root, alloc::vec![9, 3, 5]).unwrap();
        assert_eq!(&new.groups[..], &[3, 5, 9]);
        assert!(new.in_group(5) && !new.in_group(4));
        assert_eq!(may_set_supplementary(&root, 65_537), Err(Errno::EINVAL));
    }
}
