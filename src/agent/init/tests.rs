//! The agent as process 1 of its own process, mount, network and name spaces: everything but the kernel and its devices.
//! What the host shares is bound from directories instead. Skipped where there are no such name spaces.

use super::*;
use crate::agent::{End, Session, Streams, Terminal};
use std::fs::read_to_string;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

/// Directories to share, by tag, and a place for mounts.
const PLACE: &str = "KILN_TEST_AGENT_PLACE";

/// Not a test of its own: what [`outcome`] runs in the new name spaces. Its standard input is the channel.
#[test]
#[ignore]
fn inside() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let place = Path::new(&place);
    let fd = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut channel = Channel::new(fd).unwrap();
    let base = place.join("base");
    mounts::mount(c"tmpfs", c"tmpfs", &mounts::c_path(&base).unwrap(), false, c"").unwrap();
    mounts::early(&base).unwrap();
    guest::hello(&mut channel);
    let shares = fs::read_dir(place.join("shares")).unwrap().flatten();
    let open: Vec<_> = shares.map(|s| (s.file_name(), File::open(s.path()).unwrap())).collect();
    let bind = |tag: &OsStr, at: &CStr, read_only: bool| {
        let (_, from) = open.iter().find(|(name, _)| name == tag).ok_or(format!("no share {}", tag.display()))?;
        // By descriptor: its path is behind us once the root is another.
        let from = format!("/proc/{}/fd/{}", std::process::id(), from.as_raw_fd());
        let options = if read_only { "bind,ro" } else { "bind" };
        let done = Command::new("/bin/mount").args(["-c", "-o", options, &from, at.to_str().unwrap()]).status();
        if done.is_ok_and(|s| s.success()) { Ok(()) } else { Err(format!("bind {}", tag.display())) }
    };
    let mut left = File::create(place.join("left")).unwrap();
    let result = session(&mut channel, &base, &bind);
    // A killed process needs a moment to be gone.
    let gone = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        others() == 0
    });
    left.write_all(if gone { b"nobody" } else { b"somebody" }).unwrap();
    if let Err(trouble) = &result {
        guest::tell(&mut channel, trouble);
    }
    farewell(&mut channel);
}

/// Processes besides this one that are not at their end.
fn others() -> usize {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter(|p| p.file_name().as_bytes()[0].is_ascii_digit());
    let alive = |p: &fs::DirEntry| {
        let status = read_to_string(p.path().join("status")).unwrap_or_default();
        p.file_name() != "1" && status.contains("\nState:") && !status.contains("\nState:\tZ")
    };
    pids.filter(alive).count()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        for name in ["base", "shares/data", "shares/lib"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Place(dir)
    }

    fn share(&self, tag: &str) -> std::path::PathBuf {
        self.0.path().join("shares").join(tag)
    }
}

fn spaces() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--net", "--uts", "--mount-proc", "--kill-child"]);
    unshare
}

fn have_spaces() -> bool {
    let have = spaces().arg("true").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !have {
        println!("SKIPPED: no name spaces for this user here");
    }
    have
}

/// Runs `script` in it; `shares` besides the root, which is the machine's own.
fn outcome(place: &Place, script: &str, change: impl FnOnce(&mut Job)) -> (End, String) {
    let root = place.share("root");
    if !root.exists() {
        std::os::unix::fs::symlink("/", &root).unwrap();
    }
    let mut job = Job {
        argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
        cwd: "/".into(),
        overlay: true,
        hostname: "guest".into(),
        ..Job::default()
    };
    change(&mut job);
    let (host, guest) = UnixStream::pair().unwrap();
    let mut child = spaces()
        // Process 1 blocks it in its only thread; here the test's main thread has to, and it is not ours.
        .args(["env", "--block-signal=CHLD"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "agent::init::tests::inside", "--ignored", "--test-threads=1"])
        .env(PLACE, place.0.path())
        .stdin(OwnedFd::from(guest))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut out, stdout) = std::io::pipe().unwrap();
    let streams = Streams { stdin: None, stderr: stdout.try_clone().unwrap().into(), stdout: stdout.into() };
    let (tell, end) = channel();
    let session = Session::start(host, &job, streams, Box::new(move |end| tell.send(end).unwrap())).unwrap();
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let end = end.recv().unwrap();
    drop(session);
    child.wait().unwrap();
    assert_eq!(read_to_string(place.0.path().join("left")).unwrap(), "nobody");
    (end, text)
}

#[test]
fn writes_land_in_memory_and_the_usual_is_there() {
    if !have_spaces() {
        return;
    }
    let place = Place::new();
    let script = "set -e
        touch /etc/kiln-test-agent /kiln-test-agent; ls /kiln-test-agent; rm /etc/passwd
        hostname; cat /proc/1/comm >/dev/null; ls -d /dev/null /dev/pts /dev/shm /dev/fd /sys/class
        stat -fc %T /tmp /run /dev/shm; stat -c %a /tmp; ls -A /tmp | wc -l; ip -o link show lo up | wc -l; umask
        exit 21";
    let (end, text) = outcome(&place, script, |_| ());
    let expected = "/kiln-test-agent\nguest\n/dev/fd\n/dev/null\n/dev/pts\n/dev/shm\n/sys/class\n\
                    tmpfs\ntmpfs\ntmpfs\n1777\n0\n1\n0022\n";
    assert_eq!((end, text.as_str()), (End::Exited(21), expected));
    assert!(!Path::new("/kiln-test-agent").exists() && Path::new("/etc/passwd").exists());
}

#[test]
fn shares_are_in_their_places_as_writable_as_they_are_said_to_be() {
    if !have_spaces() {
        return;
    }
    let place = Place::new();
    fs::write(place.share("lib").join("given"), "host").unwrap();
    let shares = |job: &mut Job| {
        let share = |tag: &str, path: &str, writable| Share { tag: tag.into(), path: path.into(), writable };
        // The one below first: order does not matter.
        job.shares = vec![share("lib", "/no/such/place/below", false), share("data", "/no/such/place", true)];
        job.cwd = "/no/such/place".into();
    };
    let script = "pwd; echo guest > written; cat below/given; touch below/x 2>/dev/null || echo read-only; exit 0";
    let (end, text) = outcome(&place, script, shares);
    assert_eq!((end, text.as_str()), (End::Exited(0), "/no/such/place\nhostread-only\n"));
    assert_eq!(read_to_string(place.share("data").join("written")).unwrap(), "guest\n");
}

#[test]
fn what_the_command_leaves_behind_is_reaped_or_killed() {
    if !have_spaces() {
        return;
    }
    let place = Place::new();
    // Orphans become children of process 1, which is the agent; none stays a zombie.
    let script = "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 0.3
        grep -h '^State:.*Z' /proc/[0-9]*/status | wc -l
        setsid sh -c 'trap \"\" TERM HUP; sleep 600' & exit 3";
    assert_eq!(outcome(&place, script, |_| ()), (End::Exited(3), "0\n".into()));
    let dies = "(while :; do setsid sleep 600 & done) 2>/dev/null & sleep 0.2; kill -9 $$";
    assert_eq!(outcome(&place, dies, |_| ()).0, End::Signalled(137));
}

#[test]
fn a_share_that_is_not_there_is_named() {
    if !have_spaces() {
        return;
    }
    let lost = |job: &mut Job| job.shares = vec![Share { tag: "gone".into(), path: "/mnt".into(), writable: true }];
    let (end, _) = outcome(&Place::new(), "exit 0", lost);
    assert!(matches!(&end, End::Failed(why) if why.contains("gone")), "{end:?}");
    let root = |job: &mut Job| job.shares = vec![Share { tag: "data".into(), path: "/".into(), writable: true }];
    assert!(matches!(outcome(&Place::new(), "exit 0", root).0, End::Failed(why) if why.contains("below /")));
}

#[test]
fn the_layer_has_the_size_that_was_asked_for() {
    if !have_spaces() {
        return;
    }
    let script = "head -c 500000 /dev/zero > /usr/fits || exit 1; head -c 2000000 /dev/zero > /usr/big || exit 2";
    assert_eq!(outcome(&Place::new(), script, |job| job.tmpfs = Some(1 << 20)).0, End::Exited(2));
    assert_eq!(outcome(&Place::new(), script, |_| ()).0, End::Exited(0));
}

#[test]
fn without_a_layer_the_root_is_as_the_host_shares_it() {
    if !have_spaces() {
        return;
    }
    let place = Place::new();
    let root = place.share("root");
    for file in ["/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    assert_eq!(outcome(&place, "echo > /written", |job| job.overlay = false).0, End::Exited(0));
    assert!(root.join("written").exists());
}

#[test]
fn a_terminal_has_its_name() {
    if !have_spaces() {
        return;
    }
    let terminal = |job: &mut Job| job.terminal = Some(Terminal { columns: 80, rows: 24, term: "vt100".into() });
    let (end, text) = outcome(&Place::new(), "tty; stty size; : > /dev/tty", terminal);
    assert_eq!((end, text.as_str()), (End::Exited(0), "/dev/pts/0\r\n24 80\r\n"));
}

#[test]
fn tmp_is_fresh_unless_the_command_is_in_it() {
    let job = |argv0: &str, cwd: &str| Job { argv: vec![argv0.into()], cwd: cwd.into(), ..Job::default() };
    assert!(
        keeps_tmp(&job("make", "/tmp/work")) && keeps_tmp(&job("/tmp/x/test", "/")) && keeps_tmp(&job("sh", "/tmp"))
    );
    assert!(!keeps_tmp(&job("sh", "/home/tmp")) && !keeps_tmp(&job("tmp", "/tmpfs")));
}

#[test]
fn kiln_itself_is_no_agent() {
    assert!(!is_wanted());
}
