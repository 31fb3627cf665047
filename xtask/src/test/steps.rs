//! The steps of the whole test, in order: a new one is a line here.

use anyhow::Result;

use super::tally::Tally;
use super::{
    TestOptions, clients, exploring, faults, guest_suite, host, model, programs, recording, runs, session,
    twice,
};
use crate::cli::usage;

/// Where a step's cases run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    /// As ordinary programs of this machine.
    Host,
    /// Under a model checker or an interpreter that sees undefined behaviour.
    Model,
    /// In QEMU, and what is compared with it.
    Guest,
}

impl Floor {
    pub(super) fn named(name: &str) -> Result<Self> {
        let all = [Self::Host, Self::Model, Self::Guest];
        let unknown = || usage(format!("--floor: {name:?} is none of host, model, guest"));
        all.into_iter().find(|floor| floor.name() == name).ok_or_else(unknown)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Model => "model",
            Self::Guest => "guest",
        }
    }
}

/// A group of cases that one tool runs.
pub(super) struct Step {
    pub(super) floor: Floor,
    /// Stands before the name of each case.
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Whether the rest of the floor makes no sense when this fails.
    pub(super) is_foundation: bool,
    /// Runs only when the filter names it: it takes long, or not all of it holds yet.
    pub(super) on_request: bool,
    pub(super) run: fn(&TestOptions, &mut Tally) -> Result<()>,
}

const fn step(
    floor: Floor,
    name: &'static str,
    what: &'static str,
    run: fn(&TestOptions, &mut Tally) -> Result<()>,
) -> Step {
    Step { floor, name, what, is_foundation: false, on_request: false, run }
}

const fn on_request(step: Step) -> Step {
    Step { on_request: true, ..step }
}

pub(super) const STEPS: &[Step] = &[
    step(Floor::Host, "lint", "format, and clippy on every crate", host::lints),
    step(Floor::Host, "unit", "unit and property tests of the host crates", host::unit_tests),
    step(Floor::Host, "doc", "examples in the documentation", host::doc_tests),
    step(Floor::Model, "loom", "interleavings of the lock-free parts", model::loom),
    step(Floor::Model, "shuttle", "schedules of whole calls", model::shuttle),
    on_request(step(Floor::Model, "miri", "undefined behaviour in the lock-free parts", model::miri)),
    Step {
        is_foundation: true,
        ..step(Floor::Guest, "build", "kernel and guest programs", guest_suite::build)
    },
    step(Floor::Guest, "linux", "the guest suite on this machine's Linux", guest_suite::on_linux),
    step(
        Floor::Guest,
        "linux-vm",
        "what strains or changes the machine, under Debian's kernel in QEMU",
        guest_suite::on_linux_in_qemu,
    ),
    step(Floor::Guest, "kairos-smp1", "the guest suite in Kairos, one CPU", |o, t| {
        guest_suite::in_kairos(o, t, 1)
    }),
    step(Floor::Guest, "kairos-smp2", "the guest suite in Kairos, two CPUs", |o, t| {
        guest_suite::in_kairos(o, t, 2)
    }),
    step(Floor::Guest, "faults", "short forms with every fault point at work", faults::together),
    on_request(step(Floor::Guest, "fault-points", "short forms with one fault point at work", faults::alone)),
    step(Floor::Guest, "fault-runs", "short runs under random faults", faults::at_random),
    step(Floor::Guest, "run", "what a run prints and how it ends", runs::all),
    step(Floor::Guest, "recording", "what --trace leaves behind, however a run ended", recording::all),
    step(Floor::Guest, "session", "a person at the shell", session::all),
    step(Floor::Guest, "program", "unmodified Linux programs", programs::all),
    on_request(step(Floor::Guest, "clients", "the tests of crates that wait", clients::all)),
    on_request(step(Floor::Guest, "twice", "one seed is one run: console, decisions, trace", twice::all)),
    on_request(step(Floor::Guest, "explore", "planted bugs are found, replayed and shrunk", exploring::all)),
];
