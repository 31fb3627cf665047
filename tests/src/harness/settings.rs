//! The kernel's settings: a case that changes one sets it back, unless a fault has kept it from doing so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where settings are.
const FOLDERS: &[&str] = &["/sys/ipc", "/sys/kernel/tracepoint", "/proc/sys"];
const READ_AND_WRITE: u32 = 0o600;

/// What the files say that can be read and written.
pub(super) struct Settings(BTreeMap<PathBuf, String>);

impl Settings {
    pub(super) fn read() -> Settings {
        let mut settings = Settings(BTreeMap::new());
        FOLDERS.iter().for_each(|folder| settings.add(Path::new(folder)));
        settings
    }

    /// Adds those below `folder`, but for what belongs to one object.
    fn add(&mut self, folder: &Path) {
        let is_number = |name: &str| name.parse::<u64>().is_ok();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && !entry.file_name().to_str().is_none_or(is_number) {
                self.add(&entry.path());
            } else if metadata.is_file() && metadata.permissions().mode() & READ_AND_WRITE == READ_AND_WRITE {
                self.0.extend(fs::read_to_string(entry.path()).map(|text| (entry.path(), text)));
            }
        }
    }

    /// Writes what was read where it has changed.
    pub(super) fn restore(&self) {
        for (file, text) in &self.0 {
            if fs::read_to_string(file).is_ok_and(|now| now != *text) {
                // What refuses its own words is no setting.
                let _ = fs::write(file, text.trim_end());
            }
        }
    }
}
