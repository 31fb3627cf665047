//! The default root: init, BusyBox with its applets, our own tools, a minimal `/etc`, and the mount points.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cpio::{Archive, Entry};

/// Directories and their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/kairos", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];

/// Text files of `/etc` and their contents.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nuser:x:1000:1000:user:/tmp:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hostname", "kairos\n"),
    ("etc/hosts", "127.0.0.1 localhost kairos\n"),
    ("etc/shells", "/bin/sh\n/bin/ash\n"),
    ("etc/profile", "export PS1='\\w \\$ '\nexport HISTFILE=/root/.ash_history\nalias ll='ls -l'\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

/// Character devices: name, mode, major, minor. A devtmpfs mounted over `/dev` hides them.
const DEVICES: &[(&str, u32, u32, u32)] = &[("dev/console", 0o600, 5, 1), ("dev/null", 0o666, 1, 3)];

/// The root that every run starts from: `init` becomes `/init`, and the `tools` go into `/bin`.
pub(crate) fn base(init: &Path, busybox: &Path, tools: &[PathBuf]) -> Result<Archive> {
    let mut archive = Archive::new();
    for &(name, mode) in DIRECTORIES {
        insert(&mut archive, name, Entry { mode: libc::S_IFDIR | mode, ..Entry::default() });
    }
    for &(name, text) in FILES {
        insert(&mut archive, name, regular(0o644, text.as_bytes().to_vec()));
    }
    for &(name, mode, major, minor) in DEVICES {
        insert(
            &mut archive,
            name,
            Entry { mode: libc::S_IFCHR | mode, device: (major, minor), ..Entry::default() },
        );
    }
    insert(&mut archive, "init", executable(init)?);
    insert(&mut archive, "bin/busybox", executable(busybox)?);
    for tool in tools {
        let name = tool.file_name().unwrap_or_default().to_string_lossy();
        insert(&mut archive, &format!("bin/{name}"), executable(tool)?);
    }
    for applet in applets(busybox)? {
        if !archive.contains_key(applet.as_bytes()) {
            let target = b"/bin/busybox".to_vec();
            insert(
                &mut archive,
                &applet,
                Entry { mode: libc::S_IFLNK | 0o777, data: target, ..Entry::default() },
            );
        }
    }
    Ok(archive)
}

/// The paths, without a leading slash, under which BusyBox wants to be linked.
fn applets(busybox: &Path) -> Result<Vec<String>> {
    let output =
        Command::new(busybox).arg("--list-full").output().context("asking busybox for its applets")?;
    if !output.status.success() {
        bail!("{} --list-full failed", busybox.display());
    }
    let known = |path: &&str| {
        DIRECTORIES.iter().any(|(dir, _)| path.rsplit_once('/').is_some_and(|(p, _)| p == *dir))
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(known).map(str::to_owned).collect())
}

/// Adds the job that init shall run: argument strings, each ended by a NUL.
pub(crate) fn add_job(archive: &mut Archive, program: &[OsString]) {
    insert(archive, "etc/kairos/job", regular(0o644, terminated(program.iter().map(|word| word.as_bytes()))));
}

/// Adds the environment of the job: `NAME=value` strings, each ended by a NUL.
pub(crate) fn add_environment(archive: &mut Archive, variables: &[String]) {
    insert(
        archive,
        "etc/kairos/environ",
        regular(0o644, terminated(variables.iter().map(|word| word.as_bytes()))),
    );
}

/// Gives all files the same time, so that archives of the same contents are the same.
pub(crate) fn set_times(archive: &mut Archive, seconds: u32) {
    archive.values_mut().for_each(|entry| entry.mtime = seconds);
}

/// Appends to the initramfs `image` an archive of the one file `name`.
pub(crate) fn append_file(image: &Path, name: &str, data: Vec<u8>) -> Result<()> {
    let mut archive = Archive::new();
    insert(&mut archive, name, regular(0o644, data));
    let file = std::fs::File::options().append(true).open(image);
    let mut file = file.with_context(|| format!("opening {}", image.display()))?;
    super::cpio::write(&archive, &mut file).with_context(|| format!("writing {}", image.display()))
}

fn terminated<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    words.flat_map(|word| word.iter().copied().chain([0])).collect()
}

fn insert(archive: &mut Archive, name: &str, entry: Entry) {
    archive.insert(name.as_bytes().to_vec(), entry);
}

fn regular(mode: u32, data: Vec<u8>) -> Entry {
    Entry { mode: libc::S_IFREG | mode, data, ..Entry::default() }
}

fn executable(path: &Path) -> Result<Entry> {
    Ok(regular(0o755, std::fs::read(path).with_context(|| format!("reading {}", path.display()))?))
}
