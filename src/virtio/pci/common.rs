//! The common configuration structure (virtio 1.2, 4.1.4.3). It reads at any width; it is written
//! a field at a time, 64-bit fields also by halves (4.1.3.1), and other writes do nothing.

use super::interrupts::Interrupts;
use crate::virtio::handshake::{Area, Handshake};

/// Bytes, up to queue_notify_data, which needs a feature that is not offered.
pub(super) const LEN: u64 = 0x38;

pub(super) fn read(r: &Handshake, interrupts: &Interrupts, at: u64, data: &mut [u8]) {
    let fields = image(r, interrupts);
    let from = usize::try_from(at).ok().and_then(|at| fields.get(at..)).unwrap_or_default();
    data.fill(0);
    data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn image(r: &Handshake, interrupts: &Interrupts) -> Vec<u8> {
    let mut out = Vec::with_capacity(LEN as usize);
    let queue = r.queue();
    for word in [r.device_page, r.device_features(), r.driver_page, r.driver_features()] {
        out.extend(word.to_le_bytes());
    }
    out.extend(interrupts.config_vector().to_le_bytes());
    out.extend((r.queues() as u16).to_le_bytes());
    out.extend([r.status(), r.config().generation() as u8]);
    let size = queue.map_or(0, |q| q.size);
    let enable = queue.map_or(0, |q| u16::from(q.ready));
    for half in [r.selected, size, interrupts.vector(r.selected), enable, r.selected] {
        out.extend(half.to_le_bytes());
    }
    for address in queue.map_or([0; 3], |q| [q.desc, q.driver, q.device]) {
        out.extend(address.to_le_bytes());
    }
    out
}

pub(super) fn write(r: &mut Handshake, interrupts: &Interrupts, at: u64, data: &[u8]) {
    match *data {
        [status] if at == 0x14 => r.set_status(status),
        [a, b] => half_word(r, interrupts, at, u16::from_le_bytes([a, b])),
        [a, b, c, d] => word(r, at, u32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] if matches!(at, 0x20 | 0x28 | 0x30) => {
            word(r, at, u32::from_le_bytes([a, b, c, d]));
            word(r, at + 4, u32::from_le_bytes([e, f, g, h]));
        }
        _ => {}
    }
}

fn half_word(r: &mut Handshake, interrupts: &Interrupts, at: u64, value: u16) {
    match at {
        0x10 => interrupts.set_config_vector(value),
        0x16 => r.selected = value,
        0x18 => r.set_size(u32::from(value)),
        0x1a => interrupts.set_vector(r.selected, value),
        // The driver must not write 0 (4.1.4.3.2): only a reset disables a queue.
        0x1c if value == 1 => r.set_ready(true),
        _ => {}
    }
}

fn word(r: &mut Handshake, at: u64, value: u32) {
    match at {
        0x00 => r.device_page = value,
        0x08 => r.driver_page = value,
        0x0c => r.set_driver_features(value),
        0x20 => r.set_address(Area::Desc, 0, value),
        0x24 => r.set_address(Area::Desc, 1, value),
        0x28 => r.set_address(Area::Driver, 0, value),
        0x2c => r.set_address(Area::Driver, 1, value),
        0x30 => r.set_address(Area::Device, 0, value),
        0x34 => r.set_address(Area::Device, 1, value),
        _ => {}
    }
}
