//! Calling a thread out of a blocking system call.

use std::io;
use std::sync::Once;
use std::thread::JoinHandle;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

extern "C" fn nothing(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Prepares [`call_out`]: the signal must not end the process. Once is enough.
pub fn accept_calls() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = register_signal_handler(SIGRTMIN(), nothing).map_err(io::Error::from));
    result
}

/// The system call that `thread` is in returns with EINTR.
pub fn call_out<T>(thread: &JoinHandle<T>) {
    let _ = thread.kill(SIGRTMIN());
}
