//! Which message a receiver wants. Source: `msgrcv(2)`.

/// `MSG_EXCEPT`: any type but the one that is named.
const MSG_EXCEPT: i32 = 0o20000;
/// `MSG_COPY`: the message at a place in the queue, which stays there.
pub const MSG_COPY: i32 = 0o40000;

/// A receiver's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The first one.
    Any,
    /// The first one of this type.
    Type(i64),
    /// The first one of another type.
    NotType(i64),
    /// The first one of the lowest type that is not above this.
    LowestUpTo(i64),
    /// The one that so many others are ahead of; it stays in the queue.
    Copy(i64),
}

impl Selection {
    /// What `msgtyp` and `msgflg` of msgrcv(2) say.
    #[must_use]
    pub fn new(kind: i64, flags: i32) -> Selection {
        match kind {
            _ if flags & MSG_COPY != 0 => Selection::Copy(kind),
            0 => Selection::Any,
            ..0 => Selection::LowestUpTo(kind.checked_neg().unwrap_or(i64::MAX)),
            _ if flags & MSG_EXCEPT != 0 => Selection::NotType(kind),
            _ => Selection::Type(kind),
        }
    }

    /// True when a message of type `kind` that arrives now is for this receiver.
    #[must_use]
    pub fn accepts(self, kind: i64) -> bool {
        match self {
            Selection::Any => true,
            Selection::Type(wanted) => kind == wanted,
            Selection::NotType(other) => kind != other,
            Selection::LowestUpTo(most) => kind <= most,
            Selection::Copy(_) => false,
        }
    }

    /// The place of the message to take from a queue of messages of these types.
    #[must_use]
    pub fn find(self, mut kinds: impl Iterator<Item = i64>) -> Option<usize> {
        match self {
            Selection::Copy(place) => {
                let place = usize::try_from(place).ok()?;
                kinds.nth(place).map(|_| place)
            }
            Selection::LowestUpTo(_) => {
                let fitting = kinds.enumerate().filter(|(_, kind)| self.accepts(*kind));
                fitting.min_by_key(|(_, kind)| *kind).map(|(place, _)| place)
            }
            _ => kinds.position(|kind| self.accepts(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_choose_by_type() {
        let find = |kind, flags| Selection::new(kind, flags).find([4, 2, 3, 2].into_iter());
        assert_eq!(find(0, 0), Some(0));
        assert_eq!((find(2, 0), find(4, MSG_EXCEPT), find(9, 0)), (Some(1), Some(1), None));
        assert_eq!((find(-3, 0), find(-1, 0), find(i64::MIN, 0)), (Some(1), None, Some(1)));
        assert_eq!((find(3, MSG_COPY), find(4, MSG_COPY), find(-1, MSG_COPY)), (Some(3), None, None));
    }
}
