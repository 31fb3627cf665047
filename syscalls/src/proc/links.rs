//! Where a process stands: its links, its mounts, its children. Source: `proc(5)`.

use core::fmt::Write;

use base::caller::Caller;
use base::{Errno, Result};
use fs::pseudo::Text;
use fs::vfs::Path;

use super::subject::Subject;
use crate::process::table;

/// `/proc/<pid>/cwd`.
///
/// # Errors
///
/// `ENOENT` when it has exited.
pub(super) fn cwd(subject: &Subject) -> Result<Path> {
    Ok(subject.resources().ok_or(Errno::ENOENT)?.place.cwd())
}

/// `/proc/<pid>/root`.
///
/// # Errors
///
/// `ENOENT` when it has exited.
pub(super) fn root(subject: &Subject) -> Result<Path> {
    Ok(subject.resources().ok_or(Errno::ENOENT)?.place.root())
}

/// `/proc/<pid>/exe`.
///
/// # Errors
///
/// `ENOENT` when it has exited, or executes nothing.
pub(super) fn exe(subject: &Subject) -> Result<Path> {
    subject.space().ok_or(Errno::ENOENT)?;
    Ok(subject.process()?.program().file().ok_or(Errno::ENOENT)?.path)
}

/// `/proc/<pid>/mounts`.
pub(super) fn mounts(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let place = subject.resources().ok_or(Errno::EINVAL)?.place.clone();
    fs::procfs::mounts::mounts(place.namespace(), &place.root(), text);
    Ok(())
}

/// `/proc/<pid>/mountinfo`.
pub(super) fn mountinfo(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let place = subject.resources().ok_or(Errno::EINVAL)?.place.clone();
    fs::procfs::mounts::mountinfo(place.namespace(), &place.root(), text);
    Ok(())
}

/// `/proc/<pid>/task/<tid>/children`: those that the thread made, each with a space.
pub(super) fn children(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let table = table::lock();
    let Some(node) = table.process(process.pid()) else { return Err(Errno::ESRCH) };
    for child in &node.children {
        if table.process(*child).is_some_and(|node| node.parent_thread == subject.number()) {
            // A full text is noticed by the frame.
            let _ = write!(text, "{child} ");
        }
    }
    Ok(())
}
