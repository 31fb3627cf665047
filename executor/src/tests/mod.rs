//! Tests of the whole executor on the host double.

mod locks;
mod models;
mod scheduling;
mod waiting;
