//! Error numbers as values that print by name.

use std::fmt;

/// An error number as the kernel returned it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// What a system call returned.
pub(crate) type Sys<T> = Result<T, Errno>;

macro_rules! names {
    ($($name:ident)*) => {
        $(
            #[allow(dead_code, reason = "the set is complete for the errors the kernel may give")]
            pub(crate) const $name: Errno = Errno(libc::$name);
        )*

        impl fmt::Debug for Errno {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $(libc::$name => out.write_str(stringify!($name)),)*
                    other => write!(out, "errno {other}"),
                }
            }
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ECANCELED ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENODATA ETIME EOVERFLOW ENOTSOCK EOPNOTSUPP EAFNOSUPPORT ETIMEDOUT EOWNERDEAD EIDRM ENOMSG
    ENOTRECOVERABLE ELIBBAD ENOTCONN EISCONN ECONNREFUSED ECONNRESET EADDRINUSE EDESTADDRREQ EMSGSIZE
    EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT ENOBUFS ETOOMANYREFS
}
