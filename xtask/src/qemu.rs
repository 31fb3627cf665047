//! The QEMU command line, and starting QEMU so that it cannot outlive xtask.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::cli::usage;
use crate::paths;

/// QEMU's exit code after the guest wrote 0x10 to the debug-exit port: `(0x10 << 1) | 1`.
pub(crate) const CLEAN_END: i32 = 33;

/// The day on which a machine that counts instructions starts.
const CLOCK_BASE: &str = "2026-01-01T00:00:00";
/// The same in seconds since 1970.
pub(crate) const CLOCK_BASE_SECONDS: u32 = 1_767_225_600;

/// The machine that QEMU models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Board {
    /// `pc`, with the small qboot firmware where QEMU has it: 80 times fewer instructions
    /// before the kernel's first one.
    #[default]
    Quick,
    /// `pc` with QEMU's own firmware.
    Pc,
    Q35,
    MicroVm,
}

impl Board {
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "pc" => Ok(Self::Pc),
            "q35" => Ok(Self::Q35),
            "microvm" => Ok(Self::MicroVm),
            _ => Err(usage(format!("--machine: {name:?} is none of pc, q35, microvm"))),
        }
    }

    /// What `--machine` calls it; the default has no name.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Quick => None,
            Self::Pc => Some("pc"),
            Self::Q35 => Some("q35"),
            Self::MicroVm => Some("microvm"),
        }
    }

    fn arguments(self) -> Vec<OsString> {
        match self {
            Self::Quick if has_qboot() => words("-M pc -bios qboot.rom"),
            Self::Quick | Self::Pc => words("-M pc"),
            Self::Q35 => words("-M q35"),
            Self::MicroVm => words("-M microvm,isa-serial=on,rtc=on,pit=on,pic=on"),
        }
    }
}

fn has_qboot() -> bool {
    ["/usr/share/qemu/qboot.rom", "/usr/local/share/qemu/qboot.rom"]
        .iter()
        .any(|path| Path::new(path).exists())
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}

/// What a virtual machine is made of.
pub(crate) struct Machine {
    pub(crate) board: Board,
    pub(crate) cpus: u32,
    pub(crate) memory: String,
    pub(crate) icount: bool,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// The kernel command line.
    pub(crate) append: String,
    /// The file that the debug console writes.
    pub(crate) debug_console: PathBuf,
    /// The file that the first serial port writes, in place of QEMU's stdout; then nobody is heard.
    pub(crate) console: Option<PathBuf>,
    /// The file for the kernel's list of decisions.
    pub(crate) decisions: Option<PathBuf>,
    /// What QEMU's own random numbers follow from.
    pub(crate) seed: Option<u64>,
    /// More arguments, for the debugger.
    pub(crate) extra: Vec<OsString>,
}

impl Machine {
    /// The arguments behind `qemu-system-x86_64`. The first serial port is QEMU's stdin and stdout.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all = words("-nodefaults -no-user-config -display none -no-reboot -accel tcg -cpu max");
        all.extend(self.board.arguments());
        let mut option = |name: &str, value: OsString| all.extend([name.into(), value]);
        option("-smp", self.cpus.to_string().into());
        option("-m", self.memory.clone().into());
        option("-kernel", self.kernel.clone().into());
        option("-initrd", self.initrd.clone().into());
        option("-append", self.append.clone().into());
        let file = |start: &str, path: &Path| {
            let mut word = OsString::from(start);
            word.push(path);
            word
        };
        // A reader that is slow at the other end of a pipe would be felt in the guest; a file never is.
        option(
            "-chardev",
            match &self.console {
                Some(path) => file("file,id=console,path=", path),
                None => "stdio,id=console,signal=off".into(),
            },
        );
        option("-serial", "chardev:console".into());
        option("-debugcon", file("file:", &self.debug_console));
        if let Some(path) = &self.decisions {
            option("-chardev", file("file,id=decisions,path=", path));
            option("-device", "isa-debugcon,iobase=0xe8,chardev=decisions".into());
        }
        if let Some(seed) = self.seed {
            option("-seed", seed.to_string().into());
        }
        option("-device", "isa-debug-exit,iobase=0xf4,iosize=4".into());
        if self.icount {
            option("-icount", "shift=0,sleep=off".into());
            // A clock that follows the instructions from a fixed day: the run is repeatable.
            option("-rtc", format!("base={CLOCK_BASE},clock=vm").into());
        }
        all.extend(self.extra.iter().cloned());
        all
    }

    /// Starts QEMU with its serial port on pipes and its stderr in `log`. Returns the process and
    /// our end of its monitor.
    pub(crate) fn start(&self, log: &Path) -> Result<(Child, UnixStream)> {
        let (monitor, theirs) = UnixStream::pair().context("making the monitor's socket")?;
        let log = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(program()?);
        command
            .args(self.arguments())
            .args(monitor_arguments(theirs.as_raw_fd()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        die_with_parent(&mut command, Some(theirs.as_raw_fd()));
        let child = command.spawn().context("starting QEMU")?;
        Ok((child, monitor))
    }
}

/// The path of QEMU.
pub(crate) fn program() -> Result<PathBuf> {
    paths::executable("qemu-system-x86_64").context("qemu-system-x86_64 is not installed")
}

fn monitor_arguments(fd: RawFd) -> [OsString; 4] {
    [
        "-chardev".into(),
        format!("socket,id=monitor,fd={fd}").into(),
        "-mon".into(),
        "chardev=monitor,mode=control".into(),
    ]
}

/// Makes the process of `command` die with this one, out of reach of the terminal's signals, and
/// lets it inherit `keep`.
pub(crate) fn die_with_parent(command: &mut Command, keep: Option<RawFd>) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: between fork and exec only async-signal-safe system calls on plain integers.
        unsafe {
            libc::setsid();
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // The parent may have died before the line above.
            if libc::getppid() != parent as libc::pid_t {
                libc::_exit(1);
            }
            if let Some(fd) = keep {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
        }
        Ok(())
    };
    // SAFETY: `prepare` allocates nothing and calls only async-signal-safe functions.
    unsafe { command.pre_exec(prepare) };
}

/// The first line of `qemu-system-x86_64 --version`.
pub(crate) fn version() -> Result<String> {
    let output = Command::new(program()?).arg("--version").output().context("asking QEMU for its version")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// `words` as a line that a shell reads back.
pub(crate) fn shell_line(words: &[OsString]) -> String {
    words.iter().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_line_is_read_back_by_a_shell() {
        let words: Vec<OsString> =
            ["printf", "%s|", "a b", "it's", "", "$HOME;x", "-append=k=v"].map(Into::into).into();
        let output = Command::new("sh").arg("-c").arg(shell_line(&words)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b|it's||$HOME;x|-append=k=v|");
    }
}
