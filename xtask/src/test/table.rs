//! The table in `docs/observability-tests.md`: the tests that it names exist.

use std::fs;
use std::path::Path;

use crate::paths;

/// The text of every source file below `directory`.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn every_named_test_exists() {
    let root = paths::workspace();
    let table = fs::read_to_string(root.join("docs/observability-tests.md")).unwrap();
    let mut text = String::new();
    for directory in ["base/src", "executor/src", "ipc/src", "fs/src", "tests/src", "xtask/src"] {
        sources(&root.join(directory), &mut text);
    }
    let names: Vec<&str> = table
        .split('`')
        .filter_map(|word| word.rsplit_once("::"))
        .map(|(_, name)| name)
        .filter(|name| name.starts_with(char::is_lowercase))
        .collect();
    assert!(names.len() > 50, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !text.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
