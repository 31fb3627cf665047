//! The one command a person types: set up, build, run, test, debug and measure Kairos.
//!
//! `cargo xtask help` prints what it can do. Every subcommand first looks whether the
//! packages it needs are there and installs what is missing.

mod bench;
mod build;
mod chance;
mod cli;
mod console;
mod explore;
mod failure;
mod gdb;
mod identity;
mod initramfs;
mod outcome;
mod paths;
mod qemu;
mod qmp;
mod referee;
mod report;
mod run;
mod run_directory;
mod run_options;
mod setup;
mod soak;
mod symbols;
mod terminal;
mod test;
mod trace;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Arguments;

const HELP: &str = "\
usage: cargo xtask COMMAND [options]

  setup                 install what is missing (Rust target, QEMU, busybox-static)
  build [--release]     kernel ELF and default initramfs
  run [options] [-- PROGRAM ARGS...]
                        interactive shell, or PROGRAM as the only job (see run --help)
  test [FILTER] [--floor host|model|guest] [--scale N]
                        everything; the last line says how many passed and failed
  bench [--points] [GROUP...]
                        what operations cost, next to Linux or to a kernel without points
  explore [options] -- PROGRAM ARGS...
                        the program under many seeds; a line that replays each failure
  soak [--minutes M] [--seed N]
                        the guest suite for a long time, disturbed and under faults
  report [FILE] [--json] [--perfetto FILE] [--html FILE]
                        what the trace of a run with --trace says
  gdb [options] [-- PROGRAM ARGS...]
                        QEMU stopped at its first instruction, gdb attached with symbols
  help                  this text";

fn main() -> ExitCode {
    let mut arguments = Arguments::new(std::env::args_os().skip(1));
    match dispatch(&mut arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            terminal::restore();
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<cli::UsageError>() { 2 } else { 1 })
        }
    }
}

fn dispatch(arguments: &mut Arguments) -> Result<u8> {
    let Some(command) = arguments.next_word() else {
        println!("{HELP}");
        return Ok(2);
    };
    match command.as_str() {
        "setup" => {
            arguments.finish()?;
            setup::everything().map(|()| 0)
        }
        "build" => build::command(arguments).map(|()| 0),
        "run" => run::command(arguments),
        "test" => test::command(arguments),
        "bench" => bench::command(arguments),
        "explore" => explore::command(arguments),
        "soak" => soak::command(arguments),
        "report" => report::command(arguments),
        "gdb" => gdb::command(arguments),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(0)
        }
        other => Err(cli::usage(format!("unknown command {other:?}; `cargo xtask help` lists them"))),
    }
}
