//! What the processor can do, and turning it on.

use core::arch::x86_64::{__cpuid_count, CpuidResult};

use base::sync::Once;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, LStar, Msr, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::{PrivilegeLevel, VirtAddr};

/// The features that the kernel asks about.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Pages that can't be executed.
    pub no_execute: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// User-mode instruction prevention: sgdt, sidt, sldt, smsw, str.
    pub umip: bool,
    /// XSAVE, and the state components to use (x87, SSE, AVX at most).
    pub xsave: Option<u64>,
    /// RDTSCP and the TSC_AUX register.
    pub rdtscp: bool,
    /// 1 GiB pages.
    pub giant_pages: bool,
    /// Bytes of a thread's floating-point image: XSAVE's standard format, or FXSAVE's.
    pub fpu_image_size: usize,
    /// CPUID.1:EDX, which programs get as `AT_HWCAP`.
    pub hwcap: u32,
}

const TSC_AUX: u32 = 0xc000_0103;

static FEATURES: Once<Features> = Once::new();

fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0x8000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, subleaf)
}

impl Features {
    fn read() -> Features {
        const X87_SSE_AVX: u64 = 7;
        let (basic, structured, extended) = (cpuid(1, 0), cpuid(7, 0), cpuid(0x8000_0001, 0));
        let bit = |word: u32, bit: u32| word >> bit & 1 == 1;
        let components = bit(basic.ecx, 26).then(|| u64::from(cpuid(0xd, 0).eax) & X87_SSE_AVX);
        Features {
            no_execute: bit(extended.edx, 20),
            smep: bit(structured.ebx, 7),
            smap: bit(structured.ebx, 20),
            umip: bit(structured.ecx, 2),
            xsave: components,
            rdtscp: bit(extended.edx, 27),
            giant_pages: bit(extended.edx, 26),
            fpu_image_size: fpu_image_size(components),
            hwcap: basic.edx,
        }
    }

    /// The features of the first CPU, which all of them share.
    pub fn get() -> &'static Features {
        FEATURES.call_once(Features::read)
    }
}

fn fpu_image_size(components: Option<u64>) -> usize {
    const FXSAVE: usize = 512;
    const WITH_HEADER: usize = 576;
    const AVX: u32 = 2;
    match components {
        None => FXSAVE,
        Some(components) if components >> AVX & 1 == 0 => WITH_HEADER,
        Some(_) => {
            let CpuidResult { eax: size, ebx: offset, .. } = cpuid(0xd, AVX);
            (size + offset) as usize
        }
    }
}

/// Turns the features on for this CPU, which has number `index`, and points SYSCALL to its entry.
///
/// FSGSBASE stays off: with it, programs could change their bases without the kernel's knowledge,
/// which would cost two reads at each switch, and a GS base in the kernel's half would become possible.
pub(super) fn enable(index: usize) {
    let features = Features::get();
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::PAGE_GLOBAL
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE;
    cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep);
    cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap);
    cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
    cr4.set(Cr4Flags::OSXSAVE, features.xsave.is_some());
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::PAGING;
    let mut efer =
        EferFlags::LONG_MODE_ENABLE | EferFlags::LONG_MODE_ACTIVE | EferFlags::SYSTEM_CALL_EXTENSIONS;
    efer.set(EferFlags::NO_EXECUTE_ENABLE, features.no_execute);
    // SAFETY: each bit was asked of CPUID; paging stays as it is, and the kernel touches user memory only
    // between stac and clac.
    unsafe {
        Cr0::write(cr0);
        Cr4::write(cr4);
        Efer::write(efer);
        if let Some(components) = features.xsave {
            write_xcr0(components);
        }
        if features.rdtscp {
            // What the vDSO's getcpu reads.
            Msr::new(TSC_AUX).write(index as u64);
        }
    }
    point_syscall_to_entry();
}

/// # Safety
///
/// CR4.OSXSAVE is set and CPUID offers the components.
unsafe fn write_xcr0(components: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "xsetbv",
            in("ecx") 0, in("eax") components as u32, in("edx") (components >> 32) as u32,
            options(nomem, nostack, preserves_flags)
        );
    }
}

fn point_syscall_to_entry() {
    unsafe extern "C" {
        static syscall_entry: u8;
    }
    // The kernel inherits no flag from a program: neither IF nor DF, TF, AC, NT, IOPL.
    let cleared = RFlags::from_bits_truncate(!(1 << 1));
    // User selectors are this + 8 (data) and + 16 (code), at privilege level 3.
    const SYSRET_BASE: u16 = super::segments::KERNEL_DATA | PrivilegeLevel::Ring3 as u16;
    LStar::write(VirtAddr::from_ptr(&raw const syscall_entry));
    SFMask::write(cleared);
    // SAFETY: the selectors are those of the GDT.
    unsafe { Star::write_raw(SYSRET_BASE, super::segments::KERNEL_CODE) };
}

/// Puts `stac` and `clac` where the entry code and the copies left room for them.
///
/// # Safety
///
/// The code is writable, which it is on the boot tables, and only this CPU runs.
pub(super) unsafe fn patch_smap_sites() {
    #[repr(C)]
    struct Site {
        at: *mut [u8; 3],
        instruction: [u8; 8],
    }
    unsafe extern "C" {
        static smap_sites_start: Site;
        static smap_sites_end: Site;
    }
    if !Features::get().smap {
        return;
    }
    let (start, end) = (&raw const smap_sites_start, &raw const smap_sites_end);
    // SAFETY: the linker puts whole `.smap_sites` entries, and nothing else, between the two symbols.
    let sites = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    for site in sites {
        let [a, b, c, ..] = site.instruction;
        // SAFETY: the entry names three bytes of code that are a no-op; the caller made them writable.
        unsafe { site.at.write([a, b, c]) };
    }
}

/// The index of a base register MSR.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum BaseRegister {
    Fs = 0xc000_0100,
    /// The one that `swapgs` exchanges with GS: a program's while the kernel runs.
    KernelGs = 0xc000_0102,
    Gs = 0xc000_0101,
}

impl BaseRegister {
    /// Writes the base.
    ///
    /// # Safety
    ///
    /// The address is canonical; `Gs` gets the address of this CPU's area.
    #[inline]
    pub(super) unsafe fn write(self, address: u64) {
        // SAFETY: the caller's promise.
        unsafe { Msr::new(self as u32).write(address) };
    }
}
