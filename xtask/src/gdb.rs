//! `cargo xtask gdb`: QEMU stopped before its first instruction, gdb attached with symbols.

use std::ffi::OsString;
use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cli::Arguments;
use crate::qemu;
use crate::run::Prepared;
use crate::run_options::RunOptions;
use crate::setup::{self, Need};

/// Takes the options of `run`. The guest's console goes to the run's `console.log`, since gdb
/// has the terminal.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let options = RunOptions::parse(arguments)?;
    setup::ensure(&[Need::Run, Need::Debugger])?;
    let mut prepared = Prepared::new(&options)?;
    let socket = std::env::temp_dir().join(format!("kairos-gdb-{}", std::process::id()));
    let mut chardev = OsString::from("socket,id=gdb,server=on,wait=off,path=");
    chardev.push(&socket);
    prepared.machine.extra =
        vec!["-S".into(), "-chardev".into(), chardev, "-gdb".into(), "chardev:gdb".into()];
    let console = prepared.directory.file("console.log");
    let mut command = Command::new(qemu::program()?);
    command
        .args(prepared.machine.arguments())
        .stdin(Stdio::null())
        .stdout(File::create(&console)?)
        .stderr(File::create(prepared.directory.file("qemu.log"))?);
    qemu::die_with_parent(&mut command, None);
    let mut guest = command.spawn().context("starting QEMU")?;
    while !socket.exists() && guest.try_wait()?.is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    println!(
        "the guest's console: {}\nits kernel log: {}",
        console.display(),
        prepared.machine.debug_console.display()
    );
    let status = Command::new("gdb")
        .arg("-q")
        .arg(&prepared.machine.kernel)
        .args(["-ex", "set confirm off", "-ex"])
        .arg(format!("target remote {}", socket.display()))
        .status();
    let _ = guest.kill();
    let _ = guest.wait();
    let _ = std::fs::remove_file(&socket);
    let status = status.context("starting gdb")?;
    Ok(u8::from(!status.success()))
}
