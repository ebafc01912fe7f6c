//! The metadata of qcow2 images (QEMU, docs/interop/qcow2.txt): the header, tables, refcounts and snapshots, which
//! imago does not give: for `kiln image`, and for the images that imago refuses.
//!
//! A change is made in an order that leaves a whole image wherever it is cut off, with clusters lost at worst: see
//! [`change`].

mod bitmaps;
mod change;
pub mod check;
pub mod header;
mod refcounts;
pub mod resize;
pub mod snapshot;
pub mod tables;
mod walk;

#[cfg(test)]
mod tests;
