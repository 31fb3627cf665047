//! Unmodified Linux programs of four kinds: static glibc C, static-PIE Rust, static musl, and
//! Debian's dynamically linked bash and coreutils. What each prints on this machine's Linux is
//! what it must print in Kairos.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::process::{self, Captured};
use super::tally::{Tally, Verdict};
use crate::setup::{self, Need};
use crate::{build, paths};

const CPUS: [&str; 2] = ["1", "2"];

/// A program and where its files come from.
struct Program {
    name: &'static str,
    /// Puts the program and what it needs into an overlay.
    install: fn(overlay: &Path) -> Result<()>,
    /// The program's path below the overlay, and in the guest.
    path: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "glibc_static",
        install: |root| compile("gcc", root, "bin/threads-glibc"),
        path: "bin/threads-glibc",
    },
    Program {
        name: "musl_static",
        install: |root| compile("musl-gcc", root, "bin/threads-musl"),
        path: "bin/threads-musl",
    },
    Program { name: "rust_static_pie", install: rust_program, path: "bin/std-program" },
    Program { name: "debian_bash_and_coreutils", install: debian, path: "script.sh" },
];

/// What the script calls. They stand in a folder of their own, before BusyBox's in the PATH.
const DEBIAN_TOOLS: &[&str] = &[
    "cat", "chmod", "cp", "diff", "find", "head", "ln", "ls", "mkdir", "mkfifo", "mktemp", "mv", "readlink",
    "rm", "sed", "grep", "seq", "sleep", "sort", "stat", "timeout", "tr", "uname", "wc",
];
/// The script looks for its tools in Debian's own places first.
const DEBIAN_PATH: &str = "PATH=/debian/bin";

const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    let cases = |program: &Program| CPUS.map(|cpus| (format!("{}-smp{cpus}", program.name), cpus));
    let wanted = |tally: &Tally, program: &Program| {
        cases(program).iter().any(|(case, _)| tally.wants("program", case))
    };
    if !PROGRAMS.iter().any(|program| wanted(tally, program)) {
        return Ok(());
    }
    setup::ensure(&[Need::Programs])?;
    for program in PROGRAMS.iter().filter(|program| wanted(tally, program)).collect::<Vec<_>>() {
        let overlay = paths::kairos().join("overlays").join(program.name);
        fs::create_dir_all(&overlay)?;
        (program.install)(&overlay).with_context(|| format!("installing {}", program.name))?;
        let expected = process::capture(&mut Command::new(overlay.join(program.path)), b"", LIMIT)?;
        for (case, cpus) in &cases(program) {
            if !tally.wants("program", case) {
                continue;
            }
            let rounds = 1..=options.scale;
            let failure =
                rounds.map(|_| compare(program, &overlay, cpus, options, &expected)).find_map(Result::err);
            let verdict = failure.map_or(Verdict::Passed, |error| Verdict::Failed(format!("{error:#}")));
            tally.record("program", case, verdict);
        }
    }
    Ok(())
}

fn compare(
    program: &Program,
    overlay: &Path,
    cpus: &str,
    options: &TestOptions,
    expected: &Captured,
) -> Result<()> {
    let mut command = kairos_run(options)?;
    command.args(["--smp", cpus, "--timeout", "90", "--env", DEBIAN_PATH, "--overlay"]).arg(overlay);
    command.arg("--").arg(format!("/{}", program.path));
    let found = process::capture(&mut command, b"", LIMIT)?;
    let code = |captured: &Captured| captured.finished.status.and_then(|status| status.code());
    ensure!(
        code(&found) == code(expected) && found.stdout == expected.stdout,
        "{} in Kairos, {} on Linux\n{}{}",
        found.finished.describe(),
        expected.finished.describe(),
        first_difference(&expected.stdout, &found.stdout),
        process::tail(&found.finished.stderr, 40)
    );
    Ok(())
}

/// The first line in which two outputs differ, with the line before it.
fn first_difference(linux: &[u8], kairos: &[u8]) -> String {
    let (linux, kairos) = (String::from_utf8_lossy(linux), String::from_utf8_lossy(kairos));
    let (linux, kairos): (Vec<_>, Vec<_>) = (linux.lines().collect(), kairos.lines().collect());
    let same = linux.iter().zip(&kairos).take_while(|(a, b)| a == b).count();
    if same == linux.len().max(kairos.len()) {
        return String::new();
    }
    let line = |lines: &[&str]| lines.get(same).map_or("nothing".to_owned(), |line| format!("{line:?}"));
    format!("line {}: {} on Linux, {} in Kairos\n", same + 1, line(&linux), line(&kairos))
}

fn compile(compiler: &str, overlay: &Path, program: &str) -> Result<()> {
    let source = paths::workspace().join("tests/programs/threads.c");
    let output = overlay.join(program);
    fs::create_dir_all(output.parent().context("the program's folder")?)?;
    let mut command = Command::new(compiler);
    command.args(["-static", "-O2", "-pthread", "-o"]).args([&output, &source]);
    let result = command.output().with_context(|| format!("starting {compiler}"))?;
    ensure!(result.status.success(), "{compiler}: {}", String::from_utf8_lossy(&result.stderr));
    Ok(())
}

fn rust_program(overlay: &Path) -> Result<()> {
    copy(&build::guest_program("std-program"), overlay, Path::new("bin/std-program"))
}

fn debian(overlay: &Path) -> Result<()> {
    install(overlay, "bash", Path::new("bin/bash"))?;
    for tool in DEBIAN_TOOLS {
        install(overlay, tool, &Path::new("debian/bin").join(tool))?;
    }
    copy(&paths::workspace().join("tests/programs/script.sh"), overlay, Path::new("script.sh"))
}

/// Puts a program of this machine into an overlay, with the libraries that it is linked with.
pub(super) fn install(overlay: &Path, tool: &str, to: &Path) -> Result<()> {
    let program = paths::executable(tool).with_context(|| format!("{tool} is not installed"))?;
    for library in libraries_of(&program)? {
        copy(&library, overlay, library.strip_prefix("/").context("a library without an absolute path")?)?;
    }
    copy(&program, overlay, to)
}

/// The files that the dynamic loader maps for `program`, itself among them, as the loader names them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn copy(from: &Path, overlay: &Path, to: &Path) -> Result<()> {
    let to = overlay.join(to);
    fs::create_dir_all(to.parent().context("a file without a folder")?)?;
    fs::copy(from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
