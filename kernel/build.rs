//! Hands the linker script to the linker.

use std::env;

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rerun-if-changed=linker.ld");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        for argument in [&format!("-T{folder}/linker.ld"), "-zmax-page-size=4096", "--no-dynamic-linker"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
