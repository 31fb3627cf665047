//! Names and numbers of the tree.

use super::*;

#[test]
fn files_of_different_processes_have_different_numbers() {
    assert_eq!(ino(7, 3), 7 * 1024 + 3);
    assert_ne!(ino(7, 512 + 3), ino(8, 3));
}
