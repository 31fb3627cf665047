//! What a process does about each signal. Source: `sigaction(2)`.

use alloc::sync::Arc;

use base::sync::{LockClass, SpinLock};

use crate::signal::set::{DefaultAction, Signal, SignalSet};

bitflags::bitflags! {
    /// `sa_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ActionFlags: u64 {
        /// No `SIGCHLD` when children stop or continue.
        const NOCLDSTOP = 1;
        /// Children do not become zombies.
        const NOCLDWAIT = 2;
        /// The handler takes three arguments.
        const SIGINFO = 4;
        /// Faults tell unsupported flags apart.
        const EXPOSE_TAGBITS = 0x800;
        /// A restorer is given; x86_64 needs one.
        const RESTORER = 0x0400_0000;
        /// Run on the alternate stack.
        const ONSTACK = 0x0800_0000;
        /// Restart the interrupted call.
        const RESTART = 0x1000_0000;
        /// The signal itself stays unblocked in its handler.
        const NODEFER = 0x4000_0000;
        /// Back to the default when the handler starts.
        const RESETHAND = 0x8000_0000;
    }
}

/// `SIG_DFL` as a handler address.
pub const SIG_DFL: u64 = 0;
/// `SIG_IGN` as a handler address.
pub const SIG_IGN: u64 = 1;

/// One signal's action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Handler address, [`SIG_DFL`] or [`SIG_IGN`].
    pub handler: u64,
    /// Flags.
    pub flags: ActionFlags,
    /// Address that the handler returns to.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: SignalSet,
}

impl Action {
    /// The action that a `struct sigaction` of the program describes. Unknown flags are dropped, so that a program
    /// that reads them back sees what is supported.
    #[must_use]
    pub fn from_words([handler, flags, restorer, mask]: [u64; 4]) -> Action {
        let mask = SignalSet(mask).minus(SignalSet::UNBLOCKABLE);
        Action { handler, flags: ActionFlags::from_bits_truncate(flags), restorer, mask }
    }

    /// The `struct sigaction` of the program.
    #[must_use]
    pub fn to_words(&self) -> [u64; 4] {
        [self.handler, self.flags.bits(), self.restorer, self.mask.0]
    }

    /// True when the signal would do nothing at all.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            SIG_IGN => true,
            SIG_DFL => {
                matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue)
            }
            _ => false,
        }
    }
}

/// The actions of a process, shared under `CLONE_SIGHAND`.
pub struct Actions(SpinLock<[Action; Signal::COUNT]>);

impl Actions {
    /// All defaults.
    #[must_use]
    pub fn new() -> Arc<Actions> {
        Arc::new(Actions(SpinLock::new(LockClass::Signals, [Action::default(); Signal::COUNT])))
    }

    /// A copy for a child.
    #[must_use]
    pub fn fork(&self) -> Arc<Actions> {
        let table = *self.0.lock();
        Arc::new(Actions(SpinLock::new(LockClass::Signals, table)))
    }

    /// What exec leaves: handlers become defaults, ignored signals stay ignored.
    #[must_use]
    pub fn after_exec(&self) -> Arc<Actions> {
        let mut table = *self.0.lock();
        for action in &mut table {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
        Arc::new(Actions(SpinLock::new(LockClass::Signals, table)))
    }

    /// The action of one signal.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Action {
        self.0.lock()[signal.index()]
    }

    /// Replaces an action and returns the old one.
    pub fn set(&self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.0.lock()[signal.index()], action)
    }

    /// Replaces an action if `show`, which is given the old one, says so, and returns the old one then. The table
    /// is locked meanwhile.
    pub fn exchange(
        &self,
        signal: Signal,
        new: Action,
        show: impl FnOnce(&Action) -> bool,
    ) -> Option<Action> {
        let mut table = self.0.lock();
        let slot = &mut table[signal.index()];
        show(slot).then(|| core::mem::replace(slot, new))
    }

    /// Takes the action for a delivery, resetting it when it says `SA_RESETHAND`.
    #[must_use]
    pub fn take_for_delivery(&self, signal: Signal) -> Action {
        let mut table = self.0.lock();
        let slot = &mut table[signal.index()];
        let action = *slot;
        if action.handler > SIG_IGN && action.flags.contains(ActionFlags::RESETHAND) {
            slot.handler = SIG_DFL;
        }
        action
    }

    /// Every signal with a handler, and every ignored one: for `/proc/<pid>/status`.
    #[must_use]
    pub fn summary(&self) -> (SignalSet, SignalSet) {
        let table = self.0.lock();
        let mut sets = (SignalSet::EMPTY, SignalSet::EMPTY);
        for (action, bit) in table.iter().zip(0..) {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => sets.1.0 |= 1 << bit,
                _ => sets.0.0 |= 1 << bit,
            }
        }
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_keeps_ignored_signals_and_forgets_handlers() {
        let actions = Actions::new();
        let _ = actions.set(Signal::SIGINT, Action { handler: SIG_IGN, ..Action::default() });
        let _ = actions.set(Signal::SIGTERM, Action { handler: 0x1000, ..Action::default() });
        let after = actions.after_exec();
        assert_eq!(after.get(Signal::SIGINT).handler, SIG_IGN);
        assert_eq!(after.get(Signal::SIGTERM).handler, SIG_DFL);
    }

    #[test]
    fn a_resetting_handler_is_delivered_once() {
        let actions = Actions::new();
        let flags = ActionFlags::RESETHAND;
        let _ = actions.set(Signal::SIGUSR1, Action { handler: 0x1000, flags, ..Action::default() });
        assert_eq!(actions.take_for_delivery(Signal::SIGUSR1).handler, 0x1000);
        assert_eq!(actions.take_for_delivery(Signal::SIGUSR1).handler, SIG_DFL);
    }
}
