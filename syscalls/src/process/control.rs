//! Commands that come to a process through `/proc/<pid>/control`, and what became of them.
//!
//! The audit is the process's own: a later process with the same number starts with an empty one.

use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};

use crate::signal::Signal;

/// Longest command, in bytes.
const COMMAND_MAX: usize = 63;
/// The greatest signal that a command may name.
const SIGNAL_MAX: u32 = 32;

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `SIGSTOP`.
    Stop,
    /// `SIGCONT`.
    Continue,
    /// `SIGTERM`.
    Terminate,
    /// `SIGKILL`.
    Kill,
    /// The signal that it names.
    Signal,
}

impl Action {
    /// All of them, in the order of the file.
    pub const ALL: [Action; 5] =
        [Action::Stop, Action::Continue, Action::Terminate, Action::Kill, Action::Signal];

    /// The name that the file shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Stop => "stop",
            Action::Continue => "cont",
            Action::Terminate => "term",
            Action::Kill => "kill",
            Action::Signal => "signal",
        }
    }
}

/// The command that `written` is: what to do, and the signal that does it.
///
/// # Errors
///
/// `E2BIG` when it is too long; `EINVAL` when it is none.
pub fn parse(written: &[u8]) -> Result<(Action, Signal)> {
    if written.len() > COMMAND_MAX {
        return Err(Errno::E2BIG);
    }
    let text = core::str::from_utf8(written).map_err(|_| Errno::EINVAL)?.trim_ascii();
    let numbered = |digits: &str| {
        let only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|number| only && (1..=SIGNAL_MAX).contains(number));
        let signal = number.and_then(|number| i32::try_from(number).ok()).ok_or(Errno::EINVAL)?;
        Ok((Action::Signal, Signal::new(signal)?))
    };
    match text.split_once([' ', '\t']) {
        Some(("sig" | "signal", number)) => numbered(number.trim_ascii()),
        Some(_) => Err(Errno::EINVAL),
        None => match text {
            "stop" => Ok((Action::Stop, Signal::SIGSTOP)),
            "cont" | "resume" => Ok((Action::Continue, Signal::SIGCONT)),
            "term" => Ok((Action::Terminate, Signal::SIGTERM)),
            "kill" => Ok((Action::Kill, Signal::SIGKILL)),
            number => numbered(number),
        },
    }
}

/// How often an action was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands.
    pub attempts: u64,
    /// Those whose signal was sent.
    pub sent: u64,
    /// Those that were refused.
    pub failed: u64,
}

/// Commands that were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// They were no commands.
    pub parse: u64,
    /// They were too long.
    pub too_long: u64,
    /// The writer may not signal the process.
    pub permission: u64,
    /// The process was gone.
    pub no_process: u64,
    /// Anything else.
    pub other: u64,
}

/// The last command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// What it asked for; nothing when it was no command.
    pub action: Option<Action>,
    /// The signal's number, 0 when it was no command.
    pub signal: u8,
    /// What it ended with, 0 for success.
    pub errno: i32,
    /// User id of the writer.
    pub sender_uid: u32,
    /// What became of it.
    pub result: Outcome,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// There was none yet.
    #[default]
    None,
    /// Its signal was sent.
    Queued,
    /// It was no command.
    ParseError,
    /// It was too long.
    TooLong,
    /// The writer may not signal the process.
    PermissionDenied,
    /// The process was gone.
    NoSuchProcess,
    /// Something else was wrong.
    Error,
}

impl Outcome {
    /// The name that the file shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::None => "none",
            Outcome::Queued => "queued",
            Outcome::ParseError => "parse_error",
            Outcome::TooLong => "too_long",
            Outcome::PermissionDenied => "permission_denied",
            Outcome::NoSuchProcess => "no_such_process",
            Outcome::Error => "error",
        }
    }

    const fn of(result: Result<()>) -> Outcome {
        match result {
            Ok(()) => Outcome::Queued,
            Err(Errno::EINVAL) => Outcome::ParseError,
            Err(Errno::E2BIG) => Outcome::TooLong,
            Err(Errno::EPERM) => Outcome::PermissionDenied,
            Err(Errno::ESRCH) => Outcome::NoSuchProcess,
            Err(_) => Outcome::Error,
        }
    }
}

/// The audit at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Commands, refused ones included.
    pub total: u64,
    /// The last of them.
    pub last: Last,
    /// By action, in the order of [`Action::ALL`].
    pub tallies: [Tally; Action::ALL.len()],
    /// By reason of refusal.
    pub refusals: Refusals,
}

/// The audit of one process.
pub struct Audit(SpinLock<Entries>);

impl Audit {
    /// An audit without entries.
    #[must_use]
    pub(super) fn new() -> Audit {
        Audit(SpinLock::new(LockClass::Process, Entries::default()))
    }

    /// The audit now.
    #[must_use]
    pub fn entries(&self) -> Entries {
        *self.0.lock()
    }

    /// Enters a command of `sender_uid`: `asked` is what it asked for, if that could be told.
    pub fn record(&self, sender_uid: u32, asked: Option<(Action, Signal)>, result: Result<()>) {
        let mut entries = self.0.lock();
        let Entries { total, last, tallies, refusals } = &mut *entries;
        *total += 1;
        let outcome = Outcome::of(result);
        *last = Last {
            action: asked.map(|(action, _)| action),
            signal: asked.map_or(0, |(_, signal)| signal.number()),
            errno: result.err().map_or(0, |error| error.number().into()),
            sender_uid,
            result: outcome,
        };
        if let Some(tally) = asked.and_then(|(action, _)| tallies.get_mut(action as usize)) {
            tally.attempts += 1;
            tally.sent += u64::from(result.is_ok());
            tally.failed += u64::from(result.is_err());
        }
        match outcome {
            Outcome::None | Outcome::Queued => {}
            Outcome::ParseError => refusals.parse += 1,
            Outcome::TooLong => refusals.too_long += 1,
            Outcome::PermissionDenied => refusals.permission += 1,
            Outcome::NoSuchProcess => refusals.no_process += 1,
            Outcome::Error => refusals.other += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_or_numbers() {
        let signal =
            |text: &str| parse(text.as_bytes()).map(|(action, signal)| (action.name(), signal.number()));
        assert_eq!(signal("stop\n"), Ok(("stop", 19)));
        assert_eq!(signal("  resume \n"), Ok(("cont", 18)));
        assert_eq!(signal("cont"), Ok(("cont", 18)));
        assert_eq!(signal("term"), Ok(("term", 15)));
        assert_eq!(signal("kill"), Ok(("kill", 9)));
        assert_eq!(signal("sig 10"), Ok(("signal", 10)));
        assert_eq!(signal("signal\t 12 "), Ok(("signal", 12)));
        assert_eq!(signal("32"), Ok(("signal", 32)));
        for wrong in ["", " \n", "sig 0", "33", "sig", "sig -1", "+9", "0x9", "stop now", "sig 1 2", "STOP"] {
            assert_eq!(signal(wrong), Err(Errno::EINVAL), "{wrong:?}");
        }
        assert_eq!(parse(&[b' '; 63]), Err(Errno::EINVAL));
        assert_eq!(parse(&[b'x'; 64]), Err(Errno::E2BIG));
    }

    #[test]
    fn what_is_refused_is_counted_by_its_reason() {
        let audit = Audit::new();
        let kill = parse(b"kill").unwrap();
        audit.record(0, Some(kill), Ok(()));
        audit.record(1000, Some(kill), Err(Errno::EPERM));
        audit.record(5, None, Err(Errno::E2BIG));
        let entries = audit.entries();
        assert_eq!(entries.total, 3);
        assert_eq!(entries.tallies[3], Tally { attempts: 2, sent: 1, failed: 1 });
        assert_eq!(entries.refusals, Refusals { permission: 1, too_long: 1, ..Refusals::default() });
        assert_eq!((entries.last.action, entries.last.result.name()), (None, "too_long"));
    }
}
