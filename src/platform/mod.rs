//! The devices of the board that are not virtio. Each answers port accesses ([`crate::bus::Mmio`]) and is a [`crate::part::Part`].
