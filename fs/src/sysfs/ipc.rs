//! `/sys/ipc`: objects, channels, ports and the counters of capabilities. `ipc` owns the text.

use core::fmt::{self, Write};

use base::caller::Caller;
use base::{Errno, Result};

use crate::pseudo::{PseudoTree, Text};

/// A text for which root alone is asked: it shows every process.
fn render(text: &mut Text, caller: &Caller, write: fn(&mut dyn Write) -> fmt::Result) -> Result<()> {
    if caller.credentials.fsuid != 0 {
        return Err(Errno::EACCES);
    }
    // A full text is noticed by the frame.
    let _ = write(text);
    Ok(())
}

/// Adds the directory.
pub(super) fn publish(tree: &PseudoTree) {
    let ipc = tree.directory(tree.root(), "ipc");
    tree.file(&ipc, "stats", |_, text| {
        let _ = ::ipc::report::stats(text);
        Ok(())
    });
    tree.file(&ipc, "channels", |caller, text| {
        render(text, caller, |out| ::ipc::report::list(::ipc::ObjectKind::Channel, 0, out))
    });
    tree.file(&ipc, "ports", |caller, text| {
        render(text, caller, |out| ::ipc::report::list(::ipc::ObjectKind::Port, 0, out))
    });
    tree.file(&ipc, "transfers", |caller, text| render(text, caller, |out| ::ipc::report::transfers(0, out)));
}
