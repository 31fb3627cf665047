//! Reading ELF images: symbol names for addresses in a kernel log, and whether a program is static.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const SHT_SYMTAB: u32 = 2;
const PT_INTERP: u32 = 3;
const STT_FUNC: u8 = 2;
const STT_NOTYPE: u8 = 0;

/// Functions of an image, sorted by address.
pub(crate) struct Symbols {
    functions: Vec<(u64, String)>,
}

impl Symbols {
    /// The functions of the ELF file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let image = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let functions = functions(&image).with_context(|| format!("symbols of {}", path.display()))?;
        Ok(Self { functions })
    }

    /// `name+offset` of the function around `address`.
    pub(crate) fn name(&self, address: u64) -> Option<String> {
        let index = self.functions.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let (start, name) = self.functions.get(index)?;
        // The alternate form leaves out the hash.
        Some(format!("{:#}+{:#x}", rustc_demangle::demangle(name), address - start))
    }

    /// `line` with ` <name+offset>` behind every kernel address that has none yet.
    pub(crate) fn annotate(&self, line: &str) -> String {
        const PREFIX: &str = "0xffffffff8";
        // A return address may be the first one behind its function, if the call was its last act.
        let back = u64::from(line.trim_start().starts_with("at "));
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(PREFIX) {
            let digits = rest[start + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
            let end = start + 2 + digits;
            let (head, tail) = rest.split_at(end);
            out.push_str(head);
            let address = u64::from_str_radix(&head[start + 2..], 16).ok();
            if let Some(name) =
                address.and_then(|address| self.name(address - back)).filter(|_| !tail.starts_with(" <"))
            {
                let _ = write!(out, " <{name}>");
            }
            rest = tail;
        }
        out + rest
    }
}

/// Whether the ELF `image` needs no dynamic loader.
pub(crate) fn is_statically_linked(image: &[u8]) -> bool {
    let interpreter = || -> Result<bool> {
        let (table, size, count) = (u64_at(image, 32)?, u16_at(image, 54)?, u16_at(image, 56)?);
        for index in 0..u64::from(count) {
            if u32_at(image, table + index * u64::from(size))? == PT_INTERP {
                return Ok(true);
            }
        }
        Ok(false)
    };
    image.starts_with(b"\x7fELF\x02") && interpreter().is_ok_and(|has_one| !has_one)
}

fn functions(image: &[u8]) -> Result<Vec<(u64, String)>> {
    ensure!(image.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit little-endian ELF file");
    let (sections, section_size, count) = (u64_at(image, 40)?, u16_at(image, 58)?, u16_at(image, 60)?);
    let mut found = Vec::new();
    for index in 0..u64::from(count) {
        let section = sections + index * u64::from(section_size);
        if u32_at(image, section + 4)? != SHT_SYMTAB {
            continue;
        }
        let (table, len) = (u64_at(image, section + 24)?, u64_at(image, section + 32)?);
        let link = u64::from(u32_at(image, section + 40)?);
        let names = u64_at(image, sections + link * u64::from(section_size) + 24)?;
        for symbol in (table..table.saturating_add(len)).step_by(24) {
            let info = bytes_at::<1>(image, symbol + 4)?[0];
            let (value, section_index) = (u64_at(image, symbol + 8)?, u16_at(image, symbol + 6)?);
            // Labels of hand-written assembly have no type; they are functions as far as a backtrace goes.
            if matches!(info & 15, STT_FUNC | STT_NOTYPE) && value != 0 && section_index != 0 {
                found.push((value, name_at(image, names + u64::from(u32_at(image, symbol)?))?));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name_at(image: &[u8], offset: u64) -> Result<String> {
    let tail = image.get(usize::try_from(offset)?..).context("ELF: name outside the file")?;
    let len = tail.iter().position(|&byte| byte == 0).context("ELF: unterminated name")?;
    Ok(String::from_utf8_lossy(&tail[..len]).into_owned())
}

fn bytes_at<const N: usize>(image: &[u8], offset: u64) -> Result<[u8; N]> {
    let start = usize::try_from(offset)?;
    let bytes = image.get(start..).and_then(|tail| tail.first_chunk::<N>());
    bytes.copied().context("ELF: field outside the file")
}

fn u16_at(image: &[u8], offset: u64) -> Result<u16> {
    Ok(u16::from_le_bytes(bytes_at(image, offset)?))
}

fn u32_at(image: &[u8], offset: u64) -> Result<u32> {
    Ok(u32::from_le_bytes(bytes_at(image, offset)?))
}

fn u64_at(image: &[u8], offset: u64) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes_at(image, offset)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_the_name_of_the_function_around_them() {
        let functions =
            vec![(0xffff_ffff_8010_0000, "boot".to_owned()), (0xffff_ffff_8010_0100, "main".to_owned())];
        let symbols = Symbols { functions };
        assert_eq!(
            symbols.annotate("rip 0xffffffff80100104, 0xffffffff80100001 <x>"),
            "rip 0xffffffff80100104 <main+0x4>, 0xffffffff80100001 <x>"
        );
        assert_eq!(symbols.annotate("  at 0xffffffff80100100"), "  at 0xffffffff80100100 <boot+0xff>");
        assert_eq!(symbols.annotate("0xffffffff80000000"), "0xffffffff80000000");
    }

    #[test]
    fn this_test_program_has_symbols_and_a_dynamic_loader() {
        let path = std::env::current_exe().unwrap();
        let symbols = Symbols::load(&path).unwrap();
        assert!(symbols.functions.iter().any(|(_, name)| name.contains("this_test_program_has_symbols")));
        assert!(!is_statically_linked(&std::fs::read(path).unwrap()));
        assert!(!is_statically_linked(b"\x7fELF\x02"));
    }
}
