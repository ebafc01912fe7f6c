//! A directory of the host, served to a guest: a FUSE server that knows no virtio.
