//! The eventfds through which the driver's notifications reach a running device: rung by KVM (a doorbell on the address
//! the driver writes to), or by the transport when the write came through the bus. None exist before DRIVER_OK.

use crate::bus::{Door, Doorbells};
use crate::sys::{EventFd, eventfd};
use anyhow::{Context, Result};
use std::sync::Arc;

pub(super) struct Kicks {
    doorbells: Arc<dyn Doorbells>,
    /// Where the driver notifies a queue, by the modern or the legacy interface; `None` while that is not decoded.
    place: Box<dyn Fn(u16, bool) -> Option<Door> + Send>,
    legacy: bool,
    bells: Vec<Arc<EventFd>>,
    /// Queues that the driver enabled: the others need no doorbell.
    enabled: Vec<bool>,
    attached: Vec<(Door, Arc<EventFd>)>,
}

impl Kicks {
    pub fn new(doorbells: Arc<dyn Doorbells>, place: impl Fn(u16, bool) -> Option<Door> + Send + 'static) -> Kicks {
        let (bells, enabled, attached) = (Vec::new(), Vec::new(), Vec::new());
        Kicks { doorbells, place: Box::new(place), legacy: false, bells, enabled, attached }
    }

    /// Makes an eventfd for each queue; `enabled` says which of them the driver will notify, and `legacy` by which interface.
    pub fn open(&mut self, enabled: Vec<bool>, legacy: bool) -> Result<&[Arc<EventFd>]> {
        self.legacy = legacy;
        let bells: std::io::Result<_> = enabled.iter().map(|_| Ok(Arc::new(eventfd()?))).collect();
        (self.bells, self.enabled) = (bells.context("create an eventfd")?, enabled);
        Ok(&self.bells)
    }

    /// Lets KVM ring them. What it refuses still arrives through the bus, only slower.
    pub fn attach(&mut self) {
        for (queue, (bell, _)) in self.bells.iter().zip(&self.enabled).enumerate().filter(|(_, (_, enabled))| **enabled)
        {
            let place = u16::try_from(queue).ok().and_then(|queue| (self.place)(queue, self.legacy));
            let Some(place) = place else { continue };
            match self.doorbells.attach(place, bell) {
                Ok(()) => self.attached.push((place, bell.clone())),
                Err(e) => log::debug!("queue {queue}: {e:#}"),
            }
        }
    }

    pub fn detach(&mut self) {
        for (door, bell) in self.attached.drain(..) {
            if let Err(e) = self.doorbells.detach(door, &bell) {
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
