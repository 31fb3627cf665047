//! Running a program of the test with a deadline, line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::qemu;

/// When the whole test ends, whatever hangs.
static END: OnceLock<Instant> = OnceLock::new();

/// From now on the programs of the test have `limit` together. Only the first call counts.
pub(super) fn limit_everything(limit: Duration) {
    END.get_or_init(|| Instant::now() + limit);
}

/// What is left of the time for everything.
pub(super) fn time_left() -> Duration {
    END.get().map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
}

/// How a program ended.
pub(super) struct Finished {
    /// `None`: it took too long and was killed.
    pub(super) status: Option<ExitStatus>,
    /// What it wrote to stderr.
    pub(super) stderr: String,
}

impl Finished {
    pub(super) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, in words.
    pub(super) fn describe(&self) -> String {
        self.status.map_or_else(|| "killed at its deadline".to_owned(), |status| status.to_string())
    }
}

/// What a program wrote and how it ended.
pub(super) struct Captured {
    pub(super) stdout: Vec<u8>,
    pub(super) finished: Finished,
}

/// Runs `command` with `input` on stdin and collects what it writes.
pub(super) fn capture(command: &mut Command, input: &[u8], limit: Duration) -> Result<Captured> {
    let mut child = start(command)?;
    let mut stdout = child.stdout.take().context("no stdout")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let input = input.to_vec();
    thread::spawn(move || stdin.write_all(&input));
    let (sender, inbox) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = stdout.read_to_end(&mut all);
        let _ = sender.send(all);
    });
    let errors = collect_stderr(&mut child)?;
    let collected = inbox.recv_timeout(limit.min(time_left()));
    let status = conclude(&mut child, collected.is_ok())?;
    let stdout = collected.or_else(|_| inbox.recv()).unwrap_or_default();
    Ok(Captured { stdout, finished: Finished { status, stderr: errors.join().unwrap_or_default() } })
}

/// Runs `command`, handing each line of its stdout to `on_line` as it comes.
pub(super) fn stream(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Finished> {
    let deadline = Instant::now() + limit.min(time_left());
    let mut child = start(command)?;
    let stdout = child.stdout.take().context("no stdout")?;
    drop(child.stdin.take());
    let (sender, inbox) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    let errors = collect_stderr(&mut child)?;
    let ended = loop {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) => break true,
            Err(RecvTimeoutError::Timeout) => break false,
        }
    };
    let status = conclude(&mut child, ended)?;
    inbox.iter().for_each(|line| on_line(&line));
    Ok(Finished { status, stderr: errors.join().unwrap_or_default() })
}

fn start(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    qemu::die_with_parent(command, None);
    command.spawn().with_context(|| format!("starting {}", command.get_program().display()))
}

fn collect_stderr(child: &mut Child) -> Result<thread::JoinHandle<String>> {
    let mut stderr = child.stderr.take().context("no stderr")?;
    Ok(thread::spawn(move || {
        let mut all = Vec::new();
        let _ = stderr.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    }))
}

/// The status of a child that has `ended`; otherwise kills it and everything in its session's group.
fn conclude(child: &mut Child, ended: bool) -> Result<Option<ExitStatus>> {
    if !ended {
        let group = i32::try_from(child.id()).context("process id")?;
        // SAFETY: the child leads its own group and is not reaped yet, so the number is its own.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    let status = child.wait().context("waiting for a program of the test")?;
    Ok(ended.then_some(status))
}

/// The last `count` lines of `text`.
pub(super) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_are_collected() {
        let result =
            capture(&mut shell("cat; echo err >&2; exit 3"), b"in", Duration::from_secs(20)).unwrap();
        assert_eq!((result.stdout.as_slice(), result.finished.stderr.as_str()), (b"in".as_slice(), "err\n"));
        assert_eq!(result.finished.status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn lines_come_one_by_one_and_the_last_may_be_open() {
        let mut lines = Vec::new();
        let command = &mut shell("echo a; printf b");
        stream(command, Duration::from_secs(20), |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let started = Instant::now();
        let finished = stream(&mut shell("sleep 60 | cat"), Duration::from_millis(100), |_| {}).unwrap();
        assert!(finished.status.is_none() && started.elapsed() < Duration::from_secs(30));
    }
}
