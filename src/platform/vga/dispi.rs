//! The registers of Bochs's VBE interface ("DISPI"; Bochs: doc/docbook, "VBE in Bochs"; QEMU: docs/specs/standard-vga.rst).

use crate::host::screen::Size;

/// Registers by their index.
pub mod index {
    pub const ID: u16 = 0;
    pub const XRES: u16 = 1;
    pub const YRES: u16 = 2;
    pub const BPP: u16 = 3;
    pub const ENABLE: u16 = 4;
    pub const BANK: u16 = 5;
    pub const VIRT_WIDTH: u16 = 6;
    pub const VIRT_HEIGHT: u16 = 7;
    pub const X_OFFSET: u16 = 8;
    pub const Y_OFFSET: u16 = 9;
    pub const VIDEO_MEMORY_64K: u16 = 10;
}

/// Of ENABLE: a mode is set; XRES, YRES and BPP read as the most there is; the memory is seen as a whole (here it always
/// is); it is not cleared as the mode is set.
const ENABLED: u16 = 1 << 0;
const GETCAPS: u16 = 1 << 1;
const LFB_ENABLED: u16 = 1 << 6;
const NOCLEARMEM: u16 = 1 << 7;

/// The first and the newest version of the interface.
const ID_FIRST: u16 = 0xb0c0;
const ID_LAST: u16 = 0xb0c5;

/// Most of XRES, YRES and BPP.
const MOST: [u16; 3] = [16000, 12000, 32];

/// How a pixel is stored; of several bytes the lowest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 5 bits each; the highest bit of a pixel means nothing.
    Rgb555,
    Rgb565,
    /// Three bytes: blue, green, red.
    Rgb888,
    /// And one that means nothing.
    Xrgb8888,
}

impl Format {
    fn of(bits: u16) -> Option<Format> {
        match bits {
            15 => Some(Format::Rgb555),
            16 => Some(Format::Rgb565),
            24 => Some(Format::Rgb888),
            32 => Some(Format::Xrgb8888),
            _ => None,
        }
    }

    /// Of a pixel.
    pub fn bytes(self) -> u32 {
        match self {
            Format::Rgb555 | Format::Rgb565 => 2,
            Format::Rgb888 => 3,
            Format::Xrgb8888 => 4,
        }
    }
}

/// What is shown: it lies within the video memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    pub size: Size,
    pub format: Format,
    /// Bytes from a row to the next.
    pub pitch: u32,
    /// Where the first pixel is.
    pub start: u64,
}

impl Mode {
    /// As a kernel is told of it.
    pub fn is_plain(&self) -> bool {
        self.format == Format::Xrgb8888 && self.start == 0
    }
}

pub struct Dispi {
    /// Bytes of video memory.
    memory: u64,
    id: u16,
    xres: u16,
    yres: u16,
    bpp: u16,
    enable: u16,
    bank: u16,
    virt_width: u16,
    x_offset: u16,
    y_offset: u16,
}

impl Dispi {
    /// As at power-on, or with a mode set.
    pub fn new(boot: Option<Size>, memory: u64) -> Dispi {
        let side = |n: fn(Size) -> u32| boot.map_or(0, |size| u16::try_from(n(size)).unwrap_or(0));
        let (xres, yres) = (side(|s| s.width), side(|s| s.height));
        let (bpp, enable) = if boot.is_some() { (32, ENABLED | LFB_ENABLED) } else { (0, 0) };
        let (id, bank, x_offset, y_offset) = (ID_LAST, 0, 0, 0);
        Dispi { memory, id, xres, yres, bpp, enable, bank, virt_width: xres, x_offset, y_offset }
    }

    pub fn read(&self, register: u16) -> u16 {
        let [most_x, most_y, most_bits] = MOST;
        let caps = self.enable & GETCAPS != 0;
        match register {
            index::ID => self.id,
            index::XRES if caps => most_x,
            index::YRES if caps => most_y,
            index::BPP if caps => most_bits,
            index::XRES => self.xres,
            index::YRES => self.yres,
            index::BPP => self.bpp,
            index::ENABLE => self.enable,
            index::BANK => self.bank,
            index::VIRT_WIDTH => self.virt_width,
            index::VIRT_HEIGHT => self.virt_height(),
            index::X_OFFSET => self.x_offset,
            index::Y_OFFSET => self.y_offset,
            index::VIDEO_MEMORY_64K => u16::try_from(self.memory >> 16).unwrap_or(u16::MAX),
            _ => 0,
        }
    }

    /// True when the video memory is to be cleared.
    pub fn write(&mut self, register: u16, value: u16) -> bool {
        match register {
            index::ID if (ID_FIRST..=ID_LAST).contains(&value) => self.id = value,
            // While a mode is set its size stays.
            index::XRES if self.enable & ENABLED == 0 => self.xres = value,
            index::YRES if self.enable & ENABLED == 0 => self.yres = value,
            index::BPP if self.enable & ENABLED == 0 => self.bpp = value,
            index::ENABLE => {
                let new = value & ENABLED != 0 && self.enable & ENABLED == 0;
                self.enable = value;
                if new {
                    (self.virt_width, self.x_offset, self.y_offset) = (self.xres, 0, 0);
                }
                return new && value & NOCLEARMEM == 0;
            }
            // There are no banks: all of the memory is seen.
            index::BANK => self.bank = value,
            index::VIRT_WIDTH => self.virt_width = value.max(self.xres),
            index::X_OFFSET => self.x_offset = value,
            index::Y_OFFSET => self.y_offset = value,
            _ => {}
        }
        false
    }

    /// Rows of the width VIRT_WIDTH that there is memory for.
    fn virt_height(&self) -> u16 {
        let bytes = Format::of(self.bpp).map_or(1, Format::bytes);
        let pitch = u64::from(self.virt_width) * u64::from(bytes);
        self.memory.checked_div(pitch).map_or(0, |rows| u16::try_from(rows).unwrap_or(u16::MAX))
    }

    /// What is shown; `None`: nothing, or what there is no memory for.
    pub fn mode(&self) -> Option<Mode> {
        let format = Format::of(self.bpp).filter(|_| self.enable & ENABLED != 0)?;
        let size = Size::checked(u32::from(self.xres), u32::from(self.yres))?;
        let pitch = u32::from(self.virt_width).checked_mul(format.bytes())?;
        let row = u64::from(size.width) * u64::from(format.bytes());
        let left = u64::from(self.x_offset) * u64::from(format.bytes());
        let start = u64::from(self.y_offset) * u64::from(pitch) + left;
        let end = start + u64::from(size.height - 1) * u64::from(pitch) + row;
        let whole = self.virt_width >= self.xres && end <= self.memory;
        whole.then_some(Mode { size, format, pitch, start })
    }
}
