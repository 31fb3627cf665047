//! ACPI, as far as it says which CPUs and interrupt controllers there are: RSDP, RSDT or XSDT, MADT.
//! Source: ACPI specification 6.5, sections 5.2.5 to 5.2.12.
//!
//! Pure functions over a reader of physical memory, so that they can be fed with anything in a test. Every offset
//! is checked; broken tables give an error or a shorter list, never a panic.

/// CPUs, controllers and overrides beyond these numbers are left out.
const MAX_CPUS: usize = 64;
const MAX_IO_APICS: usize = 8;
const MAX_OVERRIDES: usize = 16;
/// Length of the header that all tables share.
const HEADER: usize = 36;
/// No table that concerns us is longer.
const MAX_TABLE: usize = 1 << 20;

/// Reads physical memory: address, length.
pub type Reader<'a> = dyn Fn(u64, usize) -> Option<&'static [u8]> + 'a;

/// Why the interrupt controllers are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No root pointer where there should be one.
    NoRootPointer,
    /// A table that is needed is out of reach, too short or damaged.
    BadTable,
    /// There is no MADT.
    NoMadt,
}

/// An I/O interrupt controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoApicEntry {
    /// Physical address of its registers.
    pub address: u64,
    /// Number of its first input among all inputs of the machine.
    pub first_input: u32,
}

/// How a line of the old ISA bus is wired, where it is not input number = line, edge, active high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IsaOverride {
    /// ISA line.
    pub line: u8,
    /// Input number.
    pub input: u32,
    /// Triggered by level instead of edge.
    pub level: bool,
    /// Active low instead of high.
    pub active_low: bool,
}

/// A list of at most `N` entries; further ones are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<T, const N: usize> {
    items: [T; N],
    count: usize,
}

impl<T: Copy + Default, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Bounded { items: [T::default(); N], count: 0 }
    }
}

impl<T, const N: usize> Bounded<T, N> {
    fn push(&mut self, item: T) {
        if let Some(slot) = self.items.get_mut(self.count) {
            *slot = item;
            self.count += 1;
        }
    }

    /// The entries, in the order of the table.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        self.items.get(..self.count).unwrap_or(&[])
    }
}

/// What the MADT says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Madt {
    /// Physical address of every CPU's local APIC.
    pub local_apic: u64,
    /// APIC ids of the CPUs that may be started.
    pub cpus: Bounded<u32, MAX_CPUS>,
    /// I/O APICs.
    pub io_apics: Bounded<IoApicEntry, MAX_IO_APICS>,
    /// ISA lines with a wiring of their own.
    pub overrides: Bounded<IsaOverride, MAX_OVERRIDES>,
}

impl Madt {
    /// How an ISA line reaches the I/O APICs.
    #[must_use]
    pub fn isa_line(&self, line: u8) -> IsaOverride {
        let plain = IsaOverride { line, input: u32::from(line), level: false, active_low: false };
        self.overrides.as_slice().iter().find(|entry| entry.line == line).copied().unwrap_or(plain)
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Looks for a root pointer where PC firmware puts it: the last 128 KiB below 1 MiB.
#[must_use]
pub fn scan_for_root_pointer(read: &Reader<'_>) -> Option<u64> {
    const AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
    let bytes = read(AREA.start, (AREA.end - AREA.start) as usize)?;
    let found = bytes.chunks_exact(16).position(|chunk| chunk.starts_with(b"RSD PTR "))?;
    Some(AREA.start + found as u64 * 16)
}

/// Reads the MADT, beginning at the root pointer.
///
/// # Errors
///
/// What is missing or broken.
pub fn read_madt(root_pointer: u64, read: &Reader<'_>) -> Result<Madt, AcpiError> {
    const FIRST_VERSION: usize = 20;
    let pointer = read(root_pointer, FIRST_VERSION).ok_or(AcpiError::NoRootPointer)?;
    if !pointer.starts_with(b"RSD PTR ") || !sums_to_zero(pointer) {
        return Err(AcpiError::NoRootPointer);
    }
    let revision = pointer.get(15).copied().unwrap_or(0);
    let long = if revision >= 2 { read(root_pointer, 36) } else { None };
    let xsdt = long.and_then(|bytes| u64_at(bytes, 24)).filter(|address| *address != 0);
    let (address, signature, width) = match xsdt {
        Some(address) => (address, b"XSDT", 8),
        None => (u64::from(u32_at(pointer, 16).unwrap_or(0)), b"RSDT", 4),
    };
    let root = table(address, read).ok_or(AcpiError::BadTable)?;
    if !root.starts_with(signature) {
        return Err(AcpiError::BadTable);
    }
    let entries = root.get(HEADER..).unwrap_or(&[]).chunks_exact(width);
    let addresses = entries.filter_map(|entry| match width {
        8 => u64_at(entry, 0),
        _ => u32_at(entry, 0).map(u64::from),
    });
    for address in addresses {
        if read(address, HEADER).is_some_and(|header| header.starts_with(b"APIC")) {
            return parse_madt(table(address, read).ok_or(AcpiError::BadTable)?).ok_or(AcpiError::BadTable);
        }
    }
    Err(AcpiError::NoMadt)
}

/// A whole table with a good checksum.
fn table(address: u64, read: &Reader<'_>) -> Option<&'static [u8]> {
    let length = u32_at(read(address, HEADER)?, 4)? as usize;
    if !(HEADER..=MAX_TABLE).contains(&length) {
        return None;
    }
    read(address, length).filter(|bytes| sums_to_zero(bytes))
}

/// Reads the entries of a MADT.
fn parse_madt(table: &[u8]) -> Option<Madt> {
    const ENTRIES: usize = 44;
    let mut madt = Madt { local_apic: u64::from(u32_at(table, HEADER)?), ..Madt::default() };
    let mut rest = table.get(ENTRIES..)?;
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        let Some(entry) = rest.get(..length).filter(|entry| entry.len() >= 2) else { break };
        // An entry that is too short for its kind is skipped like one of an unknown kind.
        let _ = note_entry(&mut madt, kind, entry);
        rest = rest.get(length..).unwrap_or(&[]);
    }
    Some(madt)
}

/// Adds one entry. `None` when it is shorter than its kind.
fn note_entry(madt: &mut Madt, kind: u8, entry: &[u8]) -> Option<()> {
    const LOCAL_APIC: u8 = 0;
    const IO_APIC: u8 = 1;
    const OVERRIDE: u8 = 2;
    const LOCAL_APIC_ADDRESS: u8 = 5;
    const X2APIC: u8 = 9;
    const ENABLED: u32 = 1;
    match kind {
        LOCAL_APIC if u32_at(entry, 4)? & ENABLED != 0 => madt.cpus.push(u32::from(*entry.get(3)?)),
        X2APIC if u32_at(entry, 8)? & ENABLED != 0 => madt.cpus.push(u32_at(entry, 4)?),
        IO_APIC => madt
            .io_apics
            .push(IoApicEntry { address: u64::from(u32_at(entry, 4)?), first_input: u32_at(entry, 8)? }),
        OVERRIDE => {
            let flags = u16_at(entry, 8)?;
            madt.overrides.push(IsaOverride {
                line: *entry.get(3)?,
                input: u32_at(entry, 4)?,
                level: flags >> 2 & 3 == 3,
                active_low: flags & 3 == 3,
            });
        }
        LOCAL_APIC_ADDRESS => madt.local_apic = u64_at(entry, 4)?,
        _ => {}
    }
    Some(())
}
