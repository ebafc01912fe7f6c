//! Host ends: what devices are made of on the host side. Knows nothing of virtio.

pub mod clipboard;
pub mod display;
pub mod http;
pub mod image;
pub mod link;
pub mod nvram;
pub mod reception;
pub mod screen;
pub mod seat;
pub mod share;
pub mod sound;
pub mod stream;
