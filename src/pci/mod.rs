//! PCI (PCI Local Bus 3.0): the root bus, configuration space, BARs and MSI-X. To be written.
