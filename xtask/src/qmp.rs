//! The two things xtask asks of QEMU's monitor (QMP): a non-maskable interrupt, and to quit.
//!
//! Source: QEMU's "QMP reference manual". Answers are not read: a handful of them fits the socket's
//! buffer, and what counts is what the guest then does.

use std::io::Write;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};

/// A connection to a running QEMU.
pub(crate) struct Monitor {
    stream: UnixStream,
    negotiated: bool,
}

impl Monitor {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, negotiated: false }
    }

    /// Sends a non-maskable interrupt to every CPU.
    pub(crate) fn inject_nmi(&mut self) -> Result<()> {
        self.execute("inject-nmi")
    }

    /// Asks QEMU to end, writing out what it still buffers.
    pub(crate) fn quit(&mut self) -> Result<()> {
        self.execute("quit")
    }

    fn execute(&mut self, command: &str) -> Result<()> {
        if !self.negotiated {
            self.send("qmp_capabilities")?;
            self.negotiated = true;
        }
        self.send(command)
    }

    fn send(&mut self, command: &str) -> Result<()> {
        let line = format!("{{\"execute\":\"{command}\"}}\n");
        self.stream.write_all(line.as_bytes()).with_context(|| format!("QEMU's monitor: {command}"))
    }
}
