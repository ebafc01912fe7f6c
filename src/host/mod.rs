//! Host ends: what devices are made of on the host side. Knows nothing of virtio.

pub mod image;
pub mod link;
pub mod nvram;
pub mod share;
pub mod stream;
