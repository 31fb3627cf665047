//! A person at the shell: scripted sessions on a pseudo-terminal of this machine.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::tally::{Tally, Verdict};

/// What the person does next.
enum Act {
    /// Types these keys.
    Type(&'static str),
    /// Waits until the screen shows this, behind what was waited for before.
    See(&'static str),
}

use Act::{See, Type};

/// What the shell of the default root asks with.
const PROMPT: &str = "~ # ";
/// Starts a job that has the terminal by the time it is heard of: a key typed earlier would be the shell's.
const SLEEPER: &str = "sh -c 'echo asleep$((3+4)); exec sleep 100'\n";
/// A job that has the terminal by the time it is heard of, and says so each time it is continued.
const COUNTER: &str = "sh -c 'awake() { n=$((n+1)); echo awake$n; }; trap awake CONT; echo asleep$((3+4)); \
                       while :; do sleep 0.1; done'\n";
/// How long anything may take to show up.
const PATIENCE: Duration = Duration::from_secs(40);

/// Sessions by name. Each starts at the first prompt and must end with the machine off, status 0.
/// What is waited for never occurs in what was typed, since the terminal echoes that.
const SESSIONS: &[(&str, &[Act])] = &[
    ("command", &[Type("echo a$((1+1))b\n"), See("a2b"), See(PROMPT)]),
    (
        "line_editing",
        &[
            // Backspace, a cursor key and an insertion in the middle: "echo abc" is run.
            Type("echo abX\x7fd\x1b[Dc\n"),
            See("\nabcd"),
            See(PROMPT),
        ],
    ),
    (
        "history",
        &[Type("echo o$((3*3))k\n"), See("o9k"), See(PROMPT), Type("\x1b[A\n"), See("o9k"), See(PROMPT)],
    ),
    (
        "interrupt",
        &[
            Type(SLEEPER),
            See("asleep7"),
            Type("\x03"),
            See(PROMPT),
            Type("echo st=$?.\n"),
            See("st=130."),
            See(PROMPT),
        ],
    ),
    (
        "job_control",
        &[
            Type(COUNTER),
            See("asleep7"),
            Type("\x1a"),
            See("Stopped"),
            See(PROMPT),
            Type("jobs\n"),
            See("Stopped"),
            See(PROMPT),
            Type("bg\n"),
            See("awake1"),
            Type("jobs\n"),
            See("Running"),
            See(PROMPT),
            Type("fg\n"),
            // The shell shows the job's line before it makes it the foreground job, and continues it after.
            See("awake2"),
            Type("\x03"),
            See(PROMPT),
            Type("jobs; echo none$((1))left\n"),
            See("none1left"),
            See(PROMPT),
        ],
    ),
    (
        "vi",
        &[
            Type("vi /tmp/text\n"),
            See("- /tmp/text"),
            // What follows an escape at once would be a cursor key: wait until vi has left its insert mode.
            Type("ihello from vi\x1b"),
            See("- /tmp/text"),
            Type(":wq\n"),
            See(PROMPT),
            Type("wc -c </tmp/text\n"),
            See("14"),
            See(PROMPT),
        ],
    ),
    (
        "processes",
        &[
            Type("sleep 77 & ps; kill $!\n"),
            See("PID"),
            See("sleep 77"),
            See("ps"),
            See(PROMPT),
            Type("top -b -n 1 | head -5\n"),
            See("Mem:"),
            See("CPU:"),
            See("COMMAND"),
            See(PROMPT),
        ],
    ),
];

pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for (name, acts) in SESSIONS {
        for cpus in ["1", "2"] {
            let case = format!("{name}-smp{cpus}");
            if !tally.wants("session", &case) {
                continue;
            }
            let rounds = (1..=options.scale)
                .map(|round| play(acts, cpus, options).with_context(|| format!("round {round}")));
            let verdict = match rounds.filter_map(Result::err).next() {
                None => Verdict::Passed,
                Some(error) => Verdict::Failed(format!("{error:#}")),
            };
            tally.record("session", &case, verdict);
        }
    }
    Ok(())
}

/// Plays one session from boot to power-off.
fn play(acts: &[Act], cpus: &str, options: &TestOptions) -> Result<()> {
    let mut session = Session::start(cpus, options)?;
    let result = session.perform(acts);
    result.with_context(|| format!("the screen showed:\n{}", session.screen()))
}

/// A shell in a guest, and the terminal in front of it.
struct Session {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    /// How much of `seen` was waited for already.
    position: usize,
}

impl Session {
    fn start(cpus: &str, options: &TestOptions) -> Result<Self> {
        let (ours, theirs) = open_terminal()?;
        let mut command = kairos_run(options)?;
        command.args(["--smp", cpus, "--timeout", "120"]).env("TERM", "vt100");
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
        let adopt_terminal = || {
            // SAFETY: async-signal-safe calls between fork and exec; stdin is the terminal.
            unsafe {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
            Ok(())
        };
        // SAFETY: the closure allocates nothing and makes only system calls.
        unsafe { command.pre_exec(adopt_terminal) };
        let child = command.spawn().context("starting a session")?;
        // The command keeps our copies of the guest's side of the terminal open until it is gone.
        drop(command);
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone()?;
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, keyboard, output, seen: Vec::new(), position: 0 })
    }

    fn perform(&mut self, acts: &[Act]) -> Result<()> {
        self.see(PROMPT)?;
        for act in acts {
            match act {
                Type(keys) => self.keyboard.write_all(keys.as_bytes())?,
                See(text) => self.see(text)?,
            }
        }
        self.keyboard.write_all(b"exit\n")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "after exit: {status}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "exit did not end the machine");
            self.more(Duration::from_millis(50));
        }
    }

    /// Waits until `text` shows up behind what was seen before.
    fn see(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found =
                self.seen[self.position..].windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(offset) = found {
                self.position += offset + text.len();
                return Ok(());
            }
            if Instant::now() >= deadline
                || self.child.try_wait()?.is_some() && !self.more(Duration::from_millis(200))
            {
                bail!("waited in vain for {text:?}");
            }
            self.more(Duration::from_millis(50));
        }
    }

    /// Takes in what the screen shows within `limit`; whether it was anything.
    fn more(&mut self, limit: Duration) -> bool {
        match self.output.recv_timeout(limit) {
            Ok(bytes) => {
                self.seen.extend(bytes);
                true
            }
            Err(_) => false,
        }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen).replace('\r', "")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new pseudo-terminal of 80 by 24: our side, and the program's.
fn open_terminal() -> Result<(OwnedFd, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: openpty fills the two descriptors; name and settings may be null.
    let result =
        unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("opening a pseudo-terminal");
    }
    for fd in [ours, theirs] {
        // SAFETY: both were just opened.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: both were just opened and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) })
}
