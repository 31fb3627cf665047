//! Two CPUs at once.
