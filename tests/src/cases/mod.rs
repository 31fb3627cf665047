//! The cases, one module per subject.

use crate::harness::Case;

mod basic;

/// Every table of cases, in the order in which they run.
pub(crate) const TABLES: &[&[Case]] = &[basic::CASES];
