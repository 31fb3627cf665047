//! Being somebody else.

use super::{Child, fork};

/// A user that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// Runs `body` in a child that has no groups, no capabilities and these ids.
pub(crate) fn fork_as(uid: u32, gid: u32, body: impl FnOnce()) -> Child {
    fork(|| {
        syscall!(SYS_setgroups, 0, 0).expect("setgroups");
        syscall!(SYS_setresgid, gid, gid, gid).expect("setresgid");
        syscall!(SYS_setresuid, uid, uid, uid).expect("setresuid");
        body();
    })
}

/// Runs `body` as an ordinary user and asserts that it succeeded.
#[track_caller]
pub(crate) fn as_nobody(body: impl FnOnce()) {
    fork_as(NOBODY, NOBODY, body).succeeds();
}
