//! One way each to use a handle, to pin a file together with its rights, and to go from a handle to a descriptor
//! and back: whatever checks rights and revocation there is then checked everywhere. A second way would be a hole, so
//! the sources are searched for the calls of which one could be made.

use std::path::{Path, PathBuf};

/// Calls that only certain files may make.
struct Entry {
    subject: &'static str,
    calls: &'static [&'static str],
    allowed: &'static [&'static str],
}

const ENTRIES: &[Entry] = &[
    Entry {
        subject: "the slots of a handle table are read by the table alone",
        calls: &["slots.held(", "slots.held_mut(", "slots.state(", "slots.empty("],
        allowed: &["ipc/src/table/"],
    },
    Entry {
        subject: "a capability is derived where a handle is duplicated, a process forks or a bridge is crossed",
        calls: &["Capability::derive("],
        allowed: &["ipc/src/table/mod.rs", "ipc/src/table/sharing.rs", "fs/src/handle/convert.rs"],
    },
    Entry {
        subject: "a capability without ancestors comes with its object",
        calls: &["Capability::root("],
        allowed: &["ipc/src/channel/mod.rs", "ipc/src/port/mod.rs", "ipc/src/file.rs"],
    },
    Entry {
        subject: "a capability is in flight only out of a reservation",
        calls: &["InFlight::new"],
        allowed: &["ipc/src/table/reserve.rs"],
    },
    Entry {
        subject: "a capability is bound to a table's slot or to a descriptor's file",
        calls: &[".bind(holder"],
        allowed: &[
            "ipc/src/capability.rs",
            "ipc/src/table/mod.rs",
            "fs/src/handle/held.rs",
            "fs/src/handle/origin.rs",
        ],
    },
    Entry {
        subject: "descriptors and handles are made of each other by the one conversion",
        calls: &[
            "Origin::new(",
            "ChannelFile::new(",
            "PortFile::new(",
            "FileNode::capability(",
            "FileNode::new(",
        ],
        allowed: &["fs/src/handle/convert.rs"],
    },
    Entry {
        subject: "the one conversion is used by the calls of the bridge",
        calls: &["capability_of(", "descriptor_of("],
        allowed: &["fs/src/handle/convert.rs", "syscalls/src/families/bridge.rs"],
    },
    // A socket's descriptor is asked first whether it is one, and SCM_RIGHTS passes places on too.
    Entry {
        subject: "a descriptor's rights are asked for by the descriptor table, which pins the file in the same pass",
        calls: &[".rights.require("],
        allowed: &[
            "fs/src/file/table.rs",
            "syscalls/src/families/socket.rs",
            "syscalls/src/families/socket_control.rs",
        ],
    },
];

/// Every source file of the kernel's crates, the tests inside them left out.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        match entry.is_dir() {
            true if name != "tests" => sources(&entry, found),
            false if name.ends_with(".rs") && name != "tests.rs" => found.push(entry),
            _ => {}
        }
    }
}

/// What comes before the file's own tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let before_tests = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    before_tests.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn there_is_one_entry_each() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for part in ["ipc", "fs", "syscalls", "kernel"] {
        sources(&top.join(part).join("src"), &mut files);
    }
    let mut uses = vec![0; ENTRIES.len()];
    let mut holes = Vec::new();
    for file in &files {
        let path = file.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).unwrap();
        for (number, line) in code(&text) {
            for (entry, uses) in ENTRIES.iter().zip(&mut uses) {
                if !entry.calls.iter().any(|call| line.contains(call)) {
                    continue;
                }
                *uses += 1;
                if !entry.allowed.iter().any(|allowed| path.starts_with(allowed)) {
                    holes.push(format!("{path}:{}: {}", number + 1, entry.subject));
                }
            }
        }
    }
    assert!(holes.is_empty(), "{}", holes.join("\n"));
    for (entry, uses) in ENTRIES.iter().zip(uses) {
        assert!(uses > 0, "nothing is searched for any more: {}", entry.subject);
    }
}
