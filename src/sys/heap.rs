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

/// All threads use one heap: they allocate little, and a heap of its own costs a thread four system calls and memory.
/// To be called before there are threads.
pub fn share_heap() {
    // SAFETY: as above.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
