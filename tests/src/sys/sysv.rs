//! System V objects. Each is removed when its value is dropped, so that nothing is left on the host.

use super::{Sys, zeroed};
use libc::{IPC_CREAT, IPC_PRIVATE, IPC_RMID, IPC_SET, IPC_STAT};

/// A kind of object: the calls that make, read and remove one.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $status:ty, $control:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            pub(crate) id: i32,
        }

        impl $name {
            pub(crate) fn status(&self) -> Sys<$status> {
                let mut status: $status = zeroed();
                $control(self.id, IPC_STAT, &mut status).map(|_| status)
            }

            pub(crate) fn set(&self, status: &$status) -> Sys<()> {
                $control(self.id, IPC_SET, status).map(drop)
            }

            pub(crate) fn remove(&self) -> Sys<()> {
                $control(self.id, IPC_RMID, 0usize).map(drop)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                let _ = self.remove();
            }
        }
    };
}

object! {
    /// A set of semaphores.
    SemaphoreSet, libc::semid_ds, control_set
}
object! {
    /// A shared memory segment.
    Segment, libc::shmid_ds, shmctl
}
object! {
    /// A message queue.
    Queue, libc::msqid_ds, msgctl
}

fn control_set(id: i32, command: i32, argument: impl super::raw::Argument) -> Sys<usize> {
    semctl(id, 0, command, argument)
}

pub(crate) fn semctl(id: i32, index: i32, command: i32, argument: impl super::raw::Argument) -> Sys<usize> {
    syscall!(SYS_semctl, id, index, command, argument)
}

pub(crate) fn shmctl(id: i32, command: i32, argument: impl super::raw::Argument) -> Sys<usize> {
    syscall!(SYS_shmctl, id, command, argument)
}

pub(crate) fn msgctl(id: i32, command: i32, argument: impl super::raw::Argument) -> Sys<usize> {
    syscall!(SYS_msgctl, id, command, argument)
}

/// One operation of `semop`: semaphore, change, flags.
pub(crate) fn sembuf(index: u16, change: i16, flags: i32) -> libc::sembuf {
    libc::sembuf { sem_num: index, sem_op: change, sem_flg: flags as i16 }
}

impl SemaphoreSet {
    /// A private set with these values.
    pub(crate) fn new(values: &[u16]) -> SemaphoreSet {
        let id = syscall!(SYS_semget, IPC_PRIVATE, values.len(), IPC_CREAT | 0o600).expect("semget");
        let set = SemaphoreSet { id: id as i32 };
        semctl(set.id, 0, libc::SETALL, values.as_ptr()).expect("SETALL");
        set
    }

    pub(crate) fn operate(&self, operations: &[libc::sembuf]) -> Sys<()> {
        syscall!(SYS_semop, self.id, operations.as_ptr(), operations.len()).map(drop)
    }

    pub(crate) fn operate_within(&self, operations: &[libc::sembuf], timeout: &libc::timespec) -> Sys<()> {
        syscall!(SYS_semtimedop, self.id, operations.as_ptr(), operations.len(), timeout).map(drop)
    }

    /// Adds to one semaphore.
    pub(crate) fn add(&self, index: u16, change: i16) -> Sys<()> {
        self.operate(&[sembuf(index, change, 0)])
    }

    /// `GETVAL`, `GETPID`, `GETNCNT` or `GETZCNT` of one semaphore.
    pub(crate) fn ask(&self, index: i32, command: i32) -> usize {
        semctl(self.id, index, command, 0).expect("semctl")
    }

    pub(crate) fn value(&self, index: i32) -> usize {
        self.ask(index, libc::GETVAL)
    }

    pub(crate) fn values<const N: usize>(&self) -> [u16; N] {
        let mut values = [0; N];
        semctl(self.id, 0, libc::GETALL, &mut values).expect("GETALL");
        values
    }
}

impl Segment {
    /// A private segment.
    pub(crate) fn new(size: usize) -> Segment {
        let id = syscall!(SYS_shmget, IPC_PRIVATE, size, IPC_CREAT | 0o600).expect("shmget");
        Segment { id: id as i32 }
    }

    /// `shmat`.
    pub(crate) fn attach(&self, address: usize, flags: i32) -> Sys<usize> {
        syscall!(SYS_shmat, self.id, address, flags)
    }

    /// How often it is attached.
    pub(crate) fn attachments(&self) -> u64 {
        self.status().expect("IPC_STAT").shm_nattch
    }
}

pub(crate) fn shmdt(address: usize) -> Sys<()> {
    syscall!(SYS_shmdt, address).map(drop)
}

/// A message in memory: its type and text.
#[repr(C)]
pub(crate) struct Message {
    pub(crate) kind: i64,
    pub(crate) text: [u8; 8192],
}

impl Queue {
    /// A private queue.
    pub(crate) fn new() -> Queue {
        let id = syscall!(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0o600).expect("msgget");
        Queue { id: id as i32 }
    }

    pub(crate) fn send(&self, kind: i64, text: &[u8], flags: i32) -> Sys<()> {
        let mut message = Message { kind, text: [0; 8192] };
        message.text[..text.len()].copy_from_slice(text);
        syscall!(SYS_msgsnd, self.id, &message, text.len(), flags).map(drop)
    }

    /// Type and text of the message.
    pub(crate) fn receive(&self, size: usize, kind: i64, flags: i32) -> Sys<(i64, Vec<u8>)> {
        let mut message = Message { kind: 0, text: [0; 8192] };
        let length = syscall!(SYS_msgrcv, self.id, &mut message, size, kind, flags)?;
        Ok((message.kind, message.text[..length].to_vec()))
    }
}
