//! `/proc/<pid>/handles` and `handle_transfers`: what a process may reach, and how it came by that.

use base::Result;
use base::caller::Caller;
use fs::pseudo::Text;
use ipc::report::{self, Query};

use super::subject::Subject;

/// The handles of the process; nothing once it has exited.
pub(super) fn handles(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    if let Some(resources) = subject.thread().and_then(|thread| thread.resources()) {
        // A full text is noticed by the frame.
        let _ = report::handles(&resources.handles, text);
    }
    Ok(())
}

/// A page of the transfers of what they name.
pub(super) fn transfers_page(subject: &Subject, query: Query, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    if let Some(resources) = subject.thread().and_then(|thread| thread.resources()) {
        let _ = report::handle_transfers_page(&resources.handles, process.pid(), query, text);
    }
    Ok(())
}

/// The transfers of what they name.
pub(super) fn transfers(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    if let Some(resources) = subject.thread().and_then(|thread| thread.resources()) {
        let _ = report::handle_transfers(&resources.handles, process.pid(), text);
    }
    Ok(())
}
