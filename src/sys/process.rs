//! Starting a program exactly as told, and hearing of its end. std's Command cannot set supplementary groups, cannot
//! make a terminal the controlling one, and does not say which step failed.

use super::fd::check;
use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// What runs, and as whom.
pub struct Plan<'a> {
    /// Paths to try in order, as a shell tries the directories of PATH.
    pub paths: &'a [CString],
    pub argv: &'a [CString],
    pub env: &'a [CString],
    pub cwd: &'a CStr,
    /// Its descriptors 0, 1 and 2. Ours are to be 3 or higher.
    pub streams: [BorrowedFd<'a>; 3],
    /// Descriptor 0 is to be its controlling terminal.
    pub terminal: bool,
    pub identity: Option<&'a Identity>,
    /// We are process 1: what it inherits from us is not what a program is used to.
    pub of_init: bool,
}

/// User, group and supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user: libc::uid_t,
    pub group: libc::gid_t,
    pub others: Vec<libc::gid_t>,
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Fork,
    Session,
    Identity,
    Directory,
    /// No path of the plan is there.
    Find,
    /// One is there, and cannot be run.
    Run,
}

const STEPS: [Step; 6] = [Step::Fork, Step::Session, Step::Identity, Step::Directory, Step::Find, Step::Run];

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Code(u8),
    Signal(u8),
}

/// Starts `plan` in a session of its own; its process id is also that of its process group.
pub fn spawn(plan: &Plan<'_>) -> Result<libc::pid_t, (Step, io::Error)> {
    let early = |e| (Step::Fork, e);
    if plan.streams.iter().any(|fd| fd.as_raw_fd() < 3) {
        return Err(early(io::ErrorKind::InvalidInput.into()));
    }
    let (mut verdict, tell) = pipe().map_err(early)?;
    let pointers =
        |all: &[CString]| -> Vec<*const libc::c_char> { all.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect() };
    let (argv, env) = (pointers(plan.argv), pointers(plan.env));
    // SAFETY: the child only makes system calls on memory that is ready (it may have been forked off other threads).
    let pid = check(unsafe { libc::fork() }).map_err(early)?;
    if pid == 0 {
        let (step, error) = become_program(plan, &argv, &env);
        let [a, b, c, d] = error.to_ne_bytes();
        let report = [step as u8, a, b, c, d];
        // SAFETY: bytes of ours; then the process is gone.
        unsafe {
            libc::write(tell.as_raw_fd(), report.as_ptr().cast(), report.len());
            libc::_exit(127);
        }
    }
    drop(tell);
    let mut report = [0; 5];
    match verdict.read_exact(&mut report) {
        // exec closed the pipe.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(pid),
        result => {
            // SAFETY: no status is wanted; the child is at its end.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            result.map_err(early)?;
            let [step, a, b, c, d] = report;
            let step = STEPS.get(usize::from(step)).copied().unwrap_or(Step::Fork);
            Err((step, io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]))))
        }
    }
}

/// In the child: only async-signal-safe calls, no allocation. Returns what failed.
fn become_program(plan: &Plan<'_>, argv: &[*const libc::c_char], env: &[*const libc::c_char]) -> (Step, libc::c_int) {
    reset_signals();
    // SAFETY: all pointers are to C strings, arrays ended by null or values that outlive the calls.
    unsafe {
        if libc::setsid() < 0 {
            return (Step::Session, super::signal::errno());
        }
        for (to, from) in plan.streams.iter().enumerate() {
            if libc::dup2(from.as_raw_fd(), to as libc::c_int) < 0 {
                return (Step::Session, super::signal::errno());
            }
        }
        if plan.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
            return (Step::Session, super::signal::errno());
        }
        if plan.of_init {
            be_ordinary();
        }
        if let Some(who) = plan.identity {
            let others = (who.others.len(), who.others.as_ptr());
            if libc::setgroups(others.0, others.1) < 0 || libc::setgid(who.group) < 0 || libc::setuid(who.user) < 0 {
                return (Step::Identity, super::signal::errno());
            }
        }
        if libc::chdir(plan.cwd.as_ptr()) < 0 {
            return (Step::Directory, super::signal::errno());
        }
        let mut refused = None;
        for path in plan.paths {
            libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
            match super::signal::errno() {
                // It is there: what is missing is its interpreter, or what its symbolic link names.
                libc::ENOENT if libc::access(path.as_ptr(), libc::F_OK) == 0 => return (Step::Run, libc::ENOENT),
                libc::ENOENT | libc::ENOTDIR => {}
                // Another directory may have one that can be run.
                libc::EACCES => refused = Some(libc::EACCES),
                other => return (Step::Run, other),
            }
        }
        refused.map_or((Step::Find, libc::ENOENT), |e| (Step::Run, e))
    }
}

/// Every signal with its default action, none blocked.
fn reset_signals() {
    for number in 1..=64 {
        super::signal::default(number);
    }
    // SAFETY: the set is ours and made empty.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Undoes what sets process 1 apart. Open files as systemd has them: programs that close all descriptors up to the
/// limit rely on 1024, those that want more raise it.
fn be_ordinary() {
    let files = libc::rlimit { rlim_cur: 1024, rlim_max: 524_288 };
    // SAFETY: a C string and values of ours; what fails here leaves a stricter limit.
    unsafe {
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        libc::umask(0o022);
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if score >= 0 {
            libc::write(score, c"0".as_ptr().cast(), 1);
            libc::close(score);
        }
    }
}

/// A pipe, close-on-exec: the end to read from, and the other.
pub fn pipe() -> io::Result<(std::fs::File, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: the kernel writes two descriptors.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]).into(), OwnedFd::from_raw_fd(fds[1])) })
}

/// Sends `signal` to the process group `group`, or with `None` to every process but ours.
pub fn kill_group(group: Option<libc::pid_t>, signal: libc::c_int) {
    // SAFETY: no pointers. 0 and 1 would mean something else.
    unsafe {
        match group {
            Some(group) if group > 1 => libc::kill(-group, signal),
            Some(_) => 0,
            None => libc::kill(-1, signal),
        }
    };
}

/// Takes leave of a child that has ended, if one has; `who`: only of that one.
pub fn reap(who: Option<libc::pid_t>) -> Option<(libc::pid_t, Ended)> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let pid = unsafe { libc::waitpid(who.unwrap_or(-1), &raw mut status, libc::WNOHANG) };
    let ended = match libc::WIFSIGNALED(status) {
        true => Ended::Signal(libc::WTERMSIG(status) as u8),
        false => Ended::Code(libc::WEXITSTATUS(status) as u8),
    };
    (pid > 0).then_some((pid, ended))
}

/// A descriptor that is readable when `child` has ended.
pub fn watch(child: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    let fd = check(libc::c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that is readable when any child has ended: SIGCHLD, which this thread and those it starts from now on
/// do not get any more.
pub fn watch_all() -> io::Result<std::fs::File> {
    // SAFETY: the set is ours and made here.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()))?;
        check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
    };
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Gives the open file behind `fd` to another user.
pub fn give_to(fd: BorrowedFd<'_>, user: libc::uid_t, group: Option<libc::gid_t>) -> io::Result<()> {
    // SAFETY: no pointers. Group -1 leaves it.
    check(unsafe { libc::fchown(fd.as_raw_fd(), user, group.unwrap_or(libc::gid_t::MAX)) }).map(drop)
}
