//! Our own code in memory.

/// Most of what ran until now (the command line, loaders) will not run again: its pages leave our memory, and come back
/// from the page cache one by one if they are used after all.
#[cfg(target_env = "gnu")]
pub fn forget_startup_code() {
    extern "C" fn forget(info: *mut libc::dl_phdr_info, _size: usize, _data: *mut libc::c_void) -> libc::c_int {
        // SAFETY: dl_iterate_phdr passes a valid description of a loaded object, with `dlpi_phnum` headers.
        let (base, headers) = unsafe {
            let info = &*info;
            (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
        };
        for h in headers.iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_W == 0) {
            const PAGE: u64 = 4096;
            let start = (base + h.p_vaddr) / PAGE * PAGE;
            let len = base + h.p_vaddr + h.p_memsz - start;
            // SAFETY: a mapping of our own file that nobody ever writes: what is dropped reads the same again.
            unsafe { libc::madvise(start as *mut libc::c_void, len as usize, libc::MADV_DONTNEED) };
        }
        0
    }
    // SAFETY: the function above, and no data for it.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// Elsewhere it stays.
#[cfg(not(target_env = "gnu"))]
pub fn forget_startup_code() {}
