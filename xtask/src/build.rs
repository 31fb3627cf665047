//! Building what a run boots: the kernel ELF, the guest programs, the default initramfs.

use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cli::{self, Arguments, Item};
use crate::initramfs::{self, cpio};
use crate::paths;
use crate::setup::{self, Need};

const KERNEL_TARGET: &str = "x86_64-unknown-none";
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";
/// Cargo profile of the guest programs.
const GUEST_PROFILE: &str = "guest";

/// How the kernel is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KernelProfile {
    /// With debug assertions and overflow checks, optimised enough to be quick under TCG.
    #[default]
    Checked,
    /// As measured by the bench.
    Release,
}

impl KernelProfile {
    /// Cargo's name of the profile, which is also its directory under `target/`.
    fn cargo_name(self) -> &'static str {
        match self {
            Self::Checked => "kernel",
            Self::Release => "release",
        }
    }
}

/// The program of the guest suite.
pub(crate) const SUITE: &str = "guest-tests";
/// Guest programs that every root has.
const TOOLS: &[&str] = &["kairos-top"];

/// Whether cargo is asked to bring the images up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Freshness {
    #[default]
    Build,
    /// What the last build left is used as it is.
    Reuse,
}

/// The files of the host that a guest is made of.
pub(crate) struct Images {
    pub(crate) kernel: PathBuf,
    pub(crate) init: PathBuf,
    pub(crate) busybox: PathBuf,
    /// Our own tools, which lie in `/bin`.
    pub(crate) tools: Vec<PathBuf>,
}

impl Images {
    /// The root every run starts from.
    pub(crate) fn base_archive(&self) -> Result<cpio::Archive> {
        initramfs::base(&self.init, &self.busybox, &self.tools)
    }
}

/// `cargo xtask build [--release]`.
pub(crate) fn command(arguments: &mut Arguments) -> Result<()> {
    let mut profile = KernelProfile::Checked;
    while let Some(item) = arguments.next_item()? {
        match item {
            Item::Option(name) if name == "--release" => profile = KernelProfile::Release,
            other => return Err(cli::unexpected(&other)),
        }
    }
    setup::ensure(&[Need::Run])?;
    let images = images(profile, Freshness::Build, None)?;
    let initramfs = paths::default_initramfs();
    std::fs::create_dir_all(paths::kairos())?;
    write_archive(&images.base_archive()?, &initramfs)?;
    println!("{}\n{}", images.kernel.display(), initramfs.display());
    Ok(())
}

/// Builds the kernel and the guest programs, or finds what was built before.
///
/// With `other_kernel` the caller boots a kernel of its own, and this tree's is left alone.
pub(crate) fn images(
    profile: KernelProfile,
    freshness: Freshness,
    other_kernel: Option<&Path>,
) -> Result<Images> {
    if freshness == Freshness::Build {
        guest_programs()?;
        if other_kernel.is_none() {
            build_kernel(profile, &[])?;
        }
    }
    let busybox = paths::executable("busybox").context("busybox is not installed")?;
    let kernel = match other_kernel {
        Some(kernel) => kernel.to_path_buf(),
        None => built_kernel(profile),
    };
    let tools = TOOLS.iter().map(|name| guest_program(name)).collect();
    Ok(Images { kernel, init: guest_program("kairos-init"), busybox, tools })
}

/// A directory to lay over the root that holds the guest suite as `/bin/guest-tests`.
pub(crate) fn suite_overlay() -> Result<PathBuf> {
    let root = paths::kairos().join("overlays").join(SUITE);
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::copy(guest_program(SUITE), bin.join(SUITE)).context("copying the guest suite")?;
    Ok(root)
}

/// Where the build leaves the guest program called `name`.
pub(crate) fn guest_program(name: &str) -> PathBuf {
    paths::guest_target().join(GUEST_TARGET).join(GUEST_PROFILE).join(name)
}

fn built_kernel(profile: KernelProfile) -> PathBuf {
    paths::target().join(KERNEL_TARGET).join(profile.cargo_name()).join("kernel")
}

/// Builds the kernel that is measured without its trace points and fault points. What [`images`] builds comes after it,
/// since both take the same place before this one is copied.
pub(crate) fn kernel_without_points() -> Result<PathBuf> {
    build_kernel(KernelProfile::Release, &["no-points"])?;
    let copy = paths::kairos().join("kernel-without-points");
    std::fs::create_dir_all(paths::kairos())?;
    std::fs::copy(built_kernel(KernelProfile::Release), &copy).context("copying the kernel")?;
    Ok(copy)
}

fn build_kernel(profile: KernelProfile, features: &[&str]) -> Result<()> {
    let mut cargo = cargo();
    cargo.args([
        "build",
        "--package",
        "kernel",
        "--target",
        KERNEL_TARGET,
        "--profile",
        profile.cargo_name(),
    ]);
    if profile == KernelProfile::Release {
        // Without the tests that the kernel runs on request.
        cargo.arg("--no-default-features");
    }
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    finish(cargo, "the kernel")
}

fn guest_programs() -> Result<()> {
    let mut cargo = cargo();
    cargo
        .args([
            "build",
            "--package",
            "tests",
            "--target",
            GUEST_TARGET,
            "--profile",
            GUEST_PROFILE,
            "--target-dir",
        ])
        .arg(paths::guest_target())
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    finish(cargo, "the guest programs")
}

/// A cargo process in the workspace, without what `cargo xtask` left in the environment.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::workspace()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        // Package variables of xtask itself would make dependants of them build again.
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn finish(mut cargo: Command, what: &str) -> Result<()> {
    // On a terminal cargo shows its progress; in a pipe it is heard only when it fails. Stdout
    // belongs to the guest's program alone.
    let quiet = !std::io::stderr().is_terminal();
    cargo.stdout(Stdio::null()).stderr(if quiet { Stdio::piped() } else { Stdio::inherit() });
    let output = cargo.spawn().and_then(|child| child.wait_with_output()).context("starting cargo")?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("building {what} failed");
    }
    Ok(())
}

/// Writes `archive` to the file `path`.
pub(crate) fn write_archive(archive: &cpio::Archive, path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    cpio::write(archive, &mut BufWriter::new(file)).with_context(|| format!("writing {}", path.display()))
}
