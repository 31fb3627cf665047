//! The verdict on a run: what everything that is known of its end means, in a word and a reason. It stands in
//! `result.json`.
//!
//! The first row that applies counts, so that a good record cannot hide a panic:
//!
//! | what is known | status | reason |
//! |---|---|---|
//! | somebody ended it, or nobody listened any more | `infra` | `interrupted` |
//! | the kernel's log has a panic | `fail` | `panic` |
//! | nothing could happen any more | `fail` | `deadlock` |
//! | it took too long | `fail` | `timeout` |
//! | QEMU was killed by a signal from outside | `infra` | `external_signal` |
//! | there is no record that is true | `fail` | `no_result` |
//! | the program's status is not 0 | `fail` | `exit_status` |
//! | faults were asked for and none was injected | `fail` | `nothing_injected` |
//! | none of these | `pass` | `passed` |
//!
//! Only `external_signal` says nothing about the guest, so only that is worth a second try.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::{Value, json};

use crate::outcome::Outcome;

/// What the kernel writes first when it panics, whatever comes later.
const PANIC: &str = "panic: cpu ";

/// What is known of the end of a run.
pub(crate) struct Evidence<'a> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) kernel_log: &'a str,
    /// How QEMU ended; nothing when that could not be read.
    pub(crate) qemu: Option<ExitStatus>,
    /// Fault points were set.
    pub(crate) faults_asked: bool,
    /// How many faults the record says were injected.
    pub(crate) faults_fired: Option<u64>,
}

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Everything was as it should be.
    Pass,
    /// The guest, or what it was asked to do, is at fault.
    Fail,
    /// The run says nothing about the guest.
    Infra,
}

/// The word and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
}

impl Verdict {
    /// The verdict that the table above gives.
    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let (status, reason) = match evidence.outcome {
            Outcome::Interrupted => (Status::Infra, "interrupted"),
            _ if evidence.kernel_log.lines().any(|line| line.starts_with(PANIC)) => (Status::Fail, "panic"),
            Outcome::Panic(_) => (Status::Fail, "panic"),
            Outcome::Deadlock(_) => (Status::Fail, "deadlock"),
            Outcome::Timeout => (Status::Fail, "timeout"),
            Outcome::QemuFailed(_) if evidence.qemu.is_some_and(|status| status.signal().is_some()) => {
                (Status::Infra, "external_signal")
            }
            Outcome::QemuFailed(_) => (Status::Fail, "no_result"),
            Outcome::Exit(1..) => (Status::Fail, "exit_status"),
            Outcome::Exit(0) if evidence.faults_asked && evidence.faults_fired.unwrap_or(0) == 0 => {
                (Status::Fail, "nothing_injected")
            }
            Outcome::Exit(0) => (Status::Pass, "passed"),
        };
        Self { status, reason }
    }

    /// For `result.json`.
    pub(crate) fn to_json(self) -> Value {
        let status = match self.status {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Infra => "infra",
        };
        json!({ "status": status, "reason": self.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        outcome: &Outcome,
        kernel_log: &str,
        qemu: i32,
        faults: Option<Option<u64>>,
    ) -> (Status, &'static str) {
        let evidence = Evidence {
            outcome,
            kernel_log,
            qemu: Some(ExitStatus::from_raw(qemu)),
            faults_asked: faults.is_some(),
            faults_fired: faults.flatten(),
        };
        let Verdict { status, reason } = Verdict::of(&evidence);
        (status, reason)
    }

    #[test]
    fn a_panic_is_not_hidden_by_a_record_or_a_timeout() {
        let log = "boot\npanic: cpu 1: no\nkairos-result: {}\n";
        for outcome in
            [Outcome::Exit(0), Outcome::Exit(3), Outcome::Timeout, Outcome::QemuFailed(String::new())]
        {
            assert_eq!(verdict(&outcome, log, 33 << 8, None), (Status::Fail, "panic"));
        }
        // Only the kernel's own line counts, not a word in a line.
        let said = "strace: write(1, \"panic: cpu 1\")\n";
        assert_eq!(verdict(&Outcome::Exit(0), said, 33 << 8, None), (Status::Pass, "passed"));
    }

    #[test]
    fn whoever_asked_for_faults_and_got_none_has_not_passed() {
        let exit = Outcome::Exit(0);
        assert_eq!(verdict(&exit, "", 33 << 8, Some(Some(0))), (Status::Fail, "nothing_injected"));
        assert_eq!(verdict(&exit, "", 33 << 8, Some(None)), (Status::Fail, "nothing_injected"));
        assert_eq!(verdict(&exit, "", 33 << 8, Some(Some(1))), (Status::Pass, "passed"));
        assert_eq!(verdict(&exit, "", 33 << 8, None), (Status::Pass, "passed"));
        assert_eq!(verdict(&Outcome::Exit(1), "", 33 << 8, Some(Some(0))), (Status::Fail, "exit_status"));
    }

    #[test]
    fn only_a_signal_from_outside_is_worth_a_second_try() {
        let failed = Outcome::QemuFailed("no record".to_owned());
        assert_eq!(verdict(&failed, "", 9, None), (Status::Infra, "external_signal"));
        assert_eq!(verdict(&failed, "", 0, None), (Status::Fail, "no_result"));
        assert_eq!(verdict(&Outcome::Timeout, "", 9, None), (Status::Fail, "timeout"));
        assert_eq!(verdict(&Outcome::Deadlock(String::new()), "", 9, None), (Status::Fail, "deadlock"));
        assert_eq!(verdict(&Outcome::Interrupted, "", 9, None), (Status::Infra, "interrupted"));
    }
}
