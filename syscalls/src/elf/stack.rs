//! The initial stack: strings, pointers to them, and the auxiliary vector.
//!
//! ```text
//!   top      8 bytes of zeros
//!            path of the program, environment strings, argument strings (each list in order)
//!            "x86_64", 16 random bytes
//!            auxiliary vector, ending in AT_NULL
//!            environment pointers, NULL
//!            argument pointers, NULL
//!   rsp ->   number of arguments                                   (16-byte aligned)
//! ```
//!
//! Source: the System V ABI for AMD64, 3.4.1; `getauxval(3)`.

use alloc::vec::Vec;
use core::ops::Range;

use base::caller::Resource;
use base::machine;
use base::{Errno, Result};

use super::strings::Strings;
use crate::machine::PageFlags;
use crate::mm::region::RegionFlags;
use crate::mm::{AddressSpace, MapRequest, PAGE, page_floor, placement};

/// Entries of the auxiliary vector. Source: `getauxval(3)`.
#[allow(missing_docs, reason = "the names are those of the man page")]
pub mod tag {
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const MINSIGSTKSZ: u64 = 51;
}

const PLATFORM: &[u8] = b"x86_64\0";
/// Room below the first stack pointer that is part of the stack from the start.
const HEADROOM: u64 = 128 << 10;

/// What goes onto the stack.
pub struct StackContents<'a> {
    /// Path that was executed.
    pub filename: &'a [u8],
    /// Arguments.
    pub arguments: &'a Strings,
    /// Environment.
    pub environment: &'a Strings,
    /// The auxiliary vector but for the entries that point into the stack itself.
    pub auxiliary: Vec<(u64, u64)>,
    /// The stack may be executed.
    pub executable: bool,
}

/// Where things on the stack are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackPlaces {
    /// Stack pointer at the start.
    pub pointer: u64,
    /// The argument strings.
    pub arguments: Range<u64>,
    /// The environment strings.
    pub environment: Range<u64>,
    /// The complete auxiliary vector.
    pub auxiliary: Vec<(u64, u64)>,
}

/// Maps a stack and writes `contents` to it. Dropping the future leaves a stack half written.
///
/// # Errors
///
/// `ENOMEM` when it cannot be mapped or backed; `E2BIG` when the contents don't fit it.
pub async fn build(space: &AddressSpace, contents: StackContents<'_>) -> Result<StackPlaces> {
    let top = placement::stack_top();
    let strings_length = contents.arguments.as_bytes().len()
        + contents.environment.as_bytes().len()
        + contents.filename.len()
        + 1
        + 8;
    let strings_start = top.checked_sub(strings_length as u64).ok_or(Errno::E2BIG)?;
    let environment_start = strings_start + contents.arguments.as_bytes().len() as u64;
    let filename_start = environment_start + contents.environment.as_bytes().len() as u64;
    let jitter = if placement::is_randomized_here() { machine().entropy() % 8192 } else { 0 };
    let platform = strings_start.checked_sub(jitter + PLATFORM.len() as u64).ok_or(Errno::E2BIG)? & !15;
    let random = platform - 16;

    let mut auxiliary = contents.auxiliary;
    auxiliary.push((tag::RANDOM, random));
    auxiliary.push((tag::EXECFN, filename_start));
    auxiliary.push((tag::PLATFORM, platform));
    auxiliary.push((tag::NULL, 0));
    let words = 3 + contents.arguments.count() + contents.environment.count() + 2 * auxiliary.len();
    let pointer = random.checked_sub(words as u64 * 8).ok_or(Errno::E2BIG)? & !15;

    map(space, pointer, top, contents.executable).await?;
    let mut table = Vec::new();
    table.try_reserve(words * 8).map_err(|_| Errno::ENOMEM)?;
    put(&mut table, contents.arguments.count() as u64);
    put_pointers(&mut table, strings_start, contents.arguments);
    put_pointers(&mut table, environment_start, contents.environment);
    for (tag, value) in &auxiliary {
        put(&mut table, *tag);
        put(&mut table, *value);
    }
    let mut filename = contents.filename.to_vec();
    filename.push(0);
    let mut seed = machine().entropy().to_le_bytes().to_vec();
    seed.extend_from_slice(&machine().entropy().to_le_bytes());
    for (at, bytes) in [
        (pointer, &table[..]),
        (random, &seed),
        (platform, PLATFORM),
        (strings_start, contents.arguments.as_bytes()),
        (environment_start, contents.environment.as_bytes()),
        (filename_start, &filename),
    ] {
        crate::user::copy_out(space, at, bytes).await.map_err(|_| Errno::ENOMEM)?;
    }
    Ok(StackPlaces {
        pointer,
        arguments: strings_start..environment_start,
        environment: environment_start..filename_start,
        auxiliary,
    })
}

/// Maps the stack's first pages.
async fn map(space: &AddressSpace, pointer: u64, top: u64, executable: bool) -> Result<()> {
    let used = page_floor(pointer);
    let limit = page_floor(space.limits().soft(Resource::Stack)).max(PAGE);
    // As much headroom as the limit allows, and what is used in any case.
    let start = used.saturating_sub(HEADROOM).max(top.saturating_sub(limit)).min(used);
    let mut access = PageFlags::READ | PageFlags::WRITE;
    access.set(PageFlags::EXECUTE, executable);
    let request = MapRequest::anonymous(top - start, access).fixed(start);
    space.map(MapRequest { flags: RegionFlags::GROWS_DOWN, ..request }).await?;
    Ok(())
}

fn put(table: &mut Vec<u8>, word: u64) {
    table.extend_from_slice(&word.to_le_bytes());
}

/// Pointers to strings that lie one after the other from `start` on, and a NULL.
fn put_pointers(table: &mut Vec<u8>, start: u64, strings: &Strings) {
    let mut at = start;
    for string in strings.iter() {
        put(table, at);
        at += string.len() as u64 + 1;
    }
    put(table, 0);
}
