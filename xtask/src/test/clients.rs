//! Crates that programs wait with, by the tests that they publish themselves: static executables that run on this
//! machine's Linux and in Kairos. What each case says on Linux it must say in Kairos, unless `tests/clients.txt` has
//! the reason why not.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::host::{TestProgram, build_test_programs};
use super::libtest::{self, Line};
use super::process::{self, tail};
use super::programs;
use super::tally::{Tally, Verdict};
use crate::{build, paths};

const STEP: &str = "clients";

/// A crate with tests in its package.
struct Client {
    name: &'static str,
    version: &'static str,
    /// What of it is built, as arguments of `cargo test`.
    selection: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    // Its package has unit tests alone.
    Client { name: "mio", version: "1.2.4", selection: &["--all-features", "--lib"] },
    Client { name: "nix", version: "0.30.1", selection: &["--all-features"] },
    Client { name: "polling", version: "3.11.0", selection: &[] },
    Client { name: "signal-hook", version: "0.3.18", selection: &["--all-features"] },
    Client {
        name: "tokio",
        version: "1.54.1",
        selection: &[
            "--features",
            "full,test-util",
            "--test",
            "io_async_fd",
            "--test",
            "net_unix_pipe",
            "--test",
            "process_*",
            "--test",
            "signal_*",
            "--test",
            "time_*",
            "--test",
            "uds_*",
        ],
    },
];

/// One program may take so long, in a guest as well.
const PROGRAM_LIMIT: Duration = Duration::from_secs(120);
const GUEST_LIMIT_SECONDS: &str = "1500";
/// How the reason begins of a case that depends on how busy the machine is.
const AT_TIMES: &str = "at times: ";
/// Before the name of each program in what the guest prints.
const HEAD: &str = "=== ";

/// What each case said: `ok`, `FAILED` or `ignored`; nothing when the program ended before.
type Results = BTreeMap<String, String>;

/// Builds and runs them all.
pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    let overlay = paths::kairos().join("overlays/clients");
    let folder = overlay.join("clients");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let sources = fetch()?;
    let mut linux = Results::new();
    for (client, source) in CLIENTS.iter().zip(&sources) {
        match build_client(client, source)? {
            Err(verdict) => tally.record_always(STEP, client.name, verdict),
            Ok(programs) => {
                for program in programs {
                    let name = program.name().replace('/', ".");
                    fs::copy(program.executable(), folder.join(&name)).with_context(|| name.clone())?;
                    on_linux(&folder.join(&name), &name, &mut linux)?;
                }
            }
        }
    }
    let kairos = in_kairos(options, &overlay)?;
    let reasons = reasons()?;
    for (case, there) in &linux {
        let verdict = judge(there, kairos.get(case).map_or("nothing", String::as_str), reasons.get(case));
        tally.record(STEP, case, verdict);
    }
    if std::env::var_os("KAIROS_WRITE_DOCS").is_some() {
        write_results(&linux, &kairos, &reasons)?;
    }
    Ok(())
}

/// What is to be said of a case, with the reason for which it may differ.
fn judge(linux: &str, kairos: &str, reason: Option<&String>) -> Verdict {
    match reason {
        _ if linux == "ignored" => Verdict::Skipped("ignored by its crate".to_owned()),
        _ if linux != "ok" && linux == kairos => Verdict::Skipped("fails on Linux as well".to_owned()),
        None if linux == kairos || linux != "ok" => Verdict::Passed,
        Some(reason) if linux != kairos => Verdict::Skipped(reason.clone()),
        Some(reason) if reason.starts_with(AT_TIMES) => Verdict::Passed,
        Some(_) => Verdict::Failed("is in tests/clients.txt, and passes".to_owned()),
        None => Verdict::Failed(format!("{linux} on Linux, {kairos} in Kairos")),
    }
}

/// The packages, each copied to a folder where it is a workspace of its own.
fn fetch() -> Result<Vec<PathBuf>> {
    let root = paths::kairos().join("clients");
    let fetching = root.join("fetch");
    fs::create_dir_all(fetching.join("src"))?;
    fs::write(fetching.join("src/lib.rs"), "")?;
    let mut manifest =
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\n[workspace]\n[dependencies]\n".to_owned();
    for Client { name, version, .. } in CLIENTS {
        writeln!(manifest, "{name} = \"={version}\"")?;
    }
    fs::write(fetching.join("Cargo.toml"), manifest)?;
    let mut cargo = build::cargo();
    cargo.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(fetching.join("Cargo.toml"));
    let output = cargo.output().context("starting cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let folder_of = |client: &Client| -> Result<PathBuf> {
        let package = packages.iter().find(|package| package["name"] == client.name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let from = Path::new(manifest.context("no such package")?).parent().context("no folder")?;
        let to = root.join(client.name);
        let _ = fs::remove_dir_all(&to);
        copy_folder(from, &to)?;
        let manifest = fs::read_to_string(to.join("Cargo.toml"))?;
        fs::write(to.join("Cargo.toml"), manifest + "\n[workspace]\n")?;
        Ok(to)
    };
    CLIENTS.iter().map(|client| folder_of(client).context(client.name)).collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn build_client(client: &Client, source: &Path) -> Result<Result<Vec<TestProgram>, Verdict>> {
    let mut cargo = build::cargo();
    cargo
        .current_dir(source)
        .args(["test", "--target", "x86_64-unknown-linux-gnu", "--target-dir"])
        .arg(paths::target().join("clients"))
        .args(client.selection)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0");
    build_test_programs(cargo)
}

fn on_linux(program: &Path, name: &str, results: &mut Results) -> Result<()> {
    // As in Kairos it does not lead its session: the first terminal that a leader opens is its own, and takes it along.
    let mut command = Command::new("timeout");
    command.arg(PROGRAM_LIMIT.as_secs().to_string()).arg(program).arg("--test-threads=1");
    command.current_dir(std::env::temp_dir());
    let captured = process::capture(&mut command, b"", PROGRAM_LIMIT * 2)?;
    read(name, &String::from_utf8_lossy(&captured.stdout), results);
    Ok(())
}

fn in_kairos(options: &TestOptions, overlay: &Path) -> Result<Results> {
    // BusyBox under the names of a shell is not what the cases expect of one.
    programs::install(overlay, "dash", Path::new("bin/sh"))?;
    let script = format!(
        "cd /tmp; for p in /clients/*; do echo \"{HEAD}${{p##*/}}\"; timeout {} $p --test-threads=1 2>/dev/null; echo; done\n",
        PROGRAM_LIMIT.as_secs()
    );
    fs::write(overlay.join("clients.sh"), script)?;
    let mut command = kairos_run(options)?;
    command.args(["--smp", "2", "--mem", "1G", "--timeout", GUEST_LIMIT_SECONDS, "--overlay"]).arg(overlay);
    command.args(["--", "sh", "/clients.sh"]);
    let limit = Duration::from_secs(GUEST_LIMIT_SECONDS.parse::<u64>()? + 60);
    let captured = process::capture(&mut command, b"", limit)?;
    let text = String::from_utf8_lossy(&captured.stdout).into_owned();
    let mut results = Results::new();
    for part in text.split(HEAD).skip(1) {
        let (name, output) = part.split_once('\n').context("a program without output")?;
        read(name.trim_end(), output, &mut results);
    }
    ensure!(!results.is_empty(), "nothing ran\n{}", tail(&captured.finished.stderr, 40));
    Ok(results)
}

/// Reads what a program said. Other output may come between the name of a case and its verdict.
fn read(program: &str, output: &str, results: &mut Results) {
    let mut open: Option<String> = None;
    for line in output.lines().map(str::trim_end) {
        match libtest::read(line) {
            Line::Case(case, verdict) => {
                let word = match verdict {
                    Verdict::Passed => "ok",
                    Verdict::Skipped(_) => "ignored",
                    Verdict::Failed(_) => "FAILED",
                };
                results.insert(format!("{program}::{case}"), word.to_owned());
                open = None;
            }
            Line::Open(case) => {
                let case = format!("{program}::{case}");
                results.insert(case.clone(), "nothing".to_owned());
                open = Some(case);
            }
            Line::Other => {
                let word = ["ok", "FAILED"].into_iter().find(|word| line.ends_with(word));
                if let Some((case, word)) = word.and_then(|word| Some((open.take()?, word))) {
                    results.insert(case, word.to_owned());
                }
            }
        }
    }
}

/// The cases that differ, each with its reason. A name that ends in `*` stands for all that begin so.
struct Reasons(Vec<(String, String)>);

impl Reasons {
    fn get(&self, case: &str) -> Option<&String> {
        let fits = |name: &str| name.strip_suffix('*').map_or(name == case, |start| case.starts_with(start));
        self.0.iter().find(|(name, _)| fits(name)).map(|(_, reason)| reason)
    }
}

fn reasons() -> Result<Reasons> {
    let path = paths::workspace().join("tests/clients.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let entry = |line: &str| -> Result<(String, String)> {
        let (name, reason) = line.split_once(' ').with_context(|| format!("no reason: {line}"))?;
        Ok((name.to_owned(), reason.trim().to_owned()))
    };
    lines.map(entry).collect::<Result<_>>().map(Reasons)
}

/// Marks in `docs/compatibility.md` between which the totals stand.
const TOTALS: [&str; 2] = ["<!-- clients: begin -->\n", "<!-- clients: end -->\n"];

/// Writes `docs/clients.md`, with what every case says on Linux and in Kairos, and the totals in
/// `docs/compatibility.md`.
fn write_results(linux: &Results, kairos: &Results, reasons: &Reasons) -> Result<()> {
    let mut text =
        "# Tests of other crates, case by case\n\nWritten by `KAIROS_WRITE_DOCS=1 cargo xtask test clients:`: what each \
                    case says on the developer's Linux, and in Kairos.\n\n| case | Linux | Kairos | why |\n\
                    |---|---|---|---|\n"
            .to_owned();
    for (case, there) in linux {
        let here = kairos.get(case).map_or("nothing", String::as_str);
        let reason = reasons.get(case).filter(|_| here != there).map_or("", String::as_str);
        writeln!(text, "| {case} | {there} | {here} | {reason} |")?;
    }
    fs::write(paths::workspace().join("docs/clients.md"), text).context("docs/clients.md")?;
    let path = paths::workspace().join("docs/compatibility.md");
    let text = fs::read_to_string(&path).context("docs/compatibility.md")?;
    let (before, rest) = text.split_once(TOTALS[0]).context("no place for the totals")?;
    let (_, after) = rest.split_once(TOTALS[1]).context("no end of the totals")?;
    let totals = totals(linux, kairos, reasons)?;
    fs::write(path, [before, TOTALS[0], &totals, TOTALS[1], after].concat()).context("docs/compatibility.md")
}

/// How many cases of each crate there are and what came of them, and for each reason the cases that differ for it.
fn totals(linux: &Results, kairos: &Results, reasons: &Reasons) -> Result<String> {
    let mut text =
        "| crate | cases | ignored by it | pass on Linux | pass in Kairos |\n|---|---|---|---|---|\n"
            .to_owned();
    for Client { name, version, .. } in CLIENTS {
        let of_crate = |case: &str| case.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ':']));
        let count = |results: &Results, word: &str| {
            let fits = |case: &str, said: &str| {
                // What Linux did not come to is nothing to compare with.
                of_crate(case) && linux.contains_key(case) && (word.is_empty() || said == word)
            };
            results.iter().filter(|(case, said)| fits(case, said)).count()
        };
        let (all, ignored) = (count(linux, ""), count(linux, "ignored"));
        let (there, here) = (count(linux, "ok"), count(kairos, "ok"));
        writeln!(text, "| {name} {version} | {all} | {ignored} | {there} | {here} |")?;
    }
    let mut differing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (case, there) in linux {
        let here = kairos.get(case).map_or("nothing", String::as_str);
        if there == "ok" && here != there {
            let reason = reasons.get(case).map_or("(no reason yet)", String::as_str);
            differing.entry(reason).or_default().push(case);
        }
    }
    writeln!(text, "\n| what is left out | cases that fail for it in Kairos alone |\n|---|---|")?;
    for (reason, cases) in differing {
        writeln!(text, "| {reason} | {} |", cases.join(", "))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_behind_other_output_are_read() {
        let mut results = Results::new();
        read(
            "p",
            "test a ... ok\ntest b ... noise\nmore noise ok\ntest c ...\nFAILED\ntest d ... ",
            &mut results,
        );
        let found: Vec<_> = results.iter().map(|(case, word)| (case.as_str(), word.as_str())).collect();
        assert_eq!(found, [("p::a", "ok"), ("p::b", "ok"), ("p::c", "FAILED"), ("p::d", "nothing")]);
    }

    #[test]
    fn totals_are_those_of_each_crate() {
        let results = |words: &[(&str, &str)]| -> Results {
            words.iter().map(|(case, word)| ((*case).to_owned(), (*word).to_owned())).collect()
        };
        let linux = results(&[("mio::a", "ok"), ("mio::b", "ignored"), ("nix.test::c", "ok")]);
        let kairos = results(&[("mio::a", "ok"), ("mio::b", "ignored"), ("nix.test::c", "FAILED")]);
        let reasons = Reasons(vec![("nix.test::c".to_owned(), "no network".to_owned())]);
        let text = totals(&linux, &kairos, &reasons).unwrap();
        assert!(text.contains("| mio 1.2.4 | 2 | 1 | 1 | 1 |\n| nix 0.30.1 | 1 | 0 | 1 | 0 |"), "{text}");
        assert!(text.ends_with("| no network | nix.test::c |\n"), "{text}");
    }

    #[test]
    fn a_case_that_is_listed_must_differ() {
        let reason = "no network".to_owned();
        assert_eq!(judge("ok", "ok", None), Verdict::Passed);
        assert_eq!(judge("ok", "FAILED", Some(&reason)), Verdict::Skipped(reason.clone()));
        assert!(matches!(judge("ok", "ok", Some(&reason)), Verdict::Failed(_)));
        assert_eq!(judge("ok", "ok", Some(&"at times: late".to_owned())), Verdict::Passed);
        assert!(matches!(judge("ok", "FAILED", None), Verdict::Failed(_)));
        assert!(matches!(judge("FAILED", "FAILED", None), Verdict::Skipped(_)));
    }
}
