//! PCI: configuration space, MSI-X and INTx, with the entropy device as the one that interrupts.

use crate::cpu::{self, Page};
use crate::port::{read8, read16, read32};
use crate::virtio::{self, Buffer, rng::Rng};
use crate::{Context, Result, acpi, apic, ensure, note, pci, rt, time};
use alloc::boxed::Box;

/// Bytes of a function's configuration space that never change by themselves: all but command and status.
fn stable() -> impl Iterator<Item = u8> {
    (0..=252).step_by(4).filter(|at| *at != 4)
}

pub fn configuration(context: &mut Context) -> Result {
    let functions = pci::scan();
    ensure!(!functions.is_empty(), "there is nothing on the buses");
    let mcfg = acpi::tables(context.rsdp)?;
    let base = acpi::find(&mcfg, "MCFG")?.number::<8>(44);
    for f in &functions {
        let ecam = f.ecam(base);
        cpu::map(ecam, 4096);
        for at in stable() {
            let (port, memory) = (f.read32(at), read32(ecam + u64::from(at)));
            let place = (f.bus, f.device, f.function, at);
            ensure!(port == memory, "{place:x?}: {port:#x} by the ports, {memory:#x} by ECAM");
            let halves = u32::from(f.read16(at)) | u32::from(f.read16(at + 2)) << 16;
            let bytes = (0..4).fold(0, |word, i| word | u32::from(f.read8(at + i)) << (8 * i));
            ensure!(halves == port && bytes == port, "{place:x?}: {port:#x}, {halves:#x}, {bytes:#x}");
            let halves = u32::from(read16(ecam + u64::from(at))) | u32::from(read16(ecam + u64::from(at) + 2)) << 16;
            let bytes = (0..4).fold(0, |word, i| word | u32::from(read8(ecam + u64::from(at) + i)) << (8 * i));
            ensure!(halves == port && bytes == port, "{place:x?} by ECAM: {port:#x}, {halves:#x}, {bytes:#x}");
        }
        ensure!(read32(ecam + 0x1000 - 4) != !0 || f.vendor() == 0, "ECAM ends early");
    }
    note!("{} functions", functions.len());
    Ok(())
}

/// The entropy device, seen as what it is on this transport.
fn device() -> Result<virtio::pci::Device> {
    let function = virtio::pci::functions(4).into_iter().next();
    virtio::pci::Device::new(function.ok_or("there is no entropy device")?)
}

/// A masked vector pends, and comes when the mask is gone (6.8.3.4, 6.8.3.5).
pub fn masks(_: &mut Context) -> Result {
    let device = device()?;
    let msix = device.msix;
    if let Some(status) = device.status_by_config() {
        let direct = virtio::Transport::status(&device);
        ensure!(status == direct, "the status is {direct:#x}, and {status:#x} through configuration space");
    }
    let mut rng = Rng::with(Box::new(device), 0)?;
    let vector = rng.queue.vector;
    let page = Page::boot();
    let (address, data, masked) = msix.programmed(0);
    let want = (0xfee0_0000 | u64::from(apic::boot_id()) << 12, u32::from(vector), false);
    ensure!((address, data, masked) == want, "the table reads {address:#x}, {data:#x}, {masked}");
    let bytes = rt::pages(64, 16);
    for whole in [false, true] {
        let seen = page.count(vector);
        if whole {
            msix.mask_all(true)
        } else {
            msix.mask(0, true)
        };
        rng.queue.add(&[Buffer::into(bytes)])?;
        rng.queue.kick();
        ensure!(time::spin(|| rng.queue.has_used()), "no answer while the vector is masked");
        ensure!(time::spin(|| msix.is_pending(0)), "the interrupt does not pend while masked");
        ensure!(page.count(vector) == seen, "an interrupt came through the mask");
        if whole {
            msix.mask_all(false)
        } else {
            msix.mask(0, false)
        };
        ensure!(pci::interrupted(vector, seen), "the pending interrupt was lost");
        ensure!(!msix.is_pending(0), "it pends still");
        rng.queue.pop()?;
    }
    rng.fill(bytes)
}

/// Without MSI-X a device has its INTx line, level triggered, until its ISR status is read (virtio 1.2, 4.1.4.5).
/// The ring 0 stubs do not know how to calm a device, so the interrupt is awaited with interrupts off, in the IRR.
pub fn intx(_: &mut Context) -> Result {
    let mut device = device()?;
    let pin = device.function.read8(0x3d);
    ensure!((1..=4).contains(&pin), "the interrupt pin reads {pin}");
    let gsi = 16 + (u32::from(device.function.device) + u32::from(pin) - 1) % 4;
    let vector = cpu::vector();
    device.msix.enable(false);
    device.function.set_intx(true);
    device.intx = Some(vector);
    let (function, isr) = (device.function, device.isr_address());
    let mut rng = Rng::with(Box::new(device), 0)?;
    let page = Page::boot();
    let bytes = rt::pages(64, 16);
    cpu::interrupts(false);
    apic::route_level(gsi, vector);
    rng.queue.add(&[Buffer::into(bytes)])?;
    rng.queue.kick();
    let came = time::spin(|| apic::requested(vector));
    let status = function.read16(6);
    let reason = read8(isr);
    let calm = function.read16(6);
    cpu::interrupts(true);
    let counted = time::spin(|| page.count(vector) > 0);
    time::delay(1000);
    let count = page.count(vector);
    apic::unroute(gsi);
    function.set_intx(false);
    ensure!(came && counted, "no interrupt on line {gsi} (ISR status {reason:#x}, PCI status {status:#x})");
    ensure!(reason & 1 == 1, "the ISR status reads {reason:#x}");
    ensure!(status & 8 == 8 && calm & 8 == 0, "PCI status {status:#x}, then {calm:#x}: the interrupt bit is wrong");
    ensure!(count == 1, "{count} interrupts for one request: the line stays asserted");
    ensure!(rng.queue.pop()?.is_some(), "an interrupt without an answer");
    Ok(())
}
