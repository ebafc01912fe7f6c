//! Ways to interrupt the guest, whatever carries them (an irqfd, a chip's input pin, a test).

#[cfg(test)]
pub mod fakes;
mod shared;

pub use shared::Shared;

/// A message or an edge: an MSI vector, an edge-triggered line.
pub trait Interrupt: Send + Sync {
    fn raise(&self);
}

/// A level: an input pin of the interrupt controllers.
pub trait Line: Send + Sync {
    fn set(&self, asserted: bool);
}

/// A message-signalled interrupt (MSI) that the guest programs.
pub trait Message: Interrupt {
    /// From now on `raise` sends `data` to `address` (PCI 3.0, 6.8.1). Cheap when nothing changed.
    fn program(&self, address: u64, data: u32) -> anyhow::Result<()>;
}

/// Where messages come from: the interrupt controller's side of MSI.
pub trait Messages: Send + Sync {
    fn allocate(&self) -> anyhow::Result<std::sync::Arc<dyn Message>>;
}
