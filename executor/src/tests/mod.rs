//! Tests of the whole executor on the host double.

mod locks;
mod scheduling;
mod waiting;
