//! The guest's console: bytes between QEMU's pipes and this process, neither lost nor changed.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What the person at the keyboard, or the reader of the output, wants of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// End the run now.
    Quit,
    /// Have the kernel print what every task waits for.
    Dump,
    /// Nobody reads the output any more.
    OutputClosed,
}

/// The key that starts a request when the console is a terminal: Ctrl-].
const ESCAPE: u8 = 0x1d;
/// The terminal character that ends the input: Ctrl-D.
const END_OF_INPUT: u8 = 0x04;
/// What the kernel logs once its console takes bytes. A UART that is switched on later would throw
/// away what came before.
const READY: &str = "kairos-console: ready";
const READY_LIMIT: Duration = Duration::from_secs(5);

/// When the guest printed something last, if it has.
#[derive(Clone, Default)]
pub(crate) struct LastOutput(Arc<Mutex<Option<Instant>>>);

impl LastOutput {
    fn is_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the guest's output to stdout and to the file `record` until QEMU closes its end.
pub(crate) fn pump_output<E: Send + 'static>(
    mut guest: ChildStdout,
    record: &Path,
    events: Sender<E>,
    request: fn(Request) -> E,
    last_output: LastOutput,
) -> Result<JoinHandle<io::Result<()>>> {
    let mut record = File::create(record).with_context(|| format!("creating {}", record.display()))?;
    Ok(thread::spawn(move || {
        let mut stdout = unbuffered(libc::STDOUT_FILENO);
        let mut open = true;
        let mut buffer = [0; 16 * 1024];
        loop {
            let len = match guest.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            last_output.is_now();
            record.write_all(&buffer[..len])?;
            if open && stdout.write_all(&buffer[..len]).is_err() {
                open = false;
                let _ = events.send(request(Request::OutputClosed));
            }
        }
    }))
}

/// Where the guest's console input comes from.
pub(crate) struct Input {
    /// The kernel's log, which says when the console takes bytes.
    pub(crate) kernel_log: PathBuf,
    /// A guest that has printed something is up, whatever its log says.
    pub(crate) last_output: LastOutput,
}

impl Input {
    /// Copies this process's stdin to the guest, until the run ends.
    ///
    /// At the end of a stdin that is no terminal the guest gets its end-of-input character, twice if
    /// a line was left open, as a person at a terminal would type it.
    pub(crate) fn pump<E: Send + 'static>(
        self,
        guest: ChildStdin,
        events: Sender<E>,
        request: fn(Request) -> E,
    ) {
        thread::spawn(move || {
            self.wait_until_ready();
            // The guest may end while we still write: nothing is lost by an error here.
            let _ = copy_input(guest, &events, request);
        });
    }

    fn wait_until_ready(&self) {
        let limit = Instant::now() + READY_LIMIT;
        while Instant::now() < limit && self.last_output.get().is_none() {
            if std::fs::read(&self.kernel_log).is_ok_and(|log| contains(&log, READY.as_bytes())) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn copy_input<E>(mut guest: ChildStdin, events: &Sender<E>, request: fn(Request) -> E) -> io::Result<()> {
    let mut stdin = unbuffered(libc::STDIN_FILENO);
    let mut keys = io::stdin().is_terminal().then(Keys::default);
    let mut line_is_open = false;
    let mut buffer = [0; 4096];
    loop {
        let len = match stdin.read(&mut buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if len == 0 {
            let end = if line_is_open { &[END_OF_INPUT; 2][..] } else { &[END_OF_INPUT] };
            guest.write_all(end)?;
            // The pipe stays open: QEMU would take its closing for a lost line.
            loop {
                thread::park();
            }
        }
        let mut bytes = buffer[..len].to_vec();
        if let Some(keys) = &mut keys {
            for what in keys.filter(&mut bytes) {
                events.send(request(what)).map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
        }
        guest.write_all(&bytes)?;
        line_is_open = bytes.last().is_some_and(|&byte| byte != b'\n');
    }
}

/// Finds requests among the keys typed.
#[derive(Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    /// Takes requests out of `bytes`; what stays is the guest's.
    fn filter(&mut self, bytes: &mut Vec<u8>) -> Vec<Request> {
        let mut requests = Vec::new();
        bytes.retain(|&byte| {
            if !std::mem::take(&mut self.escaped) {
                self.escaped = byte == ESCAPE;
                return !self.escaped;
            }
            match byte {
                b'x' => requests.push(Request::Quit),
                b'n' => requests.push(Request::Dump),
                _ => return true,
            }
            false
        });
        requests
    }
}

/// The file descriptor `fd` without the standard library's buffer, which would hold back a prompt.
fn unbuffered(fd: RawFd) -> ManuallyDrop<File> {
    // SAFETY: standard descriptors stay open as long as the process; ManuallyDrop never closes them.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_out_of_the_keys() {
        let mut keys = Keys::default();
        let mut bytes = vec![b'a', ESCAPE, ESCAPE, b'x', ESCAPE, b'n', ESCAPE];
        assert_eq!(keys.filter(&mut bytes), [Request::Dump]);
        assert_eq!(bytes, [b'a', ESCAPE, b'x']);
        let mut bytes = vec![b'x', b'y'];
        assert_eq!(keys.filter(&mut bytes), [Request::Quit]);
        assert_eq!(bytes, [b'y']);
    }
}
