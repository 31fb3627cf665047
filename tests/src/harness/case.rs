//! What a case is and where it may run.

/// One case: a function that panics when it fails, and where it may run.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    module: &'static str,
    function: &'static str,
    pub(crate) body: fn(),
    pub(super) needs_root: bool,
    pub(super) owned_guest_only: bool,
    pub(super) kairos_only: bool,
    pub(super) since: (u32, u32),
    pub(super) deadlines: u64,
    pub(super) is_long: bool,
    pub(super) may_change: &'static [&'static str],
}

/// `case!(function)`: a case named after its module and function.
macro_rules! case {
    ($function:ident) => {
        $crate::harness::Case::new(module_path!(), stringify!($function), $function)
    };
}
pub(crate) use case;

#[allow(dead_code, reason = "a mark that no case needs at the moment is still part of the vocabulary")]
impl Case {
    pub(crate) const fn new(module: &'static str, function: &'static str, body: fn()) -> Case {
        Case {
            module,
            function,
            body,
            needs_root: false,
            owned_guest_only: false,
            kairos_only: false,
            since: (0, 0),
            deadlines: 1,
            is_long: false,
            may_change: &[],
        }
    }

    /// Needs user id 0.
    pub(crate) const fn root(mut self) -> Case {
        self.needs_root = true;
        self
    }

    /// Touches state of the whole machine or strains it: runs only in a guest made for tests.
    pub(crate) const fn vm(mut self) -> Case {
        self.owned_guest_only = true;
        self
    }

    /// Is about something that only Kairos has.
    pub(crate) const fn kairos(mut self) -> Case {
        self.kairos_only = true;
        self
    }

    /// Needs this version of Linux, as `uname` tells it.
    pub(crate) const fn since(mut self, major: u32, minor: u32) -> Case {
        self.since = (major, minor);
        self
    }

    /// Gets so many times the usual deadline, for each unit of `--scale`.
    pub(crate) const fn deadlines(mut self, count: u64) -> Case {
        self.deadlines = count;
        self
    }

    /// Takes more than half a second of a guest's time even with few rounds: has no part in a short form.
    pub(crate) const fn long(mut self) -> Case {
        self.is_long = true;
        self
    }

    /// Census lines that may differ after this case.
    pub(crate) const fn may_change(mut self, names: &'static [&'static str]) -> Case {
        self.may_change = names;
        self
    }

    /// The module below the folder of cases.
    pub(super) fn subject(&self) -> &'static str {
        self.module.split_once("::cases::").map_or(self.module, |(_, rest)| rest)
    }

    /// `module::function` below the folder of cases.
    pub(crate) fn name(&self) -> String {
        format!("{}::{}", self.subject(), self.function)
    }

    /// The marks as `--list` shows them.
    pub(super) fn marks(&self) -> String {
        let mut marks = Vec::new();
        for (present, mark) in
            [(self.needs_root, "root"), (self.owned_guest_only, "vm"), (self.kairos_only, "kairos")]
        {
            marks.extend(present.then(|| mark.to_owned()));
        }
        let (major, minor) = self.since;
        marks.extend((major > 0).then(|| format!("linux {major}.{minor}")));
        if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) }
    }
}
