//! What a boot protocol hands over: PVH's start info, or Linux's zero page.

use crate::{apic, cpu, rt, smp, tap, time};
use alloc::vec::Vec;

/// What the tests know of the machine.
pub struct Context {
    cmdline: &'static str,
    pub rsdp: u64,
    /// The framebuffer that is there from the first instruction.
    pub screen: Option<Framebuffer>,
    /// The other processors, once they have been started.
    pub others: Vec<&'static smp::Other>,
}

/// A linear framebuffer (Linux: `struct screen_info`), mapped.
#[derive(Clone, Copy)]
pub struct Framebuffer {
    /// `orig_video_isVGA`: VIDEO_TYPE_*.
    pub kind: u8,
    pub at: u64,
    /// Bytes.
    pub len: u64,
    pub width: u32,
    pub height: u32,
    /// Bits of a pixel.
    pub depth: u16,
    /// Bytes of a row.
    pub pitch: u16,
    /// Size and lowest bit of red, green, blue.
    pub colours: [(u8, u8); 3],
}

impl Context {
    /// The value of `name=` on the command line.
    pub fn option(&self, name: &str) -> Option<&'static str> {
        let mut words = self.cmdline.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.option(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Whether the word stands on the command line.
    pub fn has(&self, word: &str) -> bool {
        self.cmdline.split_ascii_whitespace().any(|w| w == word)
    }
}

/// The PVH start info (Xen, docs/misc/pvh.pandoc).
#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    reserved: u32,
}

const START_MAGIC: u32 = 0x336e_c578;

/// Offsets in the zero page (Linux: Documentation/arch/x86/zero-page.rst, and `struct screen_info`).
mod zero_page {
    pub const LFB_WIDTH: u64 = 0x12;
    pub const LFB_HEIGHT: u64 = 0x14;
    pub const LFB_DEPTH: u64 = 0x16;
    pub const LFB_BASE: u64 = 0x18;
    pub const LFB_SIZE: u64 = 0x1c;
    pub const LFB_LINELENGTH: u64 = 0x24;
    pub const COLOURS: u64 = 0x26;
    pub const CAPABILITIES: u64 = 0x36;
    pub const EXT_LFB_BASE: u64 = 0x3a;
    pub const ORIG_VIDEO_IS_VGA: u64 = 0x0f;
    pub const RSDP: u64 = 0x70;
    pub const EXT_CMD_LINE: u64 = 0xc8;
    pub const E820_ENTRIES: u64 = 0x1e8;
    pub const HDRS: u64 = 0x202;
    pub const CMD_LINE: u64 = 0x228;
    pub const E820: u64 = 0x2d0;
}
use zero_page::*;

const HEADER: u32 = u32::from_le_bytes(*b"HdrS");
/// VIDEO_TYPE_VLFB and VIDEO_TYPE_EFI.
const LINEAR: [u8; 2] = [0x23, 0x70];
/// VIDEO_CAPABILITY_64BIT_BASE
const WIDE_BASE: u32 = 1 << 1;
/// VIDEO_TYPE_VLFB counts its memory in 64 KiB.
const VESA_UNIT: u64 = 0x1_0000;

fn get<T: Copy>(at: u64) -> T {
    // SAFETY: the boot protocol gives the address, and nobody else uses that memory.
    unsafe { (at as *const T).read_unaligned() }
}

/// What a guest does first, in ring 3: sets its processor up and takes what is there at `info`.
pub fn begin(info: u64) -> Context {
    cpu::init();
    let context = take(info);
    time::init();
    apic::init();
    context
}

/// Takes what is there at `info`, and the heap's memory.
fn take(info: u64) -> Context {
    if get::<StartInfo>(info).magic == START_MAGIC {
        return pvh(&get(info));
    }
    if get::<u32>(info + HDRS) != HEADER {
        tap::bail(format_args!("neither a start info nor a zero page: {:#x}", get::<u32>(info)));
    }
    let map = (0..u64::from(get::<u8>(info + E820_ENTRIES))).map(|n| {
        let at = info + E820 + n * 20;
        [get(at), get(at + 8), get::<u32>(at + 16).into()]
    });
    rt::init(map);
    let cmdline = u64::from(get::<u32>(info + CMD_LINE)) | u64::from(get::<u32>(info + EXT_CMD_LINE)) << 32;
    // SAFETY: a zero-terminated string, says the protocol; boot.S and the allocator leave it alone.
    let cmdline = unsafe { rt::c_str(cmdline) };
    Context { cmdline, rsdp: get(info + RSDP), screen: framebuffer(info), others: Vec::new() }
}

fn pvh(info: &StartInfo) -> Context {
    rt::init((0..u64::from(info.memmap_entries)).map(|n| get(info.memmap_paddr + n * 24)));
    // SAFETY: as above.
    let cmdline = unsafe { rt::c_str(info.cmdline_paddr) };
    Context { cmdline, rsdp: info.rsdp_paddr, screen: None, others: Vec::new() }
}

fn framebuffer(info: u64) -> Option<Framebuffer> {
    let kind = get::<u8>(info + ORIG_VIDEO_IS_VGA);
    if !LINEAR.contains(&kind) {
        return None;
    }
    let wide = get::<u32>(info + CAPABILITIES) & WIDE_BASE != 0;
    let high = if wide { get::<u32>(info + EXT_LFB_BASE) } else { 0 };
    let at = u64::from(high) << 32 | u64::from(get::<u32>(info + LFB_BASE));
    let len = u64::from(get::<u32>(info + LFB_SIZE)) * if kind == LINEAR[0] { VESA_UNIT } else { 1 };
    cpu::map(at, len.max(1));
    Some(Framebuffer {
        kind,
        at,
        len,
        width: get::<u16>(info + LFB_WIDTH).into(),
        height: get::<u16>(info + LFB_HEIGHT).into(),
        depth: get(info + LFB_DEPTH),
        pitch: get(info + LFB_LINELENGTH),
        colours: [0, 2, 4].map(|n| (get(info + COLOURS + n), get(info + COLOURS + n + 1))),
    })
}
