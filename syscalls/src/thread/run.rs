//! A thread is a task: this is its loop.
//!
//! ```text
//!            +---------------------------------------------------+
//!            v                                                   |
//!   run_user: ring 3 until it traps                              |
//!      | syscall      -> dispatch(...).await -> rax              |
//!      | page fault   -> resolve, or queue SIGSEGV / SIGBUS      |
//!      | exception    -> queue the signal                        |
//!      | interrupt    -> give way when the slice is over         |
//!      v                                                         |
//!   attention: die, stop, deliver signals -----------------------+
//! ```

/// Bytes of the `syscall` instruction, to step back over when a call restarts.
pub const SYSCALL_INSTRUCTION_BYTES: u64 = 2;
