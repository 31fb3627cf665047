//! The flags of [`EventKind::IpcChannel`](super::EventKind::IpcChannel), version 1.
//!
//! | bits | what |
//! |---|---|
//! | 7..0 | [`Op`] |
//! | 11..8 | [`Wake`] |
//! | 15..12 | [`State`] of the end itself |
//! | 19..16 | [`State`] of the other end |
//! | 31..28 | version |

/// The version that these flags say.
pub const VERSION: u32 = 1;

macro_rules! field {
    ($(#[$doc:meta])* $field:ident { $($(#[$item:meta])* $variant:ident = $number:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $field {
            $($(#[$item])* $variant = $number,)*
        }

        impl $field {
            /// The name of a number in text files; `unknown` for one that has no meaning.
            #[must_use]
            pub const fn name_of(number: u32) -> &'static str {
                match number {
                    $($number => $name,)*
                    _ => "unknown",
                }
            }
        }
    };
}
pub(super) use field;

field! {
    /// What happened to an end.
    Op {
        /// A send was refused because an end is closed.
        SendEpipe = 1, "send_epipe";
        /// A receive found the end of the stream.
        RecvEof = 2, "recv_eof";
        /// The end was closed.
        CloseLocal = 3, "close_local";
        /// The other end was closed.
        ClosePeer = 4, "close_peer";
    }
}

field! {
    /// What those who waited at the end were woken with.
    Wake {
        /// Nobody was woken.
        None = 0, "none";
        /// There is data.
        Data = 1, "data";
        /// A hang-up.
        Hup = 2, "hup";
        /// The end is closed.
        Close = 3, "close";
        /// A signal.
        Signal = 4, "signal";
        /// A deadline.
        Timeout = 5, "timeout";
    }
}

field! {
    /// The state of an end.
    State {
        /// Not known.
        Unknown = 0, "unknown";
        /// It is open.
        Open = 1, "open";
        /// It is being closed.
        Closing = 2, "closing";
        /// It is closed.
        Closed = 3, "closed";
    }
}

impl State {
    /// The state of an end of which is only known whether it is open.
    #[must_use]
    pub const fn of(is_open: bool) -> State {
        if is_open { State::Open } else { State::Closed }
    }
}

/// The flags, packed.
#[must_use]
pub const fn flags(op: Op, wake: Wake, own: State, peer: State) -> u32 {
    op as u32 | (wake as u32) << 8 | (own as u32) << 12 | (peer as u32) << 16 | VERSION << 28
}

/// The fields of packed flags, as numbers. Flags of another version give their op alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The version.
    pub version: u32,
    /// Number of the [`Op`].
    pub op: u32,
    /// Number of the [`Wake`].
    pub wake: u32,
    /// Number of the [`State`] of the end itself.
    pub own: u32,
    /// Number of the [`State`] of the other end.
    pub peer: u32,
}

impl Fields {
    /// Unpacks flags.
    #[must_use]
    pub const fn of(flags: u32) -> Fields {
        let (version, op) = (flags >> 28, flags & 0xff);
        if version != VERSION {
            return Fields { version, op, wake: 0, own: 0, peer: 0 };
        }
        Fields { version, op, wake: flags >> 8 & 0xf, own: flags >> 12 & 0xf, peer: flags >> 16 & 0xf }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_published_one() {
        let closed = flags(Op::CloseLocal, Wake::Close, State::Closed, State::Open);
        assert_eq!(closed, 0x1001_3303);
        assert_eq!(Fields::of(closed), Fields { version: 1, op: 3, wake: 3, own: 3, peer: 1 });
        assert_eq!(Fields::of(0x2001_3303), Fields { version: 2, op: 3, wake: 0, own: 0, peer: 0 });
        assert_eq!((Op::name_of(4), Op::name_of(9)), ("close_peer", "unknown"));
    }
}
