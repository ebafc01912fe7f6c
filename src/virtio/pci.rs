//! The PCI transport. To be written.
