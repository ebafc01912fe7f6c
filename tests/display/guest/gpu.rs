//! A graphics adapter (virtio 1.2, 5.7), two-dimensional.

use crate::picture::{CURSOR, cursor, pixel};
use crate::tap::line;
use crate::virtio::{self, Buffer, Device, EVENT_IDX, INDIRECT, Queue};
use crate::{Context, Result, ensure, rt};
use alloc::vec::Vec;

const ID: u32 = 16;
const F_EDID: u64 = 1 << 1;
/// Fields of the configuration, and what `events_read` may hold.
const EVENTS_READ: u64 = 0;
const EVENTS_CLEAR: u64 = 4;
const NUM_SCANOUTS: u64 = 8;
const EVENT_DISPLAY: u32 = 1;

/// Commands and answers (5.7.6.7).
const GET_DISPLAY_INFO: u32 = 0x100;
const RESOURCE_CREATE_2D: u32 = 0x101;
const RESOURCE_UNREF: u32 = 0x102;
const SET_SCANOUT: u32 = 0x103;
const RESOURCE_FLUSH: u32 = 0x104;
const TRANSFER_TO_HOST_2D: u32 = 0x105;
const ATTACH_BACKING: u32 = 0x106;
const GET_EDID: u32 = 0x10a;
const UPDATE_CURSOR: u32 = 0x300;
const OK_NODATA: u32 = 0x1100;
const OK_DISPLAY_INFO: u32 = 0x1101;
const OK_EDID: u32 = 0x1104;
const B8G8R8A8: u32 = 1;
const B8G8R8X8: u32 = 2;
/// Bytes of the header that every command and answer has, and its flag for a fence.
const HEADER: usize = 24;
const FENCE: u32 = 1;

/// Pieces of the backing memory, which is not one: guests have it in pages.
const PIECE: usize = 1 << 20;
/// The most that a screen here needs: the memory is taken once.
const LARGEST: usize = 2560 * 1600 * 4;

const SCREEN: u32 = 1;
const POINTER: u32 = 2;

pub struct Gpu {
    device: Device,
    control: Queue,
    cursor: Queue,
    request: &'static mut [u8],
    answer: &'static mut [u8],
    pixels: &'static mut [u8],
    width: u32,
    height: u32,
    fence: u64,
}

/// `u32` fields one after the other.
fn fields(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Gpu {
    pub fn open(context: &Context) -> Result<Gpu> {
        let mut device = Device::new(virtio::first(context, ID)?, F_EDID | EVENT_IDX | INDIRECT)?;
        device.transport.config_vector()?;
        let (mut control, mut cursor) = (device.queue(0, 64)?, device.queue(1, 16)?);
        device.start()?;
        control.set_interrupts(false);
        cursor.set_interrupts(false);
        ensure!(device.transport.config32(NUM_SCANOUTS) >= 1, "there is no scanout");
        Ok(Gpu {
            device,
            control,
            cursor,
            request: rt::pages(4096, 4096),
            answer: rt::pages(4096, 4096),
            pixels: rt::pages(LARGEST, 4096),
            width: 0,
            height: 0,
            fence: 0,
        })
    }

    /// One command with a fence, and its answer's data.
    fn ask(&mut self, command: u32, data: &[u8], wanted: u32) -> Result<&[u8]> {
        self.fence += 1;
        self.request.fill(0);
        self.request[..8].copy_from_slice(&fields(&[command, FENCE]));
        self.request[8..16].copy_from_slice(&self.fence.to_le_bytes());
        self.request[HEADER..HEADER + data.len()].copy_from_slice(data);
        self.answer.fill(0xee);
        let request = Buffer::out(&self.request[..HEADER + data.len()]);
        let used = self.control.request(&[request, Buffer::into(self.answer)])? as usize;
        // SAFETY: the device wrote it, behind the compiler's back.
        let (kind, flags) = unsafe {
            let words = self.answer.as_ptr().cast::<u32>();
            (words.read_volatile(), words.add(1).read_volatile())
        };
        let fence = u64::from_le_bytes(self.answer[8..16].try_into().unwrap_or_default());
        ensure!(kind == wanted, "command {command:#x} is answered with {kind:#x}");
        ensure!(flags & FENCE != 0 && fence == self.fence, "fence {} comes back as {flags:#x} {fence}", self.fence);
        ensure!((HEADER..=4096).contains(&used), "command {command:#x} has an answer of {used} bytes");
        Ok(&self.answer[HEADER..used])
    }

    fn tell(&mut self, command: u32, data: &[u32]) -> Result {
        self.ask(command, &fields(data), OK_NODATA).map(|_| ())
    }

    /// What the first scanout would like.
    fn preferred(&mut self) -> Result<(u32, u32)> {
        let info = self.ask(GET_DISPLAY_INFO, &[], OK_DISPLAY_INFO)?;
        ensure!(info.len() == 16 * 24, "the display information has {} bytes", info.len());
        let word = |n: usize| u32::from_le_bytes([info[n * 4], info[n * 4 + 1], info[n * 4 + 2], info[n * 4 + 3]]);
        let (width, height, enabled) = (word(2), word(3), word(4));
        ensure!(enabled != 0, "the first scanout is not enabled");
        Ok((width, height))
    }

    /// The preferred mode that the EDID tells (VESA E-EDID 1.4, 3.10.2: the first detailed timing).
    fn edid(&mut self) -> Result<(u32, u32)> {
        let answer = self.ask(GET_EDID, &fields(&[0, 0]), OK_EDID)?;
        let size = u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]) as usize;
        ensure!(size >= 128 && size % 128 == 0 && size <= 1024, "an EDID of {size} bytes");
        let edid = &answer[8..8 + size];
        ensure!(edid[..8] == [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], "the EDID begins with {:02x?}", &edid[..8]);
        for block in edid.chunks(128) {
            ensure!(block.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) == 0, "an EDID's checksum is wrong");
        }
        let timing = &edid[54..72];
        let side = |low: usize, high: usize| u32::from(timing[low]) | u32::from(timing[high] >> 4) << 8;
        Ok((side(2, 4), side(5, 7)))
    }

    /// The first picture.
    pub fn begin(&mut self, n: u32) -> Result {
        let (width, height) = self.preferred()?;
        if self.device.has(F_EDID) {
            let edid = self.edid()?;
            line(format_args!("edid {}x{}", edid.0, edid.1));
            ensure!(edid == (width, height), "the display information says {width}x{height}");
        }
        self.resize(width, height, n)
    }

    /// Another resource of this size becomes the screen.
    fn resize(&mut self, width: u32, height: u32, n: u32) -> Result {
        let len = width as usize * height as usize * 4;
        ensure!(len > 0 && len <= LARGEST, "a screen of {width}x{height}");
        if self.width != 0 {
            self.tell(SET_SCANOUT, &[0, 0, 0, 0, 0, 0])?;
            self.tell(RESOURCE_UNREF, &[SCREEN, 0])?;
        }
        (self.width, self.height) = (width, height);
        self.tell(RESOURCE_CREATE_2D, &[SCREEN, B8G8R8X8, width, height])?;
        let at = self.pixels.as_ptr() as u64;
        let mut attach = Vec::from([SCREEN, len.div_ceil(PIECE) as u32]);
        for from in (0..len).step_by(PIECE) {
            let piece = at + from as u64;
            attach.extend([piece as u32, (piece >> 32) as u32, PIECE.min(len - from) as u32, 0]);
        }
        self.tell(ATTACH_BACKING, &attach)?;
        self.draw(n);
        self.tell(SET_SCANOUT, &[0, 0, width, height, 0, SCREEN])?;
        self.show()?;
        line(format_args!("gpu {width}x{height}"));
        Ok(())
    }

    /// Into our own memory, which nobody sees yet.
    pub fn draw(&mut self, n: u32) {
        let rows = self.pixels.chunks_exact_mut(self.width as usize * 4).zip(0..self.height);
        for (row, y) in rows {
            for (to, x) in row.as_chunks_mut::<4>().0.iter_mut().zip(0..) {
                *to = pixel(n, x, y).to_le_bytes();
            }
        }
    }

    /// To the device, and on the screen.
    pub fn show(&mut self) -> Result {
        let (width, height) = (self.width, self.height);
        self.tell(TRANSFER_TO_HOST_2D, &[0, 0, width, height, 0, 0, SCREEN, 0])?;
        self.tell(RESOURCE_FLUSH, &[0, 0, width, height, SCREEN, 0])
    }

    /// Shows a pointer at this place.
    pub fn point(&mut self, x: u32, y: u32) -> Result {
        let memory = rt::pages((CURSOR * CURSOR * 4) as usize, 4096);
        for (to, n) in memory.as_chunks_mut::<4>().0.iter_mut().zip(0..) {
            *to = cursor(n % CURSOR, n / CURSOR).to_le_bytes();
        }
        self.tell(RESOURCE_CREATE_2D, &[POINTER, B8G8R8A8, CURSOR, CURSOR])?;
        let at = memory.as_ptr() as u64;
        self.tell(ATTACH_BACKING, &[POINTER, 1, at as u32, (at >> 32) as u32, memory.len() as u32, 0])?;
        self.tell(TRANSFER_TO_HOST_2D, &[0, 0, CURSOR, CURSOR, 0, 0, POINTER, 0])?;
        let mut request = fields(&[UPDATE_CURSOR, 0, 0, 0, 0, 0]);
        request.extend(fields(&[0, x, y, 0, POINTER, 3, 2, 0]));
        self.request[..request.len()].copy_from_slice(&request);
        let buffer = Buffer::out(&self.request[..request.len()]);
        self.cursor.request(&[buffer]).map(|_| ())
    }

    /// After a change of the display, the screen has the size that is wished for.
    pub fn follow(&mut self, n: u32) -> Result {
        if self.device.transport.config32(EVENTS_READ) & EVENT_DISPLAY == 0 {
            return Ok(());
        }
        self.device.transport.set_config32(EVENTS_CLEAR, EVENT_DISPLAY);
        let (width, height) = self.preferred()?;
        if (width, height) != (self.width, self.height) {
            self.resize(width, height, n)?;
        }
        Ok(())
    }
}
