//! The MMIO transport. To be written.
