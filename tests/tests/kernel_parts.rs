//! The parts of the kernel that are arithmetic or parsing, on the host: the kernel's own files, built here.

#[path = "../../kernel/src/drivers/acpi.rs"]
#[allow(dead_code, unreachable_pub, reason = "the kernel uses the rest")]
mod acpi;
#[path = "../../kernel/src/drivers/calendar.rs"]
#[allow(unreachable_pub, reason = "a module of the kernel")]
mod calendar;
#[path = "../../kernel/src/drivers/generator.rs"]
#[allow(unreachable_pub, reason = "a module of the kernel")]
mod generator;
#[path = "../../kernel/src/memory/regions.rs"]
#[allow(unreachable_pub, reason = "a module of the kernel")]
mod regions;

use acpi::{AcpiError, IsaOverride, Madt, read_madt};
use calendar::DateTime;
use generator::Generator;
use regions::Regions;

/// Physical memory that begins at `BASE`.
const BASE: u64 = 0xe_0000;

fn read_from(memory: &'static [u8]) -> impl Fn(u64, usize) -> Option<&'static [u8]> {
    move |address, length| {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        memory.get(start..start.checked_add(length)?)
    }
}

fn with_checksum(mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
    bytes[place] = 0;
    bytes[place] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes[4..8].copy_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    with_checksum(bytes, 9)
}

/// A root pointer at BASE, an RSDT or XSDT at + 0x100, a table of no interest at + 0x200, a MADT at + 0x300.
fn firmware(revision: u8, madt_entries: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; 0x1000];
    let mut pointer = b"RSD PTR \0TESTED\0".to_vec();
    pointer[15] = revision;
    let tables = BASE + 0x100;
    pointer.extend_from_slice(&if revision == 0 { tables as u32 } else { 0 }.to_le_bytes());
    pointer = with_checksum(pointer, 8);
    pointer.extend_from_slice(&36u32.to_le_bytes());
    pointer.extend_from_slice(&tables.to_le_bytes());
    pointer.extend_from_slice(&[0; 4]);
    let addresses = [BASE + 0x200, BASE + 0x300];
    let root = if revision == 0 {
        table(b"RSDT", &addresses.map(|address| (address as u32).to_le_bytes()).concat())
    } else {
        table(b"XSDT", &addresses.map(u64::to_le_bytes).concat())
    };
    let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
    body.extend_from_slice(&1u32.to_le_bytes());
    body.extend_from_slice(madt_entries);
    for (place, bytes) in
        [(0, pointer), (0x100, root), (0x200, table(b"HPET", &[1; 20])), (0x300, table(b"APIC", &body))]
    {
        memory[place..place + bytes.len()].copy_from_slice(&bytes);
    }
    memory
}

/// Two CPUs and one that is off, an I/O APIC, an override of line 9, an entry of an unknown kind.
const ENTRIES: &[u8] = &[
    0, 8, 0, 0, 1, 0, 0, 0, //
    0, 8, 1, 4, 1, 0, 0, 0, //
    0, 8, 2, 6, 0, 0, 0, 0, //
    200, 3, 0, //
    1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, //
    2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0,
];

fn check_the_usual(madt: &Madt) {
    assert_eq!(madt.local_apic, 0xfee0_0000);
    assert_eq!(madt.cpus.as_slice(), [0, 4]);
    assert_eq!(madt.io_apics.as_slice().len(), 1);
    assert_eq!(madt.io_apics.as_slice()[0].address, 0xfec0_0000);
    assert_eq!(madt.isa_line(9), IsaOverride { line: 9, input: 20, level: true, active_low: true });
    assert_eq!(madt.isa_line(4), IsaOverride { line: 4, input: 4, level: false, active_low: false });
}

#[test]
fn both_kinds_of_root_table_lead_to_the_madt() {
    for revision in [0, 2] {
        let memory = firmware(revision, ENTRIES).leak();
        assert_eq!(acpi::scan_for_root_pointer(&read_from(&[0; 0x2_0000])), None);
        check_the_usual(&read_madt(BASE, &read_from(memory)).expect("a good table"));
    }
}

#[test]
fn the_root_pointer_is_found_by_its_signature() {
    let mut memory = vec![0; 0x2_0000];
    memory[0x1_2340..0x1_2348].copy_from_slice(b"RSD PTR ");
    assert_eq!(acpi::scan_for_root_pointer(&read_from(memory.leak())), Some(BASE + 0x1_2340));
}

#[test]
fn what_is_damaged_is_refused() {
    let mut pointer = firmware(0, ENTRIES);
    pointer[17] ^= 1;
    assert_eq!(read_madt(BASE, &read_from(pointer.leak())).unwrap_err(), AcpiError::NoRootPointer);
    let mut root = firmware(2, ENTRIES);
    root[0x110] ^= 1;
    assert_eq!(read_madt(BASE, &read_from(root.leak())).unwrap_err(), AcpiError::BadTable);
    let mut none = firmware(2, ENTRIES);
    none[0x300] = b'B';
    assert_eq!(read_madt(BASE, &read_from(none.leak())).unwrap_err(), AcpiError::NoMadt);
    assert_eq!(
        read_madt(1 << 60, &read_from(firmware(0, &[]).leak())).unwrap_err(),
        AcpiError::NoRootPointer
    );
}

#[test]
fn broken_tables_never_panic() {
    let good = firmware(2, ENTRIES);
    let mut seed = Generator::new(1);
    for _ in 0..4000 {
        let mut memory = good.clone();
        for _ in 0..seed.number() % 4 {
            let places = [0..36, 0x100..0x134, 0x300..0x360];
            let range = places[seed.number() as usize % 3].clone();
            memory[range.start + seed.number() as usize % range.len()] = seed.number() as u8;
        }
        // Make the checksums good again, so that the parser sees what is inside.
        for start in [0x100, 0x300] {
            let length =
                u32::from_le_bytes(memory[start + 4..start + 8].try_into().expect("four bytes")) as usize;
            if let Some(bytes) = memory.get_mut(start..start.saturating_add(length)).filter(|b| b.len() > 9) {
                let fixed = with_checksum(bytes.to_vec(), 9);
                bytes.copy_from_slice(&fixed);
            }
        }
        let memory: &'static [u8] = memory.leak();
        let _ = read_madt(BASE, &read_from(memory));
    }
}

#[test]
fn dates_agree_with_a_count_of_days() {
    let leap = |year: u32| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let mut days = 0;
    for year in 1970..2200 {
        for month in 1..=12 {
            let length = match month {
                2 => 28 + u32::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            for day in 1..=length {
                let date = DateTime { year, month, day, hour: 23, minute: 59, second: 58 };
                assert_eq!(date.unix_seconds(), Some(days * 86_400 + 86_398), "{date:?}");
                days += 1;
            }
        }
    }
    assert_eq!(DateTime { year: 2026, month: 13, day: 1, ..DateTime::default() }.unix_seconds(), None);
    assert_eq!(DateTime::default().unix_seconds(), None);
}

#[test]
fn the_generator_is_a_function_of_its_seed() {
    let numbers = |seed| {
        let mut generator = Generator::new(seed);
        std::array::from_fn::<u64, 4, _>(|_| generator.number())
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
    // The second and third words of SplitMix64 from 0, which the first output of xoshiro256** is made of.
    assert_eq!(numbers(0)[0], 0x6e78_9e6a_a1b9_65f4u64.wrapping_mul(5).rotate_left(7).wrapping_mul(9));
    let mut stirred = Generator::new(7);
    stirred.stir(1);
    assert_ne!(stirred.number(), Generator::new(7).number());
}

#[test]
fn regions_behave_like_sets_of_addresses() {
    let mut seed = Generator::new(3);
    for _ in 0..300 {
        let mut regions = Regions::new();
        let mut model = [false; 256];
        for _ in 0..20 {
            let start = seed.number() % 256;
            let end = (start + seed.number() % 64).min(256);
            let adds = seed.number().is_multiple_of(2);
            if adds {
                regions.add(start..end)
            } else {
                regions.remove(start..end)
            }
            model[start as usize..end as usize].fill(adds);
        }
        if let Some(taken) = regions.take(8, 4, 200) {
            assert!(taken.is_multiple_of(4) && taken + 8 <= 200);
            let run = &mut model[taken as usize..taken as usize + 8];
            assert!(run.iter().all(|free| *free));
            run.fill(false);
        }
        let mut seen = [false; 256];
        for address in regions.iter().flatten() {
            assert!(!seen[address as usize], "no address twice");
            seen[address as usize] = true;
        }
        assert_eq!(seen, model);
        assert_eq!(regions.end(), model.iter().rposition(|free| *free).map_or(0, |last| last as u64 + 1));
        regions.shrink_to(16);
        let whole: u64 = regions.iter().map(|range| range.end - range.start).sum();
        assert!(regions.iter().all(|range| range.start.is_multiple_of(16) && range.end.is_multiple_of(16)));
        assert!(whole as usize <= model.iter().filter(|free| **free).count());
    }
}
