//! What `cargo xtask run` prints and how it ends: a table of command lines and expectations.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::TestOptions;
use super::false_kernel;
use super::guest_suite::kairos_run;
use super::process::{self, Captured};
use super::tally::{Tally, Verdict};
use crate::{outcome, paths};

/// One run: the command line, and what must come out.
struct Run {
    name: &'static str,
    options: &'static [&'static str],
    program: &'static [&'static str],
    /// What xtask reads on its stdin.
    input: &'static [u8],
    stdout: Stdout,
    status: u8,
    /// `kind` in `result.json`.
    kind: &'static str,
    /// Each must occur in stderr.
    stderr: &'static [&'static str],
    /// Each must occur in the kernel's log.
    log: &'static [&'static str],
    /// Whether one and two CPUs are tried, or the options say it.
    each_cpu_count: bool,
    /// What is booted instead of Kairos.
    kernel: Option<fn() -> Result<PathBuf>>,
}

/// What stdout must be.
enum Stdout {
    Exactly(&'static [u8]),
    Computed(fn() -> Vec<u8>),
    Anything,
}

impl Stdout {
    fn accepts(&self, found: &[u8]) -> Result<(), Vec<u8>> {
        let expected = match self {
            Self::Exactly(bytes) => bytes.to_vec(),
            Self::Computed(make) => make(),
            Self::Anything => return Ok(()),
        };
        if expected == found { Ok(()) } else { Err(expected) }
    }
}

const fn run(name: &'static str, program: &'static [&'static str], stdout: &'static [u8], status: u8) -> Run {
    Run {
        name,
        options: &[],
        program,
        input: b"",
        stdout: Stdout::Exactly(stdout),
        status,
        kind: "exit",
        stderr: &[],
        log: &[],
        each_cpu_count: true,
        kernel: None,
    }
}

/// A run on a machine that its options describe.
const fn machine(name: &'static str, options: &'static [&'static str]) -> Run {
    Run { options, each_cpu_count: false, ..run(name, &["sh", "-c", "echo up; exit 3"], b"up\n", 3) }
}

/// A run that QEMU does not survive as it should.
const fn broken(name: &'static str) -> Run {
    Run { kind: "qemu-failed", each_cpu_count: false, ..run(name, &["true"], b"", outcome::QEMU_FAILED) }
}

fn twenty_thousand_lines() -> Vec<u8> {
    (1..=20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// No run of the table takes longer in the guest.
const GUEST_SECONDS: &str = "60";
const LIMIT: Duration = Duration::from_secs(90);

const RUNS: &[Run] = &[
    run("hello", &["sh", "-c", "echo hello from $(uname -s)"], b"hello from Linux\n", 0),
    run("pipeline", &["sh", "-c", "seq 1 1000 | grep 7 | wc -l"], b"271\n", 0),
    run("exit_status", &["sh", "-c", "exit 7"], b"", 7),
    run("killed_by_a_signal", &["sh", "-c", "kill -9 $$"], b"", 137),
    run("no_output", &["true"], b"", 0),
    run("false", &["false"], b"", 1),
    Run { stdout: Stdout::Anything, ..run("missing_program", &["/no/such/program"], b"", 127) },
    Run { stdout: Stdout::Anything, ..run("not_executable", &["/etc/passwd"], b"", 126) },
    run("every_byte_arrives", &["printf", "a\\r\\nb\\001\\377\\tc"], b"a\r\nb\x01\xff\tc", 0),
    run("both_outputs_in_order", &["sh", "-c", "echo out; echo err >&2; echo out"], b"out\nerr\nout\n", 0),
    Run {
        stdout: Stdout::Computed(twenty_thousand_lines),
        ..run("long_output", &["seq", "1", "20000"], b"", 0)
    },
    run("arguments_are_kept", &["printf", "%s|", "a b", "", "$x", "'"], b"a b||$x|'|", 0),
    Run {
        options: &["--env", "WORD=two words"],
        ..run("environment", &["sh", "-c", "echo \"$WORD\""], b"two words\n", 0)
    },
    Run { options: &["--stdin"], input: b"one\ntwo\n", ..run("input", &["cat"], b"one\ntwo\n", 0) },
    Run { options: &["--stdin"], input: b"open", ..run("input_with_an_open_line", &["cat"], b"open", 0) },
    Run { options: &["--stdin"], ..run("empty_input", &["cat"], b"", 0) },
    Run { options: &["--init", "/bin/true"], ..run("other_init", &["ignored"], b"", 0) },
    run("a_sleeper_is_no_deadlock", &["sh", "-c", "sleep 1; echo woke"], b"woke\n", 0),
    run("own_status_201", &["sh", "-c", "exit 201"], b"", 201),
    run("own_status_204", &["sh", "-c", "exit 204"], b"", 204),
    Run {
        kind: "deadlock",
        stderr: &["deadlock", "in wait4(", "in poll("],
        ..run(
            "deadlock_on_a_pipe",
            &["sh", "-c", "mkfifo /tmp/f; exec 3<>/tmp/f; read line <&3"],
            b"",
            outcome::DEADLOCK,
        )
    },
    Run {
        kind: "timeout",
        options: &["--timeout", "4"],
        ..run("timeout_while_spinning", &["sh", "-c", "while :; do :; done"], b"", outcome::TIMEOUT)
    },
    Run {
        kind: "timeout",
        options: &["--timeout", "4", "--stdin"],
        stderr: &["nanosleep("],
        ..run("timeout_while_sleeping", &["sleep", "1000"], b"", outcome::TIMEOUT)
    },
    Run {
        kind: "panic",
        stderr: &["panic"],
        ..run("panic_on_request", &["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 30"], b"", outcome::PANIC)
    },
    Run {
        options: &["--append", "selftest=1"],
        log: &["kairos-selftest: {\"schema_version\":1,\"mask\":1,", "\"failed\":0,\"done\":true}"],
        ..run("kernel_selftest", &["never_started"], b"", 0)
    },
    Run {
        options: &["--faults", "port_enqueue"],
        log: &["fault=port_enqueue", "\"faults_fired\":0"],
        ..run("nothing_injected", &["true"], b"", outcome::NOTHING_INJECTED)
    },
    Run {
        options: &["--faults", "short_write:times=1", "--append", "fault_seed=7"],
        stdout: Stdout::Anything,
        log: &["fault_seed=7", "\"fault_seed\":7"],
        ..run("a_fault_is_injected", &["dd", "if=/dev/zero", "of=/tmp/f", "bs=4096", "count=1"], b"", 0)
    },
    Run { each_cpu_count: false, options: &["--smp", "1"], ..run("one_cpu", &["nproc"], b"1\n", 0) },
    Run { each_cpu_count: false, options: &["--smp", "2"], ..run("two_cpus", &["nproc"], b"2\n", 0) },
    Run { kernel: Some(false_kernel::triple_fault), ..broken("triple_fault") },
    Run { kernel: Some(false_kernel::end_without_record), ..broken("end_without_a_record") },
    machine("pc", &["--machine", "pc"]),
    machine("q35", &["--machine", "q35"]),
    machine("microvm", &["--machine", "microvm"]),
    machine("instruction_counting", &["--icount"]),
    machine("little_memory", &["--mem", "64M"]),
    machine("much_memory", &["--mem", "5G"]),
    Run {
        options: &["--strace"],
        stderr: &["its system calls are in"],
        log: &[
            "execve(\"/bin/sh\", [\"sh\", \"-c\", \"",
            "openat(AT_FDCWD, \"/no/such/file\", O_RDONLY) = -1 ENOENT",
            "write(1, \"up\\n\", 3) = 3",
            "wait4(-1, <unfinished ...>",
            "<... wait4 resumed>[exited 5], ",
            "--- SIGCHLD {",
            "exit_group(3) = ?",
            "+++ exited with 3 +++",
        ],
        ..run(
            "strace",
            &["sh", "-c", "exec 2>/dev/null; (</no/such/file); echo up; (sleep 0.2; exit 5); exit 3"],
            b"up\n",
            3,
        )
    },
];

pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for run in RUNS {
        if !run.each_cpu_count {
            check(run, run.name, &[], options, tally)?;
            continue;
        }
        for cpus in ["1", "2"] {
            check(run, &format!("{}-smp{cpus}", run.name), &["--smp", cpus], options, tally)?;
        }
    }
    Ok(())
}

fn check(
    run: &Run,
    case: &str,
    more_options: &[&str],
    options: &TestOptions,
    tally: &mut Tally,
) -> Result<()> {
    if !tally.wants("run", case) {
        return Ok(());
    }
    let rounds = options.scale;
    for round in 1..=rounds {
        let mut command = kairos_run(options)?;
        if !run.options.contains(&"--timeout") {
            command.args(["--timeout", GUEST_SECONDS]);
        }
        if let Some(make) = run.kernel {
            command.arg("--kernel").arg(make()?);
        }
        command.args(run.options).args(more_options).arg("--").args(run.program);
        let captured = process::capture(&mut command, run.input, LIMIT)?;
        if let Err(error) = run.judge(&captured) {
            tally.record("run", case, Verdict::Failed(format!("round {round} of {rounds}: {error:#}")));
            return Ok(());
        }
    }
    tally.record("run", case, Verdict::Passed);
    Ok(())
}

impl Run {
    fn judge(&self, captured: &Captured) -> Result<()> {
        let stderr = &captured.finished.stderr;
        let details = || format!("stdout {:?}\n{}", shown(&captured.stdout), process::tail(stderr, 40));
        let status = captured.finished.status.and_then(|status| status.code());
        anyhow::ensure!(
            status == Some(i32::from(self.status)),
            "{} instead of status {}; {}",
            captured.finished.describe(),
            self.status,
            details()
        );
        if let Err(expected) = self.stdout.accepts(&captured.stdout) {
            anyhow::bail!("stdout should be {:?}; {}", shown(&expected), details());
        }
        for text in self.stderr {
            anyhow::ensure!(stderr.contains(text), "stderr does not mention {text:?}; {}", details());
        }
        let log = latest("kernel.log")?;
        for text in self.log {
            anyhow::ensure!(log.contains(text), "the kernel's log does not mention {text:?}; {}", details());
        }
        let kind = result_kind()?;
        anyhow::ensure!(
            kind == self.kind,
            "result.json says {kind:?} instead of {:?}; {}",
            self.kind,
            details()
        );
        Ok(())
    }
}

/// Output for a message: its beginning, and how much there is.
fn shown(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    if bytes.len() > 300 { format!("{start}... ({} bytes)", bytes.len()) } else { start }
}

/// A file of the last run.
fn latest(name: &str) -> Result<String> {
    let path = paths::runs().join("latest").join(name);
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `kind` in the last run's `result.json`.
fn result_kind() -> Result<String> {
    let value: Value = serde_json::from_str(&latest("result.json")?)?;
    Ok(value["kind"].as_str().unwrap_or_default().to_owned())
}
