//! The guest's console: bytes between QEMU's pipes and this process, neither lost nor changed.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Where the guest's output comes from.
pub(crate) enum Output {
    /// QEMU's pipe, and the file that keeps a copy.
    Pipe(ChildStdout, File),
    /// The file that QEMU writes.
    File(GrowingFile),
}

impl Output {
    /// QEMU's pipe, with a copy in the file `record`.
    pub(crate) fn pipe(guest: ChildStdout, record: &Path) -> Result<Self> {
        let record = File::create(record).with_context(|| format!("creating {}", record.display()))?;
        Ok(Self::Pipe(guest, record))
    }

    /// The next piece; 0 when there will be no more.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pipe(guest, record) => {
                let len = guest.read(buffer)?;
                record.write_all(&buffer[..len])?;
                Ok(len)
            }
            Self::File(file) => file.next(buffer),
        }
    }
}

/// A file that another process writes, read up to its end when that process is gone.
pub(crate) struct GrowingFile {
    file: File,
    ended: Arc<AtomicBool>,
}

impl GrowingFile {
    /// How long it looks away when there is nothing new.
    const PAUSE: Duration = Duration::from_millis(5);

    /// Follows `path`, which is made if it is missing, until `ended` says that it will not grow any more.
    pub(crate) fn follow(path: &Path, ended: Arc<AtomicBool>) -> Result<Self> {
        let open = || File::options().create(true).append(true).read(true).open(path);
        let file = open().with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { file, ended })
    }

    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Looked at first: what was written before the end is read after it.
            let ended = self.ended.load(Ordering::Acquire);
            let len = self.file.read(buffer)?;
            if len > 0 || ended {
                return Ok(len);
            }
            thread::sleep(Self::PAUSE);
        }
    }
}

/// Copies the guest's output to stdout, if it is to be heard, until there is no more.
pub(crate) fn pump_output<E: Send + 'static>(
    mut guest: Output,
    is_heard: bool,
    events: Sender<E>,
    request: fn(Request) -> E,
    last_output: LastOutput,
) -> JoinHandle<io::Result<()>> {
    thread::spawn(move || {
        let mut stdout = unbuffered(libc::STDOUT_FILENO);
        let mut open = is_heard;
        let mut buffer = [0; 16 * 1024];
        loop {
            let len = match guest.next(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            last_output.is_now();
            if open && stdout.write_all(&buffer[..len]).is_err() {
                open = false;
                let _ = events.send(request(Request::OutputClosed));
            }
        }
    })
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
    fn a_growing_file_is_read_to_its_end() {
        let path = std::env::temp_dir().join(format!("kairos-growing-{}", std::process::id()));
        let ended = Arc::new(AtomicBool::new(false));
        let mut file = GrowingFile::follow(&path, Arc::clone(&ended)).unwrap();
        let writer = thread::spawn({
            let path = path.clone();
            move || {
                let mut file = File::options().append(true).open(path).unwrap();
                for _ in 0..3 {
                    thread::sleep(GrowingFile::PAUSE * 2);
                    file.write_all(b"ab").unwrap();
                }
                ended.store(true, Ordering::Release);
            }
        });
        let (mut all, mut buffer) = (Vec::new(), [0; 16]);
        while let len @ 1.. = file.next(&mut buffer).unwrap() {
            all.extend_from_slice(&buffer[..len]);
        }
        writer.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(all, b"ababab");
    }

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
