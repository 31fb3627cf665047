//! `/sys/kernel/fault_inject`: a file for each fault point, the table of all of them, and the seed. `base::fault` owns
//! what they say.
//!
//! ```text
//! $ echo p=0.01,after=100 > /sys/kernel/fault_inject/kmalloc
//! $ cat /sys/kernel/fault_inject/kmalloc
//! hits=2310
//! fails=21
//! setting=p=0.010000000,after=100
//! ```

use core::fmt::{self, Write};

use base::fault::{self, Point};
use base::{Errno, Result};

use crate::pseudo::{Attributes, PseudoDir, PseudoFile, PseudoTree};

/// Adds the directory to `/sys/kernel`. Only root may write.
pub(super) fn publish(tree: &PseudoTree, kernel: &PseudoDir) {
    let directory = tree.directory(kernel, "fault_inject");
    for &point in Point::ALL {
        tree.writable(
            &directory,
            point.name(),
            move |_, text| done(show(point, text)),
            move |_, bytes| configure(point.name(), bytes),
        );
    }
    tree.file(&directory, "points", |_, text| done(table(text)));
    tree.writable(
        &directory,
        "seed",
        |_, text| done(writeln!(text, "{}", fault::seed())),
        |_, bytes| {
            fault::set_seed(word(bytes)?.parse().map_err(|_| Errno::EINVAL)?);
            Ok(())
        },
    );
    let all =
        PseudoFile::write_only(Attributes::root(tree.device(), 0o200), |_, bytes| configure("all", bytes));
    directory.add("all", all);
}

fn configure(name: &str, setting: &[u8]) -> Result<()> {
    fault::configure(&alloc::format!("{name}:{}", word(setting)?))
}

/// A full text is noticed by the frame.
fn done(_written: fmt::Result) -> Result<()> {
    Ok(())
}

fn word(bytes: &[u8]) -> Result<&str> {
    core::str::from_utf8(bytes).map(str::trim).map_err(|_| Errno::EINVAL)
}

fn show(point: Point, text: &mut dyn Write) -> fmt::Result {
    let counts = point.counts();
    writeln!(text, "hits={}\nfails={}", counts.hits, counts.fails)?;
    match point.setting() {
        Some(setting) => writeln!(text, "setting={setting}"),
        None => writeln!(text, "setting=off"),
    }
}

/// One row for each point, for programs.
fn table(text: &mut dyn Write) -> fmt::Result {
    writeln!(text, "# schema=fault_points_v1\n# name hits fails setting")?;
    for point in Point::ALL {
        let counts = point.counts();
        write!(text, "{} {} {} ", point.name(), counts.hits, counts.fails)?;
        match point.setting() {
            Some(setting) => writeln!(text, "{setting}")?,
            None => writeln!(text, "off")?,
        }
    }
    Ok(())
}
