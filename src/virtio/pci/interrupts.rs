//! How a device on PCI interrupts: a message for each queue and one for the configuration, as the driver chose,
//! or, without MSI-X, INTA with the ISR status register (virtio 1.2, 4.1.5.1, 4.1.4.5).

use crate::irq::{Line, Messages};
use crate::pci::Msix;
use crate::sys::Lock;
use crate::virtio::handshake::Signals;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// VIRTIO_MSI_NO_VECTOR.
const NO_VECTOR: u16 = 0xffff;
/// ISR status.
const QUEUE: u8 = 1;
const CONFIG: u8 = 2;

pub(super) struct Interrupts {
    pub msix: Msix,
    /// The vector of each queue, and after them that of the configuration.
    vectors: Vec<AtomicU16>,
    intx: Lock<Intx>,
}

/// The lock is a leaf.
struct Intx {
    line: Arc<dyn Line>,
    isr: u8,
    /// By COMMAND, or because MSI-X is enabled.
    disabled: bool,
    msix: bool,
    up: bool,
}

impl Interrupts {
    pub fn new(queues: usize, most: usize, messages: Arc<dyn Messages>, line: Arc<dyn Line>) -> Result<Interrupts> {
        let count = queues.saturating_add(1);
        Ok(Interrupts {
            msix: Msix::new(u16::try_from(count.min(most))?, messages)?,
            vectors: (0..count).map(|_| AtomicU16::new(NO_VECTOR)).collect(),
            intx: Lock::new(Intx { line, isr: 0, disabled: false, msix: false, up: false }),
        })
    }

    /// Of queue `queue`; NO_VECTOR also if there is no such queue.
    pub fn vector(&self, queue: u16) -> u16 {
        self.queue(queue).map_or(NO_VECTOR, |v| v.load(Ordering::Acquire))
    }

    /// A vector that does not exist is answered with NO_VECTOR (4.1.5.1.2.1).
    pub fn set_vector(&self, queue: u16, vector: u16) {
        if let Some(to) = self.queue(queue) {
            self.assign(to, vector);
        }
    }

    pub fn config_vector(&self) -> u16 {
        self.vectors.last().map_or(NO_VECTOR, |v| v.load(Ordering::Acquire))
    }

    pub fn set_config_vector(&self, vector: u16) {
        if let Some(to) = self.vectors.last() {
            self.assign(to, vector);
        }
    }

    fn queue(&self, queue: u16) -> Option<&AtomicU16> {
        self.vectors.split_last()?.1.get(usize::from(queue))
    }

    fn assign(&self, to: &AtomicU16, vector: u16) {
        let exists = vector < self.msix.vectors();
        to.store(if exists { vector } else { NO_VECTOR }, Ordering::Release);
    }

    /// The driver reads the ISR status, which clears it and lets the line go.
    pub fn take_isr(&self) -> u8 {
        let mut intx = self.intx.lock();
        let isr = std::mem::take(&mut intx.isr);
        intx.update();
        isr
    }

    /// Interrupt Status of the STATUS register: INTA is, or would be, asserted.
    pub fn pending(&self) -> bool {
        let intx = self.intx.lock();
        intx.isr != 0 && !intx.msix
    }

    pub fn disable_intx(&self, disabled: bool) {
        let mut intx = self.intx.lock();
        intx.disabled = disabled;
        intx.update();
    }

    pub fn set_msix_control(&self, control: u16) {
        self.msix.set_control(control);
        let mut intx = self.intx.lock();
        intx.msix = self.msix.enabled();
        intx.update();
    }

    /// As after power-on. The device was reset before.
    pub fn power_on(&self) {
        self.msix.reset();
        let mut intx = self.intx.lock();
        (intx.isr, intx.disabled, intx.msix) = (0, false, false);
        intx.update();
    }

    fn assert(&self, bit: u8) {
        let mut intx = self.intx.lock();
        intx.isr |= bit;
        intx.update();
    }
}

impl Intx {
    fn update(&mut self) {
        let up = self.isr != 0 && !self.disabled && !self.msix;
        if up != self.up {
            self.up = up;
            self.line.set(up);
        }
    }
}

impl Signals for Interrupts {
    fn used(&self, queue: u16) {
        if !self.msix.raise(self.vector(queue)) {
            self.assert(QUEUE);
        }
    }

    /// The bit in the ISR status is also for a driver that uses MSI-X (4.1.4.5.1).
    fn config_changed(&self) {
        self.assert(CONFIG);
        self.msix.raise(self.config_vector());
    }

    fn reset(&self) {
        self.vectors.iter().for_each(|v| v.store(NO_VECTOR, Ordering::Release));
        self.take_isr();
    }
}
