//! Giving freed memory back to the system.

/// Returns what is free at the heap's end and inside it. The allocator keeps some megabytes otherwise, once large
/// buffers have come and gone.
pub fn trim_heap() {
    // SAFETY: it has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
