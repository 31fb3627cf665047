//! Where things lie in the work tree and under `target/`.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    // Cargo sets the variable for `cargo xtask`; a binary started by hand falls back on
    // the place it was compiled from.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Target directory of the guest programs: they are built with other flags than the host's
/// crates, and sharing a directory would make each build throw the other's away.
pub(crate) fn guest_target() -> PathBuf {
    target().join("guest")
}

/// The directory of everything xtask itself writes.
pub(crate) fn kairos() -> PathBuf {
    target().join("kairos")
}

/// The directory in which each run has a folder.
pub(crate) fn runs() -> PathBuf {
    kairos().join("runs")
}

/// The default initramfs, without overlays and without a job.
pub(crate) fn default_initramfs() -> PathBuf {
    kairos().join("initramfs.cpio")
}

/// The first executable file called `name` in `PATH` or in the system directories.
pub(crate) fn executable(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH on Debian lacks the sbin directories.
    let system = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name.as_ref())).find(|file| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}
