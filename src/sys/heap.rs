//! Giving freed memory back to the system.

/// From now on every buffer of 128 KiB or more is mapped on its own, and so gone when it is freed. Otherwise the
/// allocator raises that limit with the first such buffer that is freed, and keeps later ones for itself.
pub fn return_large_buffers() {
    // SAFETY: it has no preconditions but a valid value.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}
