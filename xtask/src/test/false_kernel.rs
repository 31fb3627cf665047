//! Kernels of a few bytes that end in ways a sound one cannot: what a runner must not take for success.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::paths;

/// Where the image is loaded, and entered in 32-bit protected mode.
const BASE: u32 = 0x10_0000;
/// Header, two program headers and the note stand before the code.
const CODE_OFFSET: u32 = 64 + 2 * 56 + NOTE_SIZE;
const NOTE_SIZE: u32 = 20;

/// Loads an empty interrupt table and executes an undefined instruction: a triple fault.
pub(super) fn triple_fault() -> Result<PathBuf> {
    // lidt [end of the code]; ud2; and the six zero bytes of the table's descriptor.
    let descriptor = BASE + CODE_OFFSET + 9;
    let mut code = vec![0x0f, 0x01, 0x1d];
    code.extend(descriptor.to_le_bytes());
    code.extend([0x0f, 0x0b, 0, 0, 0, 0, 0, 0]);
    write("triple-fault", &code)
}

/// Writes the clean end to the debug-exit port without a result record.
pub(super) fn end_without_record() -> Result<PathBuf> {
    // mov al, 0x10; out 0xf4, al; hlt
    write("end-without-record", &[0xb0, 0x10, 0xe6, 0xf4, 0xf4])
}

/// Writes an ELF file with a PVH note that enters `code`.
fn write(name: &str, code: &[u8]) -> Result<PathBuf> {
    let folder = paths::kairos().join("false-kernels");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    std::fs::write(&path, image(code)?).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn image(code: &[u8]) -> Result<Vec<u8>> {
    let size = u64::from(CODE_OFFSET) + u64::try_from(code.len())?;
    let mut image = b"\x7fELF\x02\x01\x01".to_vec();
    image.resize(16, 0);
    // An executable for x86-64 with two program headers and no sections.
    for half in [2u16, 62] {
        image.extend(half.to_le_bytes());
    }
    image.extend(1u32.to_le_bytes());
    for word in [u64::from(BASE + CODE_OFFSET), 64, 0] {
        image.extend(word.to_le_bytes());
    }
    image.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 0, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    let note_offset = u64::from(CODE_OFFSET - NOTE_SIZE);
    // PT_LOAD of the whole file, readable, writable and executable; PT_NOTE inside it.
    program_header(&mut image, 1, 7, 0, size);
    program_header(&mut image, 4, 4, note_offset, u64::from(NOTE_SIZE));
    for word in [4u32, 4, 18] {
        image.extend(word.to_le_bytes());
    }
    image.extend(b"Xen\0");
    image.extend((BASE + CODE_OFFSET).to_le_bytes());
    image.extend(code);
    Ok(image)
}

fn program_header(image: &mut Vec<u8>, kind: u32, flags: u32, offset: u64, size: u64) {
    image.extend(kind.to_le_bytes());
    image.extend(flags.to_le_bytes());
    let address = u64::from(BASE) + offset;
    for word in [offset, address, address, size, size, 4] {
        image.extend(word.to_le_bytes());
    }
}
