//! Hands the linker script to the linker, and builds the vDSO as an ELF image of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rerun-if-changed=src/arch/vdso");
    if variable("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    for argument in
        [&format!("-T{}/linker.ld", folder.display()), "-zmax-page-size=4096", "--no-dynamic-linker"]
    {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    build_vdso(&folder.join("src/arch/vdso/image"), Path::new(&variable("OUT_DIR")));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Compiles and links the image, with nothing but the compiler and the linker that it brings along.
fn build_vdso(source: &Path, out: &Path) {
    let (object, image) = (out.join("vdso.o"), out.join("vdso.so"));
    let rustc = variable("RUSTC");
    run(Command::new(&rustc)
        .args(["--edition=2024", "--crate-type=lib", "--crate-name=vdso", "--target", &variable("TARGET")])
        .args(["-Crelocation-model=pic", "-Ccode-model=small", "-Copt-level=3", "-Cpanic=abort"])
        .args(["-Coverflow-checks=off", "-Cdebuginfo=0", "-Ccodegen-units=1"])
        .arg(format!("--emit=obj={}", object.display()))
        .arg(source.join("vdso.rs")));
    run(linker(&rustc)
        .args(["-shared", "--hash-style=both", "-soname", "linux-vdso.so.1", "--no-undefined", "-s"])
        .args(["-z", "max-page-size=4096", "-z", "noexecstack", "-z", "text"])
        .arg("-T")
        .arg(source.join("vdso.ld"))
        .arg("-o")
        .args([&image, &object]));
}

/// The linker of the toolchain, or else the one on the path.
fn linker(rustc: &str) -> Command {
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let sysroot = PathBuf::from(String::from_utf8(sysroot).expect("a path").trim());
    let bundled = sysroot.join("lib/rustlib").join(variable("HOST")).join("bin/rust-lld");
    if bundled.exists() {
        let mut command = Command::new(bundled);
        command.args(["-flavor", "gnu"]);
        return command;
    }
    Command::new("ld.lld")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
