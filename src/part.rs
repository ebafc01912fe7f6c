//! The one lifecycle for everything a machine is made of.

use anyhow::Result;

/// A vCPU, an interrupt chip, a serial port, a virtio device behind its transport.
pub trait Part: Send + Sync {
    /// Unique and stable: `vcpu0`, `disk0`.
    fn name(&self) -> &str;

    /// Back to the state after power-on. Only called while no vCPU runs.
    /// When it returns, nothing of the part touches guest memory any more.
    fn reset(&self) -> Result<()>;
}
