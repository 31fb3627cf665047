//! Loading whole programs on the double: small images made here, and broken ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::caller::Limits;
use base::charge::Account;
use base::memory::BoxFuture;
use base::{Errno, Result};
use proptest::prelude::*;

use super::{ExecContext, LoadError, LoadRequest, Loaded, ProgramFile, ProgramIdentity, Strings, load};
use crate::host::file::{BytesFile, BytesProgram};
use crate::host::{self, Memory, block_on};
use crate::mm::PAGE;

#[derive(Clone, Copy)]
struct Load {
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

/// An image of `kind` (2 fixed, 3 position-independent) with these segments, 3 pages long; each byte of the
/// file behind the headers is its page's number plus one.
fn image(kind: u8, entry: u64, loads: &[Load], interpreter: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![0; 3 * PAGE as usize];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (index as u64 / PAGE) as u8 + 1;
    }
    bytes[..1024].fill(0);
    bytes[..4].copy_from_slice(b"\x7fELF");
    bytes[16] = kind;
    bytes[18] = 62;
    bytes[24..32].copy_from_slice(&entry.to_le_bytes());
    bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
    bytes[54] = 56;
    bytes[56] = (loads.len() + usize::from(interpreter.is_some())) as u8;
    let mut at = 64;
    let mut segment = |bytes: &mut Vec<u8>, kind: u32, load: &Load| {
        bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&load.flags.to_le_bytes());
        for (field, value) in
            [(8, load.offset), (16, load.address), (32, load.file_size), (40, load.memory_size), (48, PAGE)]
        {
            bytes[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
        }
        at += 56;
    };
    for load in loads {
        segment(&mut bytes, 1, load);
    }
    if let Some(path) = interpreter {
        let length = path.len() as u64;
        segment(
            &mut bytes,
            3,
            &Load { flags: 4, offset: 512, address: 0, file_size: length, memory_size: length },
        );
        bytes[512..512 + path.len()].copy_from_slice(path);
    }
    bytes
}

fn two_segments() -> [Load; 2] {
    [
        Load { flags: 5, offset: 0, address: 0x40_0000, file_size: 0x1800, memory_size: 0x1800 },
        Load { flags: 6, offset: 0x1800, address: 0x40_2800, file_size: 0x400, memory_size: 0x3000 },
    ]
}

#[derive(Default)]
struct Files(BTreeMap<Vec<u8>, Arc<BytesFile>>);

impl ExecContext for Files {
    fn open<'a>(&'a self, path: &'a [u8]) -> BoxFuture<'a, Result<Arc<dyn ProgramFile>>> {
        let found = self.0.get(path).cloned();
        let program = found.map(|file| Arc::new(BytesProgram(file)) as Arc<dyn ProgramFile>);
        Box::pin(core::future::ready(program.ok_or(Errno::ENOENT)))
    }

    fn identity(&self, _program: &dyn ProgramFile) -> ProgramIdentity {
        ProgramIdentity { uid: 7, euid: 8, gid: 9, egid: 10, secure: true }
    }
}

fn strings(list: &[&[u8]]) -> Strings {
    let mut strings = Strings::default();
    for string in list {
        strings.push(string).unwrap();
    }
    strings
}

fn exec(files: &Files, path: &[u8], arguments: &[&[u8]]) -> core::result::Result<Loaded, LoadError> {
    host::install();
    let request = LoadRequest {
        file: block_on(files.open(path))?,
        filename: path.to_vec(),
        path_inaccessible: false,
        arguments: strings(arguments),
        environment: strings(&[b"A=1"]),
        limits: Arc::new(Limits::initial(10)),
        account: Account::new(),
    };
    block_on(load(request, files))
}

fn word(loaded: &Loaded, at: u64) -> u64 {
    let mut bytes = [0; 8];
    block_on(crate::user::copy_in(loaded.space.as_ref(), at, &mut bytes)).unwrap();
    u64::from_le_bytes(bytes)
}

fn string(loaded: &Loaded, at: u64) -> Vec<u8> {
    block_on(crate::user::read_path(loaded.space.as_ref(), at)).unwrap()
}

type Texts = Vec<Vec<u8>>;

/// Arguments, environment and auxiliary vector as the program finds them.
fn start(loaded: &Loaded) -> (Texts, Texts, BTreeMap<u64, u64>) {
    let mut at = loaded.registers.rsp;
    assert_eq!(at % 16, 0);
    let count = word(loaded, at);
    let mut lists = [vec![], vec![]];
    at += 8;
    for list in &mut lists {
        while word(loaded, at) != 0 {
            list.push(string(loaded, word(loaded, at)));
            at += 8;
        }
        at += 8;
    }
    let [arguments, environment] = lists;
    assert_eq!(arguments.len() as u64, count);
    let mut auxiliary = BTreeMap::new();
    while word(loaded, at) != 0 {
        auxiliary.insert(word(loaded, at), word(loaded, at + 8));
        at += 16;
    }
    (arguments, environment, auxiliary)
}

#[test]
fn a_fixed_program_gets_its_segments_and_its_stack() {
    let mut files = Files::default();
    files.0.insert(b"/p".to_vec(), BytesFile::slow(1, image(2, 0x40_0400, &two_segments(), None)));
    let loaded = exec(&files, b"/p", &[b"p", b"-x"]).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(loaded.registers.rip, 0x40_0400);
    let (arguments, environment, auxiliary) = start(&loaded);
    assert_eq!(arguments, [b"p".to_vec(), b"-x".to_vec()]);
    assert_eq!(environment, [b"A=1".to_vec()]);
    assert_eq!(auxiliary[&3], 0x40_0040, "AT_PHDR");
    assert_eq!((auxiliary[&11], auxiliary[&12], auxiliary[&23]), (7, 8, 1));
    assert_eq!(auxiliary[&7], 0, "AT_BASE without a linker");
    assert_eq!(string(&loaded, auxiliary[&31]), b"/p");
    // Bytes of the file, then zeros from the end of the file's part on, then whole pages of them.
    assert_eq!(word(&loaded, 0x40_2bf8), 0x0202_0202_0202_0202);
    assert_eq!(word(&loaded, 0x40_2c00), 0);
    assert_eq!(word(&loaded, 0x40_5000), 0);
    let memory = loaded.space.page_table().clone();
    assert!(Memory::new(memory.as_ref()).write(0x40_0000, b"x").is_err(), "code is not writable");
    assert_eq!(word(&loaded, 0x40_1000), 0x0202_0202_0202_0202);
}

#[test]
fn a_position_independent_program_moves_with_its_entry() {
    let mut loads = two_segments();
    for load in &mut loads {
        load.address -= 0x40_0000;
    }
    let mut files = Files::default();
    files.0.insert(b"/p".to_vec(), BytesFile::new(1, image(3, 0x400, &loads, None)));
    files.0.insert(b"/linked".to_vec(), BytesFile::new(2, image(3, 0x400, &loads, Some(b"/ld\0"))));
    files.0.insert(b"/ld".to_vec(), BytesFile::new(3, image(3, 0x600, &loads, None)));
    let alone = exec(&files, b"/p", &[]).unwrap_or_else(|e| panic!("{e:?}"));
    let (arguments, _, auxiliary) = start(&alone);
    assert_eq!(arguments, [Vec::<u8>::new()], "there is always an argv[0]");
    assert_eq!(auxiliary[&9], alone.registers.rip, "AT_ENTRY");
    assert_eq!(alone.registers.rip % PAGE, 0x400);

    let linked = exec(&files, b"/linked", &[b"l"]).unwrap_or_else(|e| panic!("{e:?}"));
    let (_, _, auxiliary) = start(&linked);
    assert_eq!(linked.registers.rip, auxiliary[&7] + 0x600, "the linker runs first");
    assert_eq!(auxiliary[&9] % PAGE, 0x400);
    assert_ne!(auxiliary[&9], linked.registers.rip);
}

#[test]
fn a_script_runs_its_interpreter_with_its_own_path() {
    let mut files = Files::default();
    files.0.insert(b"/sh".to_vec(), BytesFile::new(1, image(2, 0x40_0400, &two_segments(), None)));
    files.0.insert(b"/a".to_vec(), BytesFile::new(2, b"#!/sh -e x\n".to_vec()));
    files.0.insert(b"/b".to_vec(), BytesFile::new(3, b"#! /a".to_vec()));
    files.0.insert(b"/loop".to_vec(), BytesFile::new(4, b"#!/loop\n".to_vec()));
    files.0.insert(b"/gone".to_vec(), BytesFile::new(5, b"#!/nowhere\n".to_vec()));
    let loaded = exec(&files, b"/b", &[b"zero", b"one"]).unwrap_or_else(|e| panic!("{e:?}"));
    let (arguments, _, auxiliary) = start(&loaded);
    assert_eq!(arguments, [&b"/sh"[..], b"-e x", b"/a", b"/b", b"one"]);
    assert_eq!(string(&loaded, auxiliary[&31]), b"/b");
    assert_eq!(exec(&files, b"/loop", &[b""]).err(), Some(Errno::ELOOP.into()));
    assert_eq!(exec(&files, b"/gone", &[b""]).err(), Some(Errno::ENOENT.into()));
}

#[test]
fn broken_programs_get_linux_s_errors() {
    let check = |bytes: Vec<u8>, expected: LoadError| {
        let mut files = Files::default();
        files.0.insert(b"/p".to_vec(), BytesFile::new(1, bytes));
        files.0.insert(b"/text".to_vec(), BytesFile::new(2, vec![b'x'; 4096]));
        assert_eq!(exec(&files, b"/p", &[]).err(), Some(expected));
    };
    let loads = two_segments();
    check(b"hello".to_vec(), Errno::ENOEXEC.into());
    check(image(2, 0, &[], None), Errno::ENOEXEC.into());
    check(image(2, 0, &loads, Some(b"/nowhere\0")), Errno::ENOENT.into());
    check(image(2, 0, &loads, Some(b"/text\0")), Errno::ELIBBAD.into());
    check(image(2, 0, &loads, Some(b"/text")), Errno::ENOEXEC.into());
    check(image(2, u64::MAX, &loads, None), LoadError::fatal(Errno::EINVAL));
    check(image(2, 0, &[Load { address: 0, ..loads[0] }], None), LoadError::fatal(Errno::EPERM));
    check(image(2, 0, &[Load { file_size: 0x4000, ..loads[0] }], None), LoadError::fatal(Errno::EINVAL));
    check(image(2, 0, &[Load { offset: 1, ..loads[0] }], None), LoadError::fatal(Errno::EINVAL));
    check(image(2, 0, &[Load { memory_size: 1 << 46, ..loads[1] }], None), LoadError::fatal(Errno::ENOMEM));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_header_makes_the_loader_panic(
        changes in prop::collection::vec((0usize..300, any::<u8>()), 1..12),
        words in prop::collection::vec((0usize..36, prop_oneof![Just(u64::MAX), Just(1 << 47), any::<u64>()]), 0..3),
        kind in 2u8..4,
    ) {
        let mut bytes = image(kind, 0x40_0400, &two_segments(), Some(b"/p\0"));
        for (at, value) in changes {
            bytes[at] = value;
        }
        for (at, value) in words {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes[..4].copy_from_slice(b"\x7fELF");
        let mut files = Files::default();
        files.0.insert(b"/p".to_vec(), BytesFile::new(1, bytes));
        if let Ok(loaded) = exec(&files, b"/p", &[b"p"]) {
            prop_assert!(loaded.registers.rip < crate::machine::USER_END);
            start(&loaded);
        }
    }
}
