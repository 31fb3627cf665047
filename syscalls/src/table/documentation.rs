//! The table of `docs/compatibility.md`, which is made from the declarations.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use base::Errno;

use crate::declare::{Entry, Syscall};
use crate::families;

const BEGIN: &str =
    "<!-- The table is made from the declarations: KAIROS_WRITE_DOCS=1 cargo test -p syscalls -->\n";
const END: &str = "<!-- end of the table -->\n";

fn row(syscall: &Syscall) -> String {
    let arguments: Vec<_> = syscall.arguments.iter().map(|argument| argument.name).collect();
    let interrupted = match (&syscall.entry, syscall.interrupted) {
        (Entry::Sync(_), _) => "never waits",
        (_, Errno::ERESTARTSYS) => "restarts under SA_RESTART",
        (_, Errno::ERESTARTNOHAND) => "EINTR after a handler",
        _ => "",
    };
    format!("| {} | {}({}) | {interrupted} |\n", syscall.number, syscall.name, arguments.join(", "))
}

fn table() -> String {
    let mut calls: Vec<_> = families::ALL.iter().copied().flatten().collect();
    calls.sort_by_key(|syscall| syscall.number);
    let mut table = String::from("| number | call | when a signal interrupts it |\n|---|---|---|\n");
    for syscall in calls {
        table.write_str(&row(syscall)).expect("a string takes all");
    }
    table
}

#[test]
fn the_compatibility_table_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(&path).expect("docs/compatibility.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("the table has a beginning");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let current = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if env::var_os("KAIROS_WRITE_DOCS").is_some() {
        fs::write(&path, current).expect("docs/compatibility.md can be written");
    } else {
        assert!(
            text == current,
            "a call has changed: KAIROS_WRITE_DOCS=1 cargo test -p syscalls brings the table up"
        );
    }
}
