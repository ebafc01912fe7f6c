//! The eventfds through which the driver's notifications reach a running device: rung by KVM (a doorbell on the address
//! the driver writes to), or by the transport when the write came through the bus. None exist before DRIVER_OK.

use crate::bus::Doorbells;
use crate::sys::{EventFd, eventfd};
use anyhow::{Context, Result};
use std::sync::Arc;

/// Where the driver notifies a queue: a guest physical address, and the value it writes if the address does not say all.
pub(super) type Place = (u64, Option<u32>);

pub(super) struct Kicks {
    doorbells: Arc<dyn Doorbells>,
    /// `None` while the address is not decoded.
    place: Box<dyn Fn(u16) -> Option<Place> + Send>,
    bells: Vec<Arc<EventFd>>,
    /// Queues that the driver enabled: the others need no doorbell.
    enabled: Vec<bool>,
    attached: Vec<(Place, Arc<EventFd>)>,
}

impl Kicks {
    pub fn new(doorbells: Arc<dyn Doorbells>, place: impl Fn(u16) -> Option<Place> + Send + 'static) -> Kicks {
        Kicks { doorbells, place: Box::new(place), bells: Vec::new(), enabled: Vec::new(), attached: Vec::new() }
    }

    /// Makes an eventfd for each queue; `enabled` says which of them the driver will notify.
    pub fn open(&mut self, enabled: Vec<bool>) -> Result<&[Arc<EventFd>]> {
        let bells: std::io::Result<_> = enabled.iter().map(|_| Ok(Arc::new(eventfd()?))).collect();
        (self.bells, self.enabled) = (bells.context("create an eventfd")?, enabled);
        Ok(&self.bells)
    }

    /// Lets KVM ring them. What it refuses still arrives through the bus, only slower.
    pub fn attach(&mut self) {
        for (queue, (bell, _)) in self.bells.iter().zip(&self.enabled).enumerate().filter(|(_, (_, enabled))| **enabled)
        {
            let Some(place) = u16::try_from(queue).ok().and_then(&self.place) else { continue };
            match self.doorbells.attach(place.0, place.1, bell) {
                Ok(()) => self.attached.push((place, bell.clone())),
                Err(e) => log::debug!("queue {queue}: {e:#}"),
            }
        }
    }

    pub fn detach(&mut self) {
        for ((at, value), bell) in self.attached.drain(..) {
            if let Err(e) = self.doorbells.detach(at, value, &bell) {
                log::error!("{e:#}");
            }
        }
    }

    /// The address changed.
    pub fn moved(&mut self) {
        self.detach();
        self.attach();
    }

    pub fn close(&mut self) {
        self.detach();
        self.bells.clear();
    }

    /// The driver notified `queue`, and the write came here. Before DRIVER_OK it means nothing:
    /// a device looks at all its queues when it starts.
    pub fn ring(&self, queue: u32) {
        let bell = usize::try_from(queue).ok().and_then(|queue| self.bells.get(queue));
        if let Some(Err(e)) = bell.map(|bell| bell.write(1)) {
            log::error!("kick queue {queue}: {e}");
        }
    }
}

impl Drop for Kicks {
    fn drop(&mut self) {
        self.detach();
    }
}
