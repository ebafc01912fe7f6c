//! Disk images: bytes at offsets, whatever the format. To be written.
