//! `docs/capability-tests.md` names tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// What has to stand in which file for a test to exist.
fn place(floor: &str, test: &str) -> (PathBuf, String) {
    let parts: Vec<&str> = test.split("::").collect();
    let (file, wanted) = match (floor, parts.as_slice()) {
        ("guest", [module, case]) => (format!("tests/src/cases/{module}.rs"), format!("case!({case})")),
        ("selftest", [krate, module, name]) => {
            (format!("{krate}/src/selftest/{module}.rs"), format!("async fn {name}()"))
        }
        ("host", [krate, "models", name]) => {
            (format!("{krate}/src/models.rs"), format!("#[test]\nfn {name}()"))
        }
        ("host", [krate, module, name]) => {
            (format!("{krate}/src/tests/{module}.rs"), format!("#[test]\nfn {name}()"))
        }
        _ => panic!("{test} is no test of floor {floor:?}"),
    };
    (workspace().join(file), wanted)
}

/// Whether an asynchronous test is in the table of its file.
fn is_listed(text: &str, name: &str) -> bool {
    let list = text.split("selftests![").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    list.split(',').any(|listed| listed.trim() == name)
}

#[test]
fn every_test_of_the_catalogue_exists() {
    let document = fs::read_to_string(workspace().join("docs/capability-tests.md")).expect("the document");
    let mut names = Vec::new();
    for row in document.lines().filter(|line| line.starts_with('|') && line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, floor, tests] = cells[..] else { panic!("three columns: {row}") };
        names.extend((!name.is_empty()).then_some(name));
        for test in tests.split('`').map(str::trim).filter(|test| !test.is_empty()) {
            let (file, wanted) = place(floor, test);
            let text =
                fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(text.contains(&wanted), "{} has no {wanted:?}", file.display());
            let own = test.rsplit("::").next().expect("a name");
            assert!(floor != "selftest" || is_listed(&text, own), "{test} is not run");
        }
    }
    // 18 of handles, 18 of what is around them, 6 of other suites, N1 to N18.
    assert_eq!(names.len(), 60, "{names:?}");
    for number in 1..=18 {
        let start = format!("N{number} ");
        assert!(names.iter().any(|name| name.starts_with(&start)), "N{number} is missing");
    }
}
