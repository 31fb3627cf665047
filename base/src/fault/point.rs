//! The table of fault points.

use crate::Errno;

/// What becomes of an operation whose point fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fails for want of something, with this error. These are the hits that `fail-nth` counts.
    Fails(Errno),
    /// It is interrupted, as by a signal: `EINTR`.
    Interrupted,
    /// It takes another way to the same end: it waits, looks again, does less, or does it twice.
    Detour,
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal $outcome:ident $(($error:ident))?;)*) => {
        /// A named place at which something can be made to go wrong.
        ///
        /// To add one, add a line here and `fault::check` or `fault::fires` at the place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All points, in the order of the table.
            pub const ALL: &'static [Point] = &[$(Point::$point,)*];

            /// Number of points.
            pub const COUNT: usize = Point::ALL.len();

            /// The name in settings and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }

            /// What becomes of the operation when it fires.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self {
                    $(Point::$point => Outcome::$outcome $((Errno::$error))?,)*
                }
            }
        }
    };
}

points! {
    /// Kernel memory cannot be charged to the process that needs it.
    Kmalloc = "kmalloc" Fails(ENOMEM);
}

impl Point {
    /// The point of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Point> {
        Point::ALL.iter().copied().find(|point| point.name() == name)
    }

    /// True when `fail-nth` counts it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self.outcome(), Outcome::Fails(_))
    }

    /// The error of the operation when it fires; `None` when it is none.
    #[must_use]
    pub const fn error(self) -> Option<Errno> {
        match self.outcome() {
            Outcome::Fails(error) => Some(error),
            Outcome::Interrupted => Some(Errno::EINTR),
            Outcome::Detour => None,
        }
    }
}
