//! What the host's half of the self-test and the guest have agreed on; both include this file.
//! The disk: what it holds before and after. The console: what the guest says there, and what it is answered.

/// Bytes of the disk.
pub const DISK: u64 = 16 << 20;
/// What the device says when asked for its name (virtio 1.2, 5.2.6: GET_ID).
pub const SERIAL: &str = "kiln-selftest";

/// A part of the disk, in bytes, and the pattern it holds; pattern 0 is all zeroes.
pub struct Part {
    pub at: u64,
    pub len: u64,
    pub pattern: u64,
}

const fn part(at: u64, len: u64, pattern: u64) -> Part {
    Part { at, len, pattern }
}

/// Written by the host, read by the guest.
pub const GIVEN: Part = part(0, 1 << 20, 1);
/// Written by the guest in large requests of several pieces.
pub const LARGE: Part = part(1 << 20, 2 << 20, 2);
/// Written by the guest in pages, many at the same time.
pub const SMALL: Part = part(3 << 20, 1 << 20, 3);
/// A piece for each queue, 64 KiB long, up to 16 of them; not all need be there.
pub const QUEUES: Part = part(4 << 20, 1 << 20, 4);
/// Inside LARGE: written over with zeroes.
pub const ZEROED: Part = part((2 << 20) + 4096, 64 << 10, 0);
/// Written, then discarded: holds anything afterwards.
pub const DISCARDED: Part = part(6 << 20, 1 << 20, 5);
/// The very end.
pub const LAST: Part = part(DISK - 4096, 4096, 6);

/// Fills `bytes`, which begin at byte `at` of the disk (a multiple of 8), with a pattern.
pub fn fill(pattern: u64, at: u64, bytes: &mut [u8]) {
    for (i, word) in bytes.chunks_mut(8).enumerate() {
        let value = match pattern {
            0 => 0,
            _ => mix(pattern << 56 ^ (at / 8 + i as u64)),
        };
        word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
    }
}

/// Where `bytes`, from byte `at` of the disk, differ from the pattern.
pub fn difference(pattern: u64, at: u64, bytes: &[u8]) -> Option<u64> {
    let mut want = [0; 8];
    for (i, word) in bytes.chunks(8).enumerate() {
        let here = at + i as u64 * 8;
        fill(pattern, here, &mut want);
        if let Some(n) = word.iter().zip(want).position(|(a, b)| *a != b) {
            return Some(here + n as u64);
        }
    }
    None
}

/// The finalizer of splitmix64.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The first line that the guest sends to the console, and the length of the second.
pub const CONSOLE_TEXT: &[u8] = b"kiln self-test console\n";
pub const CONSOLE_LONG: usize = 4096;
/// How often the guest then asks for an answer.
pub const CONSOLE_TURNS: u32 = 3;

/// Byte `n` of the second line: all that can be printed, in turn.
pub fn console_byte(n: usize) -> u8 {
    b'!' + (n % 94) as u8
}
