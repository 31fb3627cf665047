//! `cargo xtask run`: build, put the guest's root together, boot it, and say how it ended.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::build::{self, Images};
use crate::chance;
use crate::cli::Arguments;
use crate::console::{self, GrowingFile, LastOutput, Output, Request};
use crate::identity::Identity;
use crate::initramfs;
use crate::outcome::{self, FaultRecord, Outcome};
use crate::qemu::{self, Machine};
use crate::qmp::Monitor;
use crate::run_directory::RunDirectory;
use crate::run_options::{self, RunOptions};
use crate::setup::{self, Need};
use crate::verdict::{Evidence, Verdict};
use crate::{failure, terminal, trace};

/// The initramfs, in the run's folder.
pub(crate) const ROOT: &str = "initramfs.cpio";
/// What the guest's console said, in the run's folder.
const CONSOLE: &str = "console.log";
/// How long the kernel may take to print its tasks after the interrupt that asks for them.
const DUMP_LIMIT: Duration = Duration::from_secs(5);
/// The dump is over when the log has not grown for this long.
const DUMP_QUIET: Duration = Duration::from_millis(700);

/// What the main loop of a run waits for.
enum Event {
    QemuEnded,
    Asked(Request),
}

/// `cargo xtask run ...`: the exit status to hand on.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let options = RunOptions::parse(arguments)?;
    if options.help {
        println!("{}", run_options::HELP);
        return Ok(0);
    }
    run(&options)
}

/// Runs what `options` say: the exit status to hand on.
pub(crate) fn run(options: &RunOptions) -> Result<u8> {
    let prepared = Prepared::new(options)?;
    if options.dry_run {
        println!("{}", prepared.qemu_line()?);
        return Ok(0);
    }
    let (outcome, verdict) = prepared.run(options)?;
    Ok(match verdict.reason {
        "nothing_injected" => outcome::NOTHING_INJECTED,
        _ => outcome.exit_status(),
    })
}

/// A virtual machine that is ready to start.
pub(crate) struct Prepared {
    pub(crate) machine: Machine,
    pub(crate) directory: RunDirectory,
    pub(crate) identity: Identity,
}

impl Prepared {
    /// Builds what `options` need, makes the run's directory and writes the initramfs into it.
    pub(crate) fn new(options: &RunOptions) -> Result<Self> {
        setup::ensure(&[Need::Run])?;
        let images = build::images(options.profile, options.freshness, options.kernel.as_deref())?;
        let directory = RunDirectory::create()?;
        let root = directory.file(ROOT);
        write_root(&images, options, &root)?;
        let identity = Identity::of(&images.kernel, &root)?;
        Self::of(options, images.kernel, identity, directory)
    }

    /// A machine whose root lies in the run's directory already.
    pub(crate) fn of(
        options: &RunOptions,
        kernel: PathBuf,
        identity: Identity,
        directory: RunDirectory,
    ) -> Result<Self> {
        if let Some(expected) = options.expected.as_ref().filter(|_| !options.force) {
            expected.check(&identity)?;
        }
        let initrd = directory.file(ROOT);
        if let Some(list) = &options.chance.decisions {
            let list = std::fs::read(list).with_context(|| format!("reading {}", list.display()))?;
            initramfs::append_file(&initrd, chance::SCRIPT, list)?;
        }
        let machine = Machine {
            board: options.board,
            cpus: options.cpus(),
            memory: options.memory.clone(),
            icount: options.icount,
            kernel,
            initrd,
            append: kernel_command_line(options),
            debug_console: directory.file("kernel.log"),
            console: is_to_be_repeated(options).then(|| directory.file(CONSOLE)),
            decisions: options.chance.is_any().then(|| directory.file("decisions")),
            seed: options.chance.seed,
            extra: match options.trace {
                Some(_) => trace::qemu_arguments(&trace::memory_file(&directory), &options.memory).into(),
                None => Vec::new(),
            },
        };
        Ok(Self { machine, directory, identity })
    }

    /// QEMU's command line, for a person to start.
    pub(crate) fn qemu_line(&self) -> Result<String> {
        let mut words = vec![qemu::program()?.into_os_string()];
        words.extend(self.machine.arguments());
        Ok(qemu::shell_line(&words))
    }

    /// Boots the machine, and returns when it has ended, with the run's files written. The console goes to stdout
    /// if it `is_heard`.
    pub(crate) fn boot(&self, options: &RunOptions, is_heard: bool) -> Result<(Outcome, Verdict)> {
        self.directory.write_manifest(options, &self.machine, &self.identity, &self.qemu_line()?)?;
        let started = Instant::now();
        let (child, monitor) = self.machine.start(&self.directory.file("qemu.log"))?;
        let mut guest =
            Guest { child, monitor: Monitor::new(monitor), log: self.machine.debug_console.clone() };
        let (outcome, status) = guest.attend(options, self, is_heard, started)?;
        let log = guest.log_text();
        let faults = FaultRecord::read(&log);
        let verdict = Verdict::of(&Evidence {
            outcome: &outcome,
            kernel_log: &log,
            qemu: status,
            // A list of decisions may have none left.
            faults_asked: !options.chance.faults.is_empty() && options.chance.decisions.is_none(),
            faults_fired: faults.fired,
        });
        self.directory.write_result(&outcome, started.elapsed(), status, faults, verdict)?;
        self.directory.drop_images();
        if options.trace.is_some() {
            trace::finish(&self.directory, &log, is_heard && !options.quiet);
        }
        Ok((outcome, verdict))
    }

    /// Boots the machine on this process's terminal, and says how it ended.
    fn run(self, options: &RunOptions) -> Result<(Outcome, Verdict)> {
        let (outcome, verdict) = self.boot(options, true)?;
        if !options.quiet {
            failure::explain(&outcome, &self.directory, &self.machine.kernel);
            if options.strace {
                eprintln!("xtask: its system calls are in {}", self.machine.debug_console.display());
            }
        }
        Ok((outcome, verdict))
    }
}

/// Whether the run is to be the same whenever and from wherever it is started.
fn is_to_be_repeated(options: &RunOptions) -> bool {
    options.chance.is_any() && !options.has_input()
}

pub(crate) fn write_root(images: &Images, options: &RunOptions, path: &Path) -> Result<()> {
    let mut archive = images.base_archive()?;
    for overlay in &options.overlays {
        initramfs::lay_over(&mut archive, overlay)?;
    }
    if !options.program.is_empty() {
        initramfs::add_job(&mut archive, &options.program);
    }
    initramfs::add_environment(&mut archive, &environment(options));
    if is_to_be_repeated(options) {
        initramfs::set_times(&mut archive, qemu::CLOCK_BASE_SECONDS);
    }
    build::write_archive(&archive, path)
}

/// What the job gets beside the defaults of init; a later variable overrides an earlier one of the same name.
fn environment(options: &RunOptions) -> Vec<String> {
    let host =
        |name: &str, default: &str| format!("{name}={}", std::env::var(name).unwrap_or(default.to_owned()));
    let mut variables: Vec<String> = ["USER=root", "SHELL=/bin/sh"].map(str::to_owned).into();
    if options.has_input() && std::io::stdin().is_terminal() {
        variables.push(host("TERM", "vt100"));
        if let Some((columns, rows)) = terminal::size() {
            variables.extend([format!("COLUMNS={columns}"), format!("LINES={rows}")]);
        }
    } else {
        variables.push("TERM=dumb".to_owned());
    }
    for assignment in &options.environment {
        let name = assignment.split_once('=').map_or(assignment.as_str(), |(name, _)| name);
        variables.retain(|old| old.split_once('=').is_none_or(|(old_name, _)| old_name != name));
        variables.push(assignment.clone());
    }
    variables
}

fn kernel_command_line(options: &RunOptions) -> String {
    let mut words = Vec::new();
    // Carriage returns belong on a terminal; anything else wants the program's own bytes.
    if is_to_be_repeated(options) || !std::io::stdout().is_terminal() {
        words.push("console=raw".to_owned());
    }
    if let Some(init) = &options.init {
        words.push(format!("init={init}"));
    }
    if options.strace {
        words.push("strace=1".to_owned());
    }
    if let Some(classes) = &options.trace {
        let buffer = options.trace_buffer.as_deref().unwrap_or(trace::DEFAULT_BUFFER);
        words.extend(trace::command_line(classes, buffer));
    }
    // Without input nobody can ever end a wait that nothing in the guest will end.
    if !options.has_input() {
        words.push("deadlock=end".to_owned());
    }
    words.extend(options.chance.kernel_words());
    words.extend(options.append.iter().cloned());
    words.join(" ")
}

/// How long a run may take.
struct Limits {
    started: Instant,
    timeout: Option<Duration>,
    stall: Option<Duration>,
    last_output: LastOutput,
}

impl Limits {
    /// The moment at which the run has taken too long, as things stand.
    fn next(&self) -> Option<Instant> {
        let end = self.timeout.map(|limit| self.started + limit);
        let silence = self.stall.map(|limit| self.last_output.get().unwrap_or(self.started) + limit);
        end.into_iter().chain(silence).min()
    }
}

/// A running QEMU and what we need to talk to it. Dropping it ends QEMU.
struct Guest {
    child: Child,
    monitor: Monitor,
    log: PathBuf,
}

impl Guest {
    /// Serves the console until the run ends, in whatever way.
    fn attend(
        &mut self,
        options: &RunOptions,
        prepared: &Prepared,
        is_heard: bool,
        started: Instant,
    ) -> Result<(Outcome, Option<ExitStatus>)> {
        let (events, inbox) = mpsc::channel();
        let last_output = LastOutput::default();
        let ended = Arc::new(AtomicBool::new(false));
        let output = match &prepared.machine.console {
            Some(path) => Output::File(GrowingFile::follow(path, Arc::clone(&ended))?),
            None => {
                let pipe = self.child.stdout.take().context("QEMU has no stdout")?;
                Output::pipe(pipe, &prepared.directory.file(CONSOLE))?
            }
        };
        let pump = console::pump_output(output, is_heard, events.clone(), Event::Asked, last_output.clone());
        let input = self.child.stdin.take().context("QEMU has no stdin")?;
        // Kept open when unused: QEMU would spin on a closed one.
        let mut idle_input = None;
        let mut raw = None;
        if options.has_input() {
            if std::io::stdin().is_terminal() {
                raw = Some(terminal::RawMode::enter().context("switching the terminal to raw mode")?);
            }
            let source = console::Input { kernel_log: self.log.clone(), last_output: last_output.clone() };
            source.pump(input, events.clone(), Event::Asked);
        } else {
            idle_input = Some(input);
        }
        announce_end(&self.child, events);
        let limits = Limits { started, timeout: options.timeout, stall: options.stall, last_output };
        let outcome = self.wait(&inbox, &limits)?;
        let status = self.end();
        // QEMU is gone, so its end of the pipe is closed: the pump copies the tail and stops.
        ended.store(true, Ordering::Release);
        let _ = pump.join();
        drop((raw, idle_input));
        let log = self.log_text();
        let outcome = outcome.unwrap_or_else(|| match status {
            Some(status) => Outcome::judge(&log, status),
            None => Outcome::QemuFailed("QEMU's exit code could not be read".to_owned()),
        });
        Ok((outcome, status))
    }

    /// Waits for the end of the run; `None` if QEMU ended by itself.
    fn wait(&mut self, inbox: &Receiver<Event>, limits: &Limits) -> Result<Option<Outcome>> {
        loop {
            let deadline = limits.next();
            let event = match deadline {
                Some(deadline) => inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::QemuEnded) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Ok(Event::Asked(Request::Dump)) => self.monitor.inject_nmi()?,
                Ok(Event::Asked(Request::Quit | Request::OutputClosed)) => {
                    return Ok(Some(Outcome::Interrupted));
                }
                // The guest may have printed something since, which moves the stall's deadline.
                Err(RecvTimeoutError::Timeout) if limits.next() != deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.dump(inbox);
                    return Ok(Some(Outcome::Timeout));
                }
            }
        }
    }

    /// Has the kernel print every task and waits until it has, or has not in good time.
    fn dump(&mut self, inbox: &Receiver<Event>) {
        if self.monitor.inject_nmi().is_err() {
            return;
        }
        let limit = Instant::now() + DUMP_LIMIT;
        let mut size = self.log_size();
        let mut quiet_since = Instant::now();
        while Instant::now() < limit && quiet_since.elapsed() < DUMP_QUIET {
            match inbox.recv_timeout(Duration::from_millis(50)) {
                Ok(Event::QemuEnded) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Event::Asked(_)) | Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.log_size();
            if now != size {
                (size, quiet_since) = (now, Instant::now());
            }
        }
    }

    fn log_size(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |meta| meta.len())
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends QEMU if it still runs, and collects its exit status.
    fn end(&mut self) -> Option<ExitStatus> {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.monitor.quit();
            let limit = Instant::now() + Duration::from_secs(1);
            while Instant::now() < limit && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
        }
        self.child.wait().ok()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends [`Event::QemuEnded`] when the process has ended, without collecting its status: the
/// process id stays ours until [`Guest::end`].
fn announce_end(child: &Child, events: Sender<Event>) {
    let id = child.id();
    thread::spawn(move || {
        loop {
            // SAFETY: siginfo_t is plain data, for which zero is valid; waitid fills it.
            let result = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_PID, id, &mut info, libc::WEXITED | libc::WNOWAIT)
            };
            if result == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                break;
            }
        }
        let _ = events.send(Event::QemuEnded);
    });
}
