//! What the processor says of itself: the text of `/proc/cpuinfo`. Source: Intel SDM volume 2A, CPUID; the names
//! of features are those of `proc(5)`.

use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::fmt;

/// A register of a CPUID leaf, and the features whose bits it has.
struct Word {
    leaf: u32,
    register: fn(&CpuidResult) -> u32,
    features: &'static [(u32, &'static str)],
}

/// Features in the order of words that programs know. What the kernel keeps turned off (FSGSBASE, state beyond
/// AVX) is left out: a program could not use it.
const WORDS: [Word; 6] = [
    Word {
        leaf: 1,
        register: |result| result.edx,
        features: &[
            (0, "fpu"),
            (1, "vme"),
            (2, "de"),
            (3, "pse"),
            (4, "tsc"),
            (5, "msr"),
            (6, "pae"),
            (7, "mce"),
            (8, "cx8"),
            (9, "apic"),
            (11, "sep"),
            (12, "mtrr"),
            (13, "pge"),
            (14, "mca"),
            (15, "cmov"),
            (16, "pat"),
            (17, "pse36"),
            (19, "clflush"),
            (23, "mmx"),
            (24, "fxsr"),
            (25, "sse"),
            (26, "sse2"),
            (27, "ss"),
            (28, "ht"),
        ],
    },
    Word {
        leaf: 0x8000_0001,
        register: |result| result.edx,
        features: &[(11, "syscall"), (20, "nx"), (22, "mmxext"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm")],
    },
    Word {
        leaf: 1,
        register: |result| result.ecx,
        features: &[
            (0, "pni"),
            (1, "pclmulqdq"),
            (9, "ssse3"),
            (12, "fma"),
            (13, "cx16"),
            (17, "pcid"),
            (19, "sse4_1"),
            (20, "sse4_2"),
            (21, "x2apic"),
            (22, "movbe"),
            (23, "popcnt"),
            (24, "tsc_deadline_timer"),
            (25, "aes"),
            (26, "xsave"),
            (28, "avx"),
            (29, "f16c"),
            (30, "rdrand"),
            (31, "hypervisor"),
        ],
    },
    Word {
        leaf: 0x8000_0001,
        register: |result| result.ecx,
        features: &[(0, "lahf_lm"), (5, "abm"), (6, "sse4a"), (8, "3dnowprefetch")],
    },
    Word {
        leaf: 7,
        register: |result| result.ebx,
        features: &[
            (3, "bmi1"),
            (5, "avx2"),
            (7, "smep"),
            (8, "bmi2"),
            (9, "erms"),
            (10, "invpcid"),
            (18, "rdseed"),
            (19, "adx"),
            (20, "smap"),
            (23, "clflushopt"),
            (24, "clwb"),
            (29, "sha_ni"),
        ],
    },
    Word { leaf: 7, register: |result| result.ecx, features: &[(2, "umip"), (22, "rdpid")] },
];

/// A leaf, or zeros where the processor does not have it.
fn cpuid(leaf: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0x8000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, 0)
}

/// The text that registers hold, four bytes each.
struct Registers<const N: usize>([u32; N]);

impl<const N: usize> fmt::Display for Registers<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.iter().flat_map(|register| register.to_le_bytes());
        let shown = bytes.take_while(|&byte| byte != 0).filter(u8::is_ascii).map(char::from);
        shown.skip_while(|letter| *letter == ' ').try_for_each(|letter| fmt::Write::write_char(out, letter))
    }
}

/// Writes the paragraph of the CPU `index` of `cpus`, whose time-stamp counter runs at `hertz`.
///
/// # Errors
///
/// As the writer.
pub fn describe(
    out: &mut dyn fmt::Write,
    index: usize,
    cpus: usize,
    apic_id: u32,
    hertz: u64,
) -> fmt::Result {
    let (vendor, basic) = (cpuid(0), cpuid(1));
    let signature = basic.eax;
    let (base_family, extended_family) = (signature >> 8 & 0xf, signature >> 20 & 0xff);
    let family = if base_family == 0xf { base_family + extended_family } else { base_family };
    let extended_model = if base_family == 6 || base_family == 0xf { signature >> 16 & 0xf } else { 0 };
    let model = extended_model << 4 | signature >> 4 & 0xf;
    writeln!(out, "processor\t: {index}")?;
    writeln!(out, "vendor_id\t: {}", Registers([vendor.ebx, vendor.edx, vendor.ecx]))?;
    writeln!(out, "cpu family\t: {family}\nmodel\t\t: {model}")?;
    writeln!(out, "model name\t: {}", brand())?;
    writeln!(out, "stepping\t: {}", signature & 0xf)?;
    writeln!(out, "cpu MHz\t\t: {}.{:03}", hertz / 1_000_000, hertz / 1000 % 1000)?;
    writeln!(out, "physical id\t: 0\nsiblings\t: {cpus}\ncore id\t\t: {index}\ncpu cores\t: {cpus}")?;
    writeln!(out, "apicid\t\t: {apic_id}\ninitial apicid\t: {apic_id}")?;
    writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes", vendor.eax)?;
    write!(out, "flags\t\t:")?;
    for word in &WORDS {
        let bits = (word.register)(&cpuid(word.leaf));
        for (_, name) in word.features.iter().filter(|(bit, _)| bits >> bit & 1 == 1) {
            write!(out, " {name}")?;
        }
    }
    let (line, sizes) = ((basic.ebx >> 8 & 0xff) * 8, cpuid(0x8000_0008).eax);
    writeln!(out, "\nclflush size\t: {line}\ncache_alignment\t: {line}")?;
    writeln!(out, "address sizes\t: {} bits physical, {} bits virtual", sizes & 0xff, sizes >> 8 & 0xff)?;
    writeln!(out, "power management:\n")
}

fn brand() -> Registers<12> {
    let mut registers = [0; 12];
    for (leaf, place) in (0x8000_0002..).zip(registers.chunks_exact_mut(4)) {
        let CpuidResult { eax, ebx, ecx, edx } = cpuid(leaf);
        place.copy_from_slice(&[eax, ebx, ecx, edx]);
    }
    Registers(registers)
}
