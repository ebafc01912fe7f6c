//! The metadata of qcow2 images (QEMU, docs/interop/qcow2.txt): the header, tables, refcounts and snapshots, which
//! imago does not give: for `kiln image`, and for the images that imago refuses.

pub mod header;
