//! What must be installed before anything can be built or run, and installing it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

const KERNEL_TARGET: &str = "x86_64-unknown-none";

/// A part of xtask that needs packages of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Booting the kernel: `run`, `test`, `bench`, `gdb`.
    Run,
    /// Compiling the C programs of the tests and collecting Debian's own.
    Programs,
    /// Attaching a debugger.
    Debugger,
}

/// A Debian package, how to tell that it is there, and who needs it.
struct Package {
    name: &'static str,
    present: fn() -> bool,
    need: Need,
}

const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", present: || command("qemu-system-x86_64"), need: Need::Run },
    Package { name: "busybox-static", present: static_busybox, need: Need::Run },
    Package { name: "gcc", present: || command("gcc"), need: Need::Programs },
    Package { name: "libc6-dev", present: || file("/usr/include/stdio.h"), need: Need::Programs },
    Package { name: "musl-tools", present: || command("musl-gcc"), need: Need::Programs },
    Package { name: "bash", present: || command("bash"), need: Need::Programs },
    Package { name: "coreutils", present: || command("timeout"), need: Need::Programs },
    Package { name: "diffutils", present: || command("diff"), need: Need::Programs },
    Package { name: "findutils", present: || command("find"), need: Need::Programs },
    Package { name: "grep", present: || command("grep"), need: Need::Programs },
    Package { name: "sed", present: || command("sed"), need: Need::Programs },
    Package { name: "gdb", present: || command("gdb"), need: Need::Debugger },
];

fn command(name: &str) -> bool {
    paths::executable(name).is_some()
}

fn file(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

/// Debian's `busybox` package has the same path; it is linked against libc and so useless here.
fn static_busybox() -> bool {
    paths::executable("busybox").is_some_and(|path| {
        std::fs::read(path).is_ok_and(|image| crate::symbols::is_statically_linked(&image))
    })
}

/// `cargo xtask setup`: what building and running need.
pub(crate) fn everything() -> Result<()> {
    ensure(&[Need::Run])?;
    println!("everything is installed");
    Ok(())
}

/// Installs what is missing for `needs`; costs a few stat calls when nothing is.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    ensure_rust_target()?;
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|package| needs.contains(&package.need) && !(package.present)())
        .map(|p| p.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("please install by hand: apt-get install {list} (Debian names)");
    let Some(apt) = paths::executable("apt-get") else {
        bail!("missing: {list}; there is no apt-get here; {by_hand}");
    };
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        bail!("missing: {list}; only root can install; {by_hand}");
    }
    progress(&format!("installing {list}"));
    apt_get(&apt, &["update"]).with_context(|| by_hand.clone())?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&apt, &arguments).with_context(|| by_hand.clone())
}

/// Brings apt's lists up to date.
pub(crate) fn update_lists() -> Result<()> {
    let apt = paths::executable("apt-get").context("there is no apt-get here")?;
    apt_get(&apt, &["update"])
}

fn apt_get(apt: &PathBuf, arguments: &[&str]) -> Result<()> {
    let output = Command::new(apt)
        .args(["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", apt.display()))?;
    if !output.status.success() {
        bail!("apt-get {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn ensure_rust_target() -> Result<()> {
    if sysroot().is_some_and(|root| root.join("lib/rustlib").join(KERNEL_TARGET).is_dir()) {
        return Ok(());
    }
    let by_hand =
        format!("please install the Rust target {KERNEL_TARGET} (rustup target add {KERNEL_TARGET})");
    if !command("rustup") {
        bail!("there is no rustup here; {by_hand}");
    }
    progress(&format!("rustup target add {KERNEL_TARGET}"));
    let output = Command::new("rustup")
        .args(["target", "add", KERNEL_TARGET])
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .output()
        .context("starting rustup")?;
    if !output.status.success() {
        bail!("{by_hand}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The toolchain's directory: from rustup's variables when they are set, since asking rustc
/// costs a tenth of a second on every run.
fn sysroot() -> Option<PathBuf> {
    let from_rustup = || {
        let home = std::env::var_os("RUSTUP_HOME").map(PathBuf::from)?;
        let root = home.join("toolchains").join(std::env::var_os("RUSTUP_TOOLCHAIN")?);
        root.join("lib/rustlib").is_dir().then_some(root)
    };
    let from_rustc = || {
        let output = Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(paths::workspace())
            .output()
            .ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    from_rustup().or_else(from_rustc)
}

/// A line about a long step, for a person at a terminal.
pub(crate) fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("xtask: {line} ...");
    }
}
