//! What a program without an operating system lacks: memory functions, a heap, an end for panics and faults.

use crate::tap;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    static image_end: u8;
}

/// Memory is handed out once and never taken back: a run is short.
struct Heap {
    next: AtomicUsize,
    end: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { next: AtomicUsize::new(0), end: AtomicUsize::new(0) };

unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut from = self.next.load(Ordering::Relaxed);
        loop {
            let at = from.next_multiple_of(layout.align());
            let to = at + layout.size();
            if to > self.end.load(Ordering::Relaxed) {
                return core::ptr::null_mut();
            }
            match self.next.compare_exchange_weak(from, to, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return at as *mut u8,
                Err(now) => from = now,
            }
        }
    }

    /// The latest piece goes back: growing strings and vectors would fill the memory otherwise.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let (from, to) = (at as usize, at as usize + layout.size());
        let _ = self.next.compare_exchange(to, from, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Takes the memory between the image and the end of the RAM it is in. Of each entry: base, size, type (1: RAM).
pub fn init(map: impl Iterator<Item = [u64; 3]>) {
    let start = &raw const image_end as usize;
    for [base, size, kind] in map {
        if kind as u32 == 1 && (base..base + size).contains(&(start as u64)) && base < 1 << 32 {
            HEAP.next.store(start, Ordering::Relaxed);
            HEAP.end.store((base + size).min(1 << 32) as usize, Ordering::Relaxed);
        }
    }
}

/// `len` zeroed bytes for good, at a multiple of `align`; their address is their physical address.
pub fn pages(len: usize, align: usize) -> &'static mut [u8] {
    let layout = Layout::from_size_align(len, align).unwrap_or_else(|_| panic!("bad layout"));
    // SAFETY: fresh memory, which is nobody else's.
    unsafe {
        let at = HEAP.alloc(layout);
        assert!(!at.is_null(), "out of memory");
        at.write_bytes(0, len);
        core::slice::from_raw_parts_mut(at, len)
    }
}

/// # Safety
/// There is a zero-terminated string at `at`, which nobody changes.
pub unsafe fn c_str(at: u64) -> &'static str {
    if at == 0 {
        return "";
    }
    let text = unsafe { core::ffi::CStr::from_ptr(at as *const core::ffi::c_char) };
    text.to_str().unwrap_or("")
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    tap::bail(format_args!("{info}"))
}

/// boot.S comes here, in ring 3, after an exception.
#[unsafe(no_mangle)]
extern "C" fn fault_report(vector: u64, code: u64, rip: u64, cr2: u64, cs: u64) -> ! {
    tap::bail(format_args!("exception {vector}, code {code:#x}, at {cs:#x}:{rip:#x}, cr2 {cr2:#x}"))
}

/// core and alloc were compiled with unwinding, and name these two.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::cpu::stop()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    unsafe { asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        return unsafe { memcpy(to, from, n) };
    }
    let (last_to, last_from) = (to.wrapping_add(n).wrapping_sub(1), from.wrapping_add(n).wrapping_sub(1));
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _, inout("rdi") last_to => _, inout("rsi") last_from => _,
            options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    unsafe { asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8, options(nostack)) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    unsafe { memcmp(a, b, n) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}
