//! How a run ended: the kernel's result record, QEMU's exit code, and what they mean together.

use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use crate::qemu;

/// Exit status of xtask after a kernel panic.
pub(crate) const PANIC: u8 = 201;
/// Exit status after a deadlock.
pub(crate) const DEADLOCK: u8 = 202;
/// Exit status after `--timeout`.
pub(crate) const TIMEOUT: u8 = 203;
/// Exit status when QEMU failed, the kernel's triple fault among it.
pub(crate) const QEMU_FAILED: u8 = 204;
/// Exit status when the person at the terminal, or a closed pipe, ended the run.
const INTERRUPTED: u8 = 130;

/// Exit status when fault points were set and none of them struck a program that succeeded.
pub(crate) const NOTHING_INJECTED: u8 = 205;
/// What starts the kernel's one line about the end of the run.
const RECORD: &str = "kairos-result: ";

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The first process exited with this status.
    Exit(u8),
    Panic(String),
    Deadlock(String),
    Timeout,
    QemuFailed(String),
    Interrupted,
}

impl Outcome {
    /// The outcome of a QEMU that ended by itself, from the kernel's log and QEMU's own end.
    ///
    /// Only the record says how the guest fared; the exit code only says whether QEMU got that far.
    pub(crate) fn judge(kernel_log: &str, qemu: ExitStatus) -> Self {
        let Some(record) = last_record(kernel_log) else {
            let reason = match qemu.code() {
                Some(0) => {
                    "QEMU reset or was switched off without a result record (a triple fault?)".to_owned()
                }
                Some(code) => format!("QEMU ended with exit code {code} and no result record"),
                None => format!("QEMU was ended by {qemu} and left no result record"),
            };
            return Self::QemuFailed(reason);
        };
        let outcome = Self::from_record(record);
        match outcome {
            // A panicking kernel may fail to leave cleanly; its word is enough.
            Self::Exit(_) if qemu.code() != Some(qemu::CLEAN_END) => {
                Self::QemuFailed(format!("result record {record}, but QEMU ended with {qemu}"))
            }
            outcome => outcome,
        }
    }

    fn from_record(record: &str) -> Self {
        let value: Value = serde_json::from_str(record).unwrap_or(Value::Null);
        let message = || value["message"].as_str().unwrap_or_default().to_owned();
        match (value["kind"].as_str(), value["status"].as_u64()) {
            (Some("exit"), Some(status)) => match u8::try_from(status) {
                Ok(status) => Self::Exit(status),
                Err(_) => Self::QemuFailed(format!("result record with an impossible status: {record}")),
            },
            (Some("panic"), _) => Self::Panic(message()),
            (Some("deadlock"), _) => Self::Deadlock(message()),
            _ => Self::QemuFailed(format!("unknown result record: {record}")),
        }
    }

    /// The word for it in `result.json`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Panic(_) => "panic",
            Self::Deadlock(_) => "deadlock",
            Self::Timeout => "timeout",
            Self::QemuFailed(_) => "qemu-failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit status that xtask hands on.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Exit(status) => *status,
            Self::Panic(_) => PANIC,
            Self::Deadlock(_) => DEADLOCK,
            Self::Timeout => TIMEOUT,
            Self::QemuFailed(_) => QEMU_FAILED,
            Self::Interrupted => INTERRUPTED,
        }
    }

    /// A sentence about it, if it needs one.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Panic(message) | Self::Deadlock(message) | Self::QemuFailed(message) => Some(message),
            Self::Exit(_) | Self::Timeout | Self::Interrupted => None,
        }
    }

    /// `result.json`. `status` and `signal` are the program's and null unless it ended by itself;
    /// `signal` follows the convention that 128+N stands for signal N.
    pub(crate) fn to_json(&self, duration: Duration, qemu: Option<ExitStatus>) -> Value {
        let status = match self {
            Self::Exit(status) => Some(*status),
            _ => None,
        };
        json!({
            "schema": "kairos_result_v1",
            "kind": self.kind(),
            "status": status,
            "signal": status.and_then(|status| status.checked_sub(128)).filter(|signal| (1..=64).contains(signal)),
            "exit_status": self.exit_status(),
            "message": self.message(),
            "seconds": duration.as_secs_f64(),
            "qemu_exit_code": qemu.and_then(|status| status.code()),
        })
    }
}

/// The text of the kernel's last record, which the rest of its log cannot forge: programs do not write there.
fn last_record(kernel_log: &str) -> Option<&str> {
    kernel_log.lines().rev().find_map(|line| line.strip_prefix(RECORD))
}

/// What the record says of fault injection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultRecord {
    /// The seed of all decisions.
    pub(crate) seed: Option<u64>,
    /// How often a point fired.
    pub(crate) fired: Option<u64>,
}

impl FaultRecord {
    /// Reads the last record of a kernel's log.
    pub(crate) fn read(kernel_log: &str) -> Self {
        let record = last_record(kernel_log).and_then(|record| serde_json::from_str::<Value>(record).ok());
        let number = |key: &str| record.as_ref()?.get(key)?.as_u64();
        Self { seed: number("fault_seed"), fired: number("faults_fired") }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn the_last_record_counts() {
        let log = "boot\nkairos-result: {\"kind\":\"exit\",\"status\":1}\nx kairos-result: {}\n\
                   kairos-result: {\"kind\":\"exit\",\"status\":137}\n";
        let outcome = Outcome::judge(log, exited(33));
        assert_eq!(outcome, Outcome::Exit(137));
        assert_eq!(outcome.to_json(Duration::ZERO, None)["signal"], 9);
    }

    #[test]
    fn a_record_says_what_was_injected() {
        let log = "kairos-result: {\"kind\":\"exit\",\"status\":0,\"fault_seed\":18446744073709551615,\"faults_fired\":3}\n";
        assert_eq!(FaultRecord::read(log), FaultRecord { seed: Some(u64::MAX), fired: Some(3) });
        assert_eq!(FaultRecord::read("kairos-result: {}\n"), FaultRecord::default());
        assert_eq!(FaultRecord::read(""), FaultRecord::default());
    }

    #[test]
    fn no_record_is_a_failure_whatever_the_exit_code() {
        for code in [0, 1, 33] {
            assert_eq!(Outcome::judge("kernel log\n", exited(code)).exit_status(), QEMU_FAILED);
        }
        assert_eq!(Outcome::judge("", ExitStatus::from_raw(9)).exit_status(), QEMU_FAILED);
    }

    #[test]
    fn a_clean_record_needs_a_clean_end_but_a_panic_does_not() {
        let exit = "kairos-result: {\"kind\":\"exit\",\"status\":0}\n";
        assert_eq!(Outcome::judge(exit, exited(0)).exit_status(), QEMU_FAILED);
        let panic = "kairos-result: {\"kind\":\"panic\",\"message\":\"at \\\"x\\\"\"}\n";
        assert_eq!(Outcome::judge(panic, exited(0)), Outcome::Panic("at \"x\"".to_owned()));
    }

    #[test]
    fn a_program_that_exits_201_is_told_from_a_panic() {
        let own = Outcome::judge("kairos-result: {\"kind\":\"exit\",\"status\":201}\n", exited(33));
        assert_eq!((own.exit_status(), own.kind()), (201, "exit"));
        let garbage = Outcome::judge("kairos-result: {\"kind\":\"exit\",\"status\":256}\n", exited(33));
        assert_eq!(garbage.kind(), "qemu-failed");
    }
}
