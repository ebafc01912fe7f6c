//! Starting the command of a job: as its user, with its streams, and with the answers a shell gives when it cannot.

use super::job::Job;
use super::user::{self, User};
use crate::sys::process::{self, Plan, Step};
use crate::sys::{pty, socket};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A command that runs, and our ends of its streams, all non-blocking.
pub struct Command {
    pub pid: libc::pid_t,
    /// With a terminal this and `out` are the same.
    pub stdin: File,
    pub out: File,
    /// With a terminal there is none.
    pub err: Option<File>,
}

/// Why none runs.
#[derive(Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// 127.
    NotFound(String),
    /// 126.
    NotRunnable(String),
    /// Something else than the command is to blame.
    Failed(String),
}

/// What a login has where nothing is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `of_init`: we are process 1.
pub fn start(job: &Job, of_init: bool) -> Result<Command, NotStarted> {
    let failed = |what: &str, e: io::Error| NotStarted::Failed(format!("{what}: {e}"));
    let user = account(job).map_err(NotStarted::Failed)?;
    let env = environment(job, user.as_ref());
    let name = job.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let (ours, theirs) = match &job.terminal {
        Some(t) => terminal(t.columns, t.rows, user.as_ref()).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => failed("open a terminal (is CONFIG_UNIX98_PTYS set?)", e),
            _ => failed("open a terminal", e),
        })?,
        None => pipes(user.as_ref()).map_err(|e| failed("open pipes", e))?,
    };
    let [fd0, fd1, fd2] = &theirs;
    let texts = |all: &[OsString]| all.iter().map(|s| c(s)).collect::<Result<Vec<_>, _>>();
    let plan = Plan {
        paths: &texts(&places(name, &env))?,
        argv: &texts(&job.argv)?,
        env: &texts(&joined(&env))?,
        cwd: &c(job.cwd.as_os_str())?,
        streams: [fd0.as_fd(), fd1.as_fd(), fd2.as_fd()],
        terminal: job.terminal.is_some(),
        identity: user.as_ref().filter(|_| job.user.is_some()).map(|u| &u.identity),
        of_init,
    };
    let pid = process::spawn(&plan).map_err(|(step, e)| refused(step, &e, job, name))?;
    let (stdin, out, err) = ours;
    Ok(Command { pid, stdin, out, err })
}

fn refused(step: Step, e: &io::Error, job: &Job, name: &OsStr) -> NotStarted {
    let name = name.to_string_lossy();
    let failed = |what: &str| NotStarted::Failed(format!("{what}: {e}"));
    match step {
        Step::Fork => failed("start a process"),
        Step::Session => failed("give the command its session"),
        Step::Identity => failed(&format!("become user {}", job.user.clone().unwrap_or_default().display())),
        Step::Directory => failed(&format!("enter {}", job.cwd.display())),
        Step::Find if name.contains('/') => NotStarted::NotFound(format!("{name}: no such file or directory")),
        Step::Find => NotStarted::NotFound(format!("{name}: command not found")),
        Step::Run => NotStarted::NotRunnable(match e.raw_os_error() {
            Some(libc::ENOENT) => format!("{name}: its interpreter does not exist"),
            Some(libc::ENOEXEC) => format!("{name}: not a program, and no script with a #! line"),
            Some(libc::E2BIG) => format!("{name}: arguments and environment are too long"),
            _ => format!("{name}: {e}"),
        }),
    }
}

/// Without a user named in the job: whom we run as, whose row in passwd need not be there.
fn account(job: &Job) -> Result<Option<User>, String> {
    let (passwd, groups) = (read(Path::new("/etc/passwd")), read(Path::new("/etc/group")));
    match &job.user {
        Some(name) => user::find(name, &passwd, &groups).map(Some),
        None => Ok(user::find(OsStr::new("0"), &passwd, &groups).ok()),
    }
}

/// What is there, up to 16 MiB.
fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|f| f.take(16 << 20).read_to_end(&mut bytes));
    bytes
}

type Pairs = Vec<(OsString, OsString)>;

fn environment(job: &Job, user: Option<&User>) -> Pairs {
    let mut env = job.env.clone();
    let mut add = |name: &str, value: &OsStr| {
        if !env.iter().any(|(n, _)| n == name) {
            env.push((name.into(), value.into()));
        }
    };
    add("PATH", PATH.as_ref());
    if let Some(user) = user {
        add("HOME", &user.home);
        add("USER", &user.name);
        add("LOGNAME", &user.name);
        add("SHELL", &user.shell);
    }
    if let Some(terminal) = &job.terminal {
        add("TERM", &terminal.term);
    }
    env
}

fn joined(env: &Pairs) -> Vec<OsString> {
    let join = |(name, value): &(OsString, OsString)| [name.as_os_str(), value].join(OsStr::new("="));
    env.iter().map(join).collect()
}

/// Where a command of this name may be, in order.
fn places(name: &OsStr, env: &Pairs) -> Vec<OsString> {
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return vec![name.into()];
    }
    let path = env.iter().find(|(n, _)| n == "PATH").map_or(OsStr::new(PATH), |(_, value)| value);
    // An empty entry is the current directory (POSIX, PATH).
    let dirs = path.as_bytes().split(|b| *b == b':').map(|d| if d.is_empty() { b"." } else { d });
    dirs.map(|dir| Path::new(OsStr::from_bytes(dir)).join(name).into()).collect()
}

fn c(text: &OsStr) -> Result<CString, NotStarted> {
    let why = |_| NotStarted::Failed(format!("`{}` has a zero byte", text.display()));
    CString::new(text.as_bytes()).map_err(why)
}

type Ends = ((File, File, Option<File>), [OwnedFd; 3]);

fn terminal(columns: u16, rows: u16, user: Option<&User>) -> io::Result<Ends> {
    /// The group of terminals everywhere (devpts's gid=5).
    const TTY: u32 = 5;
    let (ours, theirs) = pty::open(columns, rows)?;
    if let Some(user) = user {
        let _ = process::give_to(theirs.as_fd(), user.identity.user, Some(TTY));
    }
    Ok(((ours.try_clone()?, ours, None), [theirs.try_clone()?, theirs.try_clone()?, theirs]))
}

fn pipes(user: Option<&User>) -> io::Result<Ends> {
    let (stdin, feed) = process::pipe()?;
    let (out, stdout) = process::pipe()?;
    let (err, stderr) = process::pipe()?;
    let ours = [File::from(feed), out, err];
    for end in &ours {
        socket::set_nonblocking(end.as_fd())?;
        // So that its user may open /dev/stdout.
        if let Some(user) = user {
            let _ = process::give_to(end.as_fd(), user.identity.user, None);
        }
    }
    let [feed, out, err] = ours;
    Ok(((feed, out, Some(err)), [stdin.into(), stdout, stderr]))
}
