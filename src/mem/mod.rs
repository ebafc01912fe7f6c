//! Guest memory: one memfd, mapped once, that the guest changes under our feet.
//! Nobody gets a Rust reference into it: a [`Slice`] copies, or is given to a system call.

mod populated;
mod slice;
pub mod vectored;
mod video;

pub use slice::Slice;
pub use video::Video;

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    mmap::MmapRegionBuilder,
};

/// A piece of guest RAM: where the guest sees it, and where it is mapped here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Guest physical address.
    pub base: u64,
    /// Bytes, a multiple of the page size.
    pub len: u64,
    /// Address of the mapping in this process.
    pub host: u64,
}

/// A shared handle on all guest RAM.
#[derive(Clone)]
pub struct Memory(Arc<Ram>);

struct Ram {
    map: GuestMemoryMmap,
    file: File,
}

impl Memory {
    /// Maps `ranges` of (guest physical address, length), in rising order, from one memfd.
    /// `page` is the huge page size in bytes (2 MiB or 1 GiB), or `None` for ordinary pages.
    /// Ordinary pages are not reserved: the host gives them as the guest touches them. Huge pages are.
    pub fn new(ranges: &[(u64, u64)], page: Option<u64>) -> Result<Memory> {
        let total =
            ranges.iter().try_fold(0u64, |sum, (_, len)| sum.checked_add(*len)).context("memory size overflows")?;
        let file = memfd(total, page)?;
        let shared = Arc::new(file.try_clone()?);
        // Huge pages are a scarce stock: without a reservation a guest that touches one too many ends in SIGBUS.
        let reserve = if page.is_some() { 0 } else { libc::MAP_NORESERVE };
        let mut offset = 0;
        let mut regions = Vec::new();
        for &(base, len) in ranges {
            let mapping = MmapRegionBuilder::new(usize::try_from(len)?)
                .with_file_offset(FileOffset::from_arc(shared.clone(), offset))
                .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
                .with_mmap_flags(libc::MAP_SHARED | reserve)
                .build()
                .with_context(|| too_little(len, page))?;
            let region = GuestRegionMmap::new(mapping, GuestAddress(base));
            regions.push(region.with_context(|| format!("guest memory at {base:#x} wraps around"))?);
            offset += len;
        }
        let map = GuestMemoryMmap::from_regions(regions).context("arrange guest memory")?;
        Ok(Memory(Arc::new(Ram { map, file })))
    }

    pub fn regions(&self) -> Vec<Region> {
        let region = |r: &GuestRegionMmap| Region { base: r.start_addr().0, len: r.len(), host: r.as_ptr() as u64 };
        self.0.map.iter().map(region).collect()
    }

    /// Bytes of guest RAM.
    pub fn size(&self) -> u64 {
        self.0.map.iter().map(|r| r.len()).sum()
    }

    /// The same memory for rust-vmm crates (virtio-queue, linux-loader).
    pub fn map(&self) -> &GuestMemoryMmap {
        &self.0.map
    }

    /// Errors when any byte of `at..at+len` is not guest RAM, or the range spans two regions.
    pub fn slice(&self, at: u64, len: usize) -> Result<Slice> {
        let inside = |r: &GuestRegionMmap| {
            let offset = at.checked_sub(r.start_addr().0)?;
            (offset <= r.len() && len as u64 <= r.len() - offset).then(|| (r.as_ptr(), offset))
        };
        let (base, offset) = self
            .0
            .map
            .iter()
            .find_map(inside)
            .with_context(|| format!("guest address {at:#x}+{len:#x} is not in memory"))?;
        // SAFETY: offset + len <= the region's length, checked just above; the region lives as long as the clone.
        Ok(unsafe { Slice::new(base.add(offset as usize), len, self.clone()) })
    }

    pub fn read<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.slice(at, N)?.copy_to(&mut out);
        Ok(out)
    }

    pub fn write(&self, at: u64, data: &[u8]) -> Result<()> {
        self.slice(at, data.len())?.copy_from(data);
        Ok(())
    }

    /// Writes `data` to the memory that is mapped at `host`, by way of its file; may write less.
    fn write_file(&self, host: u64, data: &[u8]) -> Option<usize> {
        let offset = |r: &GuestRegionMmap| {
            let inside = host.checked_sub(r.as_ptr() as u64).filter(|at| *at < r.len())?;
            r.file_offset()?.start().checked_add(inside)
        };
        let offset = self.0.map.iter().find_map(offset)?;
        self.0.file.write_at(data, offset).ok()
    }

    /// All RAM reads as zero again, and its pages go back to the host.
    pub fn clear(&self) -> Result<()> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a system call on our own file, without pointers.
        let rc = unsafe { libc::fallocate(self.0.file.as_raw_fd(), mode, 0, self.size() as libc::off_t) };
        ensure!(rc == 0, "clear guest memory: {}", std::io::Error::last_os_error());
        Ok(())
    }
}

fn too_little(len: u64, page: Option<u64>) -> String {
    match page {
        None => format!("map {len} bytes of guest memory"),
        Some(page) => {
            let (kib, pages) = (page >> 10, len / page);
            format!(
                "map {pages} huge pages of {kib} KiB (as root, \
                 `echo {pages} >/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages` sets them aside)"
            )
        }
    }
}

fn memfd(size: u64, page: Option<u64>) -> Result<File> {
    let huge = page.map_or(0, |p| libc::MFD_HUGETLB | p.trailing_zeros() << libc::MFD_HUGE_SHIFT);
    // SAFETY: the name is a C string, the result is checked.
    let fd = unsafe { libc::memfd_create(c"guest-memory".as_ptr(), libc::MFD_CLOEXEC | huge) };
    ensure!(fd >= 0, "create guest memory: {}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else owns.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size).with_context(|| format!("give guest memory {size} bytes"))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
