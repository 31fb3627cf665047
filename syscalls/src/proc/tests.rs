//! Names and numbers of the tree.

use super::*;

#[test]
fn only_canonical_numbers_are_names() {
    assert_eq!(parse_number(b"1"), Some(1));
    assert_eq!(parse_number(b"4294967295"), Some(u32::MAX));
    for name in [&b""[..], b"01", b"+1", b"1x", b"4294967296", b"self"] {
        assert_eq!(parse_number(name), None);
    }
}

#[test]
fn files_of_different_processes_have_different_numbers() {
    assert_eq!(ino(7, 3), 7 * 1024 + 3);
    assert_ne!(ino(7, 512 + 3), ino(8, 3));
}
