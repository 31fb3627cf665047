//! From a file and its arguments to a space that is ready to run.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Limits;
use base::charge::Account;
use base::{Errno, Result};

use super::header::PROGRAM_HEADER_BYTES;
use super::program::{ExecContext, ProgramFile, read_exact};
use super::script::{MAX_DEPTH, PROBE_BYTES, parse};
use super::segments::{Headers, Placed, Role, place};
use super::stack::{StackContents, build, tag};
use super::strings::Strings;
use super::{LoadError, script};
use crate::machine::{Registers, user_machine};
use crate::mm::space::Image;
use crate::mm::{AddressSpace, PAGE, page_ceiling, placement, vdso};
use crate::user::PATH_MAX;

/// What execve(2) was asked for.
pub struct LoadRequest {
    /// The file, opened for execution.
    pub file: Arc<dyn ProgramFile>,
    /// Its path, as given; or `/dev/fd/N/...` for execveat(2) with a descriptor.
    pub filename: Vec<u8>,
    /// The path leads through a descriptor that exec will close, so that an interpreter could not open it.
    pub path_inaccessible: bool,
    /// Arguments.
    pub arguments: Strings,
    /// Environment.
    pub environment: Strings,
    /// Limits of the process.
    pub limits: Arc<Limits>,
    /// Who pays for the space's map.
    pub account: Arc<Account>,
}

/// A program that is ready to run.
pub struct Loaded {
    /// Its space.
    pub space: Arc<AddressSpace>,
    /// Its registers at the first instruction.
    pub registers: Registers,
    /// The file that was loaded in the end: of a script, the interpreter.
    pub program: Arc<dyn ProgramFile>,
    /// The path that was executed, for the thread's name.
    pub filename: Vec<u8>,
}

/// Loads a program into a new space. Dropping the future leaves nothing behind.
///
/// # Errors
///
/// `ENOEXEC` when it is neither a script nor an ELF program for this processor; `ELOOP` for interpreters of
/// interpreters; `ELIBBAD` when the dynamic linker is no ELF file; what opening an interpreter answers; `ENOENT`
/// for a script that its interpreter could not open; `ENOMEM`, `EINVAL`, `EIO`. Source: `execve(2)`.
pub async fn load(
    request: LoadRequest,
    context: &dyn ExecContext,
) -> core::result::Result<Loaded, LoadError> {
    let (file, arguments, probe) = follow_scripts(&request, context).await?;
    let headers = Headers::read(file.as_ref(), &probe).await?;
    let linker = open_linker(file.as_ref(), &headers, context).await?;

    // From here on Linux has no old program to go back to.
    let space = AddressSpace::new(request.limits.clone(), request.account.clone())?;
    let role = if linker.is_some() { Role::Linked } else { Role::Alone };
    let placed = place(&space, file.as_ref(), &headers, role).await.map_err(LoadError::fatal)?;
    let linker = match &linker {
        Some((file, headers)) => {
            Some(place(&space, file.as_ref(), headers, Role::Alone).await.map_err(LoadError::fatal)?)
        }
        None => None,
    };
    let vdso = vdso::map(&space).await.map_err(LoadError::fatal)?;
    let contents = StackContents {
        filename: &request.filename,
        arguments: &arguments,
        environment: &request.environment,
        auxiliary: auxiliary(&headers, &placed, linker.as_ref(), vdso, context, file.as_ref()),
        executable: headers.executable_stack(),
    };
    let stack = build(&space, contents).await.map_err(LoadError::fatal)?;
    place_heap(&space, &placed, linker.is_none() && placed.bias != 0);
    space.set_image(Image {
        code: placed.code.clone(),
        data: placed.data.clone(),
        stack: stack.pointer,
        arguments: stack.arguments,
        environment: stack.environment,
        vdso: vdso.unwrap_or(0),
        auxiliary: stack.auxiliary,
    });
    space.lock().program = Some(file.clone());
    let registers = Registers {
        rip: linker.map_or(placed.entry, |linker| linker.entry),
        rsp: stack.pointer,
        rflags: 0x202,
        ..Registers::default()
    };
    Ok(Loaded { space, registers, program: file, filename: request.filename })
}

/// Follows `#!` lines to a file that is no script; that file, the arguments it gets, and its first bytes.
async fn follow_scripts(
    request: &LoadRequest,
    context: &dyn ExecContext,
) -> Result<(Arc<dyn ProgramFile>, Strings, [u8; PROBE_BYTES])> {
    let mut file = request.file.clone();
    let mut path = request.filename.clone();
    let mut arguments = request.arguments.clone();
    if arguments.count() == 0 {
        // A program may count on argv[0]; Linux has given an empty one since 5.18.
        arguments.push(b"")?;
    }
    for _ in 0..=MAX_DEPTH {
        let probe = probe(file.as_ref()).await?;
        let Some(line) = parse(&probe)? else { return Ok((file, arguments, probe)) };
        if request.path_inaccessible {
            return Err(Errno::ENOENT);
        }
        let script::ScriptLine { interpreter, argument } = line;
        arguments = match argument {
            Some(argument) => arguments.with_first_replaced(&[interpreter, argument, &path])?,
            None => arguments.with_first_replaced(&[interpreter, &path])?,
        };
        file = context.open(interpreter).await?;
        path = interpreter.to_vec();
    }
    Err(Errno::ELOOP)
}

/// The first bytes of a file, with zeros behind its end.
async fn probe(file: &dyn ProgramFile) -> Result<[u8; PROBE_BYTES]> {
    let mut probe = [0; PROBE_BYTES];
    let mut done = 0;
    while done < PROBE_BYTES {
        match file.read_at(done as u64, &mut probe[done..]).await? {
            0 => break,
            count => done += count,
        }
    }
    Ok(probe)
}

/// Opens the dynamic linker that a program names, and reads its headers.
async fn open_linker(
    file: &dyn ProgramFile,
    headers: &Headers,
    context: &dyn ExecContext,
) -> Result<Option<(Arc<dyn ProgramFile>, Headers)>> {
    let Some(segment) = headers.interpreter() else { return Ok(None) };
    let length = usize::try_from(segment.file_size).unwrap_or(usize::MAX);
    if !(2..=PATH_MAX).contains(&length) {
        return Err(Errno::ENOEXEC);
    }
    let mut path = alloc::vec![0; length];
    if !read_exact(file, segment.offset, &mut path).await? {
        return Err(Errno::EIO);
    }
    if path.last() != Some(&0) {
        return Err(Errno::ENOEXEC);
    }
    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
    path.truncate(end);
    let linker = context.open(&path).await?;
    let mut start = [0; super::header::HEADER_BYTES];
    if !read_exact(linker.as_ref(), 0, &mut start).await? {
        return Err(Errno::EIO);
    }
    let headers = Headers::read(linker.as_ref(), &start).await.map_err(|error| match error {
        Errno::ENOEXEC => Errno::ELIBBAD,
        other => other,
    })?;
    Ok(Some((linker, headers)))
}

/// The auxiliary vector but for what points into the stack.
fn auxiliary(
    headers: &Headers,
    placed: &Placed,
    linker: Option<&Placed>,
    vdso: Option<u64>,
    context: &dyn ExecContext,
    file: &dyn ProgramFile,
) -> Vec<(u64, u64)> {
    let (hwcap, hwcap2) = user_machine().hwcap();
    let ids = context.identity(file);
    let mut entries = Vec::with_capacity(24);
    if let Some(vdso) = vdso {
        entries.push((tag::SYSINFO_EHDR, vdso));
    }
    entries.extend([
        (tag::MINSIGSTKSZ, MINIMAL_SIGNAL_STACK),
        (tag::HWCAP, hwcap),
        (tag::PAGESZ, PAGE),
        (tag::CLKTCK, 100),
        (tag::PHDR, placed.headers),
        (tag::PHENT, PROGRAM_HEADER_BYTES as u64),
        (tag::PHNUM, headers.file.table_count.into()),
        (tag::BASE, linker.map_or(0, |linker| linker.bias)),
        (tag::FLAGS, 0),
        (tag::ENTRY, placed.entry),
        (tag::UID, ids.uid.into()),
        (tag::EUID, ids.euid.into()),
        (tag::GID, ids.gid.into()),
        (tag::EGID, ids.egid.into()),
        (tag::SECURE, ids.secure.into()),
        (tag::HWCAP2, hwcap2),
    ]);
    entries
}

/// Bytes that a signal frame with AVX state needs at most.
const MINIMAL_SIGNAL_STACK: u64 = 2048;

/// Puts the heap behind the program, or, for a program that lies among the mappings, where it has room.
fn place_heap(space: &AddressSpace, placed: &Placed, alone: bool) {
    let behind =
        if alone { placement::program_base() } else { page_ceiling(placed.end).unwrap_or(placed.end) };
    let start = behind + placement::heap_gap();
    space.lock().heap = start..start;
}
