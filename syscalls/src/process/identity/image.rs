//! What execve(2) makes of the credentials: set-id files, user 0, the ambient set.
//!
//! There are no file capabilities: no file system here stores them.

use base::caller::{Capabilities, Credentials};

use super::capabilities::{KEEP_CAPS, NOROOT};

/// Owner, group and permission bits of the program file.
#[derive(Clone, Copy, Debug)]
pub struct ProgramFile {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits with set-user-id and set-group-id.
    pub mode: u32,
    /// Set-id bits count: the mount allows them, and it is no script.
    pub set_id_allowed: bool,
}

/// What stands in the way of gaining anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Obstacles {
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    pub no_new_privileges: bool,
    /// Root and working directory are shared with another process.
    pub shared_places: bool,
}

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// The credentials of the new program, and whether it must distrust its environment (`AT_SECURE`).
#[must_use]
pub fn execute(old: &Credentials, file: &ProgramFile, obstacles: Obstacles) -> (Credentials, bool) {
    let mut new = old.clone();
    if file.set_id_allowed && !obstacles.no_new_privileges {
        if file.mode & SET_USER != 0 {
            new.euid = file.uid;
        }
        if file.mode & (SET_GROUP | GROUP_EXECUTE) == SET_GROUP | GROUP_EXECUTE {
            new.egid = file.gid;
        }
    }
    let mut effective = false;
    new.permitted = Capabilities::empty();
    if old.securebits & NOROOT == 0 && (new.uid == 0 || new.euid == 0) {
        new.permitted = old.bounding | old.inheritable;
        effective = new.euid == 0;
    }
    let set_id = new.euid != old.uid || new.egid != old.gid;
    let gains = !(old.permitted).contains(new.permitted);
    if (set_id || gains) && (obstacles.no_new_privileges || obstacles.shared_places) {
        if obstacles.no_new_privileges || !old.capable(Capabilities::SETUID) {
            (new.euid, new.egid) = (new.uid, new.gid);
        }
        new.permitted &= old.permitted;
    }
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    if set_id {
        new.ambient = Capabilities::empty();
    }
    new.permitted |= new.ambient;
    new.effective = if effective { new.permitted } else { new.ambient };
    new.securebits &= !KEEP_CAPS;
    let grew = !new.ambient.contains(new.permitted);
    let secure = set_id || (new.uid != 0 && (effective || grew));
    (new, secure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::identity::users;

    const PLAIN: ProgramFile = ProgramFile { uid: 0, gid: 0, mode: 0o755, set_id_allowed: true };
    const SET_ID: ProgramFile = ProgramFile { mode: 0o4755, ..PLAIN };

    #[test]
    fn root_stays_all_powerful_and_a_user_stays_without_power() {
        let root = Credentials::root();
        let (new, secure) = execute(&root, &PLAIN, Obstacles::default());
        assert_eq!((&new, secure), (&root, false));
        let user = users::set(&root, 1000).unwrap();
        let (new, secure) = execute(&user, &PLAIN, Obstacles::default());
        assert_eq!((&new, secure), (&user, false));
    }

    #[test]
    fn a_set_user_id_file_gives_power_and_distrusts_the_environment() {
        let user = users::set(&Credentials::root(), 1000).unwrap();
        let (new, secure) = execute(&user, &SET_ID, Obstacles::default());
        assert_eq!((new.uid, new.euid, new.suid), (1000, 0, 0));
        assert!(secure && new.capable(Capabilities::SETUID));
    }

    #[test]
    fn obstacles_take_the_gain_away() {
        let user = users::set(&Credentials::root(), 1000).unwrap();
        for obstacles in [
            Obstacles { no_new_privileges: true, shared_places: false },
            Obstacles { no_new_privileges: false, shared_places: true },
        ] {
            let (new, _) = execute(&user, &SET_ID, obstacles);
            assert_eq!(new.euid, 1000);
            assert!(new.permitted.is_empty() && new.effective.is_empty());
        }
    }
}
