//! The thread that owns a running device. To be written.

/// Tokens from here on are the device's own ([`super::Io::watch`]).
pub(super) const DEVICE_TOKEN: u64 = 1 << 32;
