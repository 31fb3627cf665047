//! `planted`: programs with a bug each and their fixed twins; see `tests/planted`.

fn main() {
    std::process::exit(tests::planted::run(&std::env::args_os().skip(1).collect::<Vec<_>>()))
}
