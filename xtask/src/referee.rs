//! Debian's own kernel in the same QEMU: it says what is right where this machine's Linux must not be
//! touched, and what the same work costs on Linux.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{build, paths, setup};

/// The package that depends on the current kernel for virtual machines: small, and quick to boot.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// The guest program that is Linux's first process: it has kairos-init do its usual work, and reports
/// as Kairos would.
const FIRST_PROCESS: &str = "referee-init";

/// Debian's kernel and what has to lie over the default root for it.
pub(crate) struct Referee {
    pub(crate) kernel: PathBuf,
    pub(crate) overlay: PathBuf,
}

impl Referee {
    /// Downloads and unpacks the kernel the first time.
    pub(crate) fn get() -> Result<Self> {
        let folder = paths::kairos().join("linux");
        let kernel = match unpacked_kernel(&folder) {
            Some(kernel) => kernel,
            None => {
                download(&folder)?;
                unpacked_kernel(&folder).context("the kernel's package holds no boot/vmlinuz")?
            }
        };
        let overlay = paths::kairos().join("overlays/referee");
        fs::create_dir_all(&overlay)?;
        fs::copy(build::guest_program(FIRST_PROCESS), overlay.join(FIRST_PROCESS))
            .context("copying the first process")?;
        Ok(Self { kernel, overlay })
    }

    /// The options of `run` that boot Linux instead of Kairos: silent on the console, and tuned in its
    /// favour. No mitigations, no auditing, and no byte string instructions, which the emulator counts
    /// and executes one by one.
    pub(crate) fn run_options(&self) -> Vec<std::ffi::OsString> {
        let words = "rdinit=/referee-init console=ttyS0 quiet loglevel=0 mitigations=off audit=0 selinux=0 apparmor=0 \
                     cgroup_disable=memory preempt=none nokaslr tsc=reliable panic=-1 init_on_alloc=0 \
                     randomize_kstack_offset=off clearcpuid=erms,fsrm";
        let mut all: Vec<std::ffi::OsString> = vec!["--kernel".into(), self.kernel.clone().into()];
        all.extend(["--overlay".into(), self.overlay.clone().into(), "--append".into(), words.into()]);
        all
    }
}

fn unpacked_kernel(folder: &Path) -> Option<PathBuf> {
    let items = fs::read_dir(folder.join("root/boot")).ok()?;
    items.flatten().map(|item| item.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("vmlinuz-"))
    })
}

fn download(folder: &Path) -> Result<()> {
    setup::progress("downloading Debian's kernel for virtual machines");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let package = match depended_on() {
        Ok(package) => package,
        // Without lists apt knows no package; a new machine has none.
        Err(_) => {
            setup::update_lists()?;
            depended_on()?
        }
    };
    // apt's download user must be able to write where it downloads to.
    let apt = |folder: &Path| {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", &package]).current_dir(folder);
        quiet(&mut command)
    };
    if apt(folder).is_err() {
        setup::update_lists()?;
        apt(folder)?;
    }
    let archive = fs::read_dir(folder)?
        .flatten()
        .map(|item| item.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let archive = archive.context("apt-get download left no package")?;
    quiet(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder.join("root")))?;
    let _ = fs::remove_file(archive);
    // Nothing but the image is used, and the modules are large.
    let _ = fs::remove_dir_all(folder.join("root/lib"));
    Ok(())
}

/// The kernel package that the meta-package stands for.
fn depended_on() -> Result<String> {
    let output =
        Command::new("apt-cache").args(["depends", META_PACKAGE]).output().context("starting apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let depends = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    match depends {
        Some(package) if output.status.success() => Ok(package.to_owned()),
        _ => bail!("apt knows no package {META_PACKAGE}"),
    }
}

fn quiet(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
