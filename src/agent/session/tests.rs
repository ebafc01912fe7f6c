use super::super::channel::Channel;
use super::super::{Terminal, guest};
use super::*;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

mod forged;
mod terminal;

fn job(argv: &[&str]) -> Job {
    Job {
        argv: argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C".into())],
        cwd: "/".into(),
        ..Job::default()
    }
}

fn sh(script: &str) -> Job {
    job(&["/bin/sh", "-c", script])
}

/// The agent's side, on its own thread: what process 1 does once the machine is ready.
fn agent(fd: impl Into<OwnedFd>) -> JoinHandle<()> {
    let mut channel = Channel::new(fd.into()).unwrap();
    thread::spawn(move || {
        guest::hello(&mut channel);
        let result = channel.job().and_then(|(job, key)| guest::run(&mut channel, &job, &key, None, || Ok(())));
        if let Err(trouble) = result {
            guest::tell(&mut channel, &trouble);
        }
    })
}

/// Both sides, and our ends of the command's streams.
struct Rig {
    session: Session,
    end: Receiver<End>,
    agent: JoinHandle<()>,
}

fn start(job: &Job, streams: Streams) -> Rig {
    let (host, guest) = UnixStream::pair().unwrap();
    let (tell, end) = channel();
    let session = Session::start(host, job, streams, Box::new(move |end| tell.send(end).unwrap())).unwrap();
    Rig { session, end, agent: agent(guest) }
}

/// Readers of the two output streams, and streams to be given to a session.
fn collected(stdin: Option<OwnedFd>) -> (Streams, JoinHandle<Vec<u8>>, JoinHandle<Vec<u8>>) {
    let read = || {
        let (mut from, to) = std::io::pipe().unwrap();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            from.read_to_end(&mut all).unwrap();
            all
        });
        (OwnedFd::from(to), reader)
    };
    let ((stdout, out), (stderr, err)) = (read(), read());
    (Streams { stdin, stdout, stderr }, out, err)
}

fn finish(rig: Rig) -> End {
    let end = rig.end.recv().unwrap();
    rig.agent.join().unwrap();
    end
}

/// Runs `job` with `stdin`; its end, and what it wrote.
fn outcome(job: &Job, stdin: Option<OwnedFd>) -> (End, Vec<u8>, Vec<u8>) {
    let (streams, out, err) = collected(stdin);
    let end = finish(start(job, streams));
    (end, out.join().unwrap(), err.join().unwrap())
}

fn dev_null() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

#[test]
fn exit_statuses_are_the_commands_own() {
    for code in [0u8, 1, 42, 125, 126, 127, 255] {
        assert_eq!(outcome(&sh(&format!("exit {code}")), None).0, End::Exited(code));
    }
    assert_eq!(outcome(&sh("kill -TERM $$"), None).0, End::Signalled(143));
    assert_eq!(outcome(&sh("kill -KILL $$"), None).0, End::Signalled(137));
}

#[test]
fn the_two_outputs_are_two_streams() {
    let (end, out, err) = outcome(&sh("echo one; echo two >&2; printf '\\000\\377'; exit 3"), None);
    assert_eq!((end, &out[..], &err[..]), (End::Exited(3), &b"one\n\0\xff"[..], &b"two\n"[..]));
}

#[test]
fn a_command_that_is_not_there_is_told_from_one_that_cannot_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let write = |name: &str, text: &[u8], mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(at(name), text).unwrap();
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", b"#!/bin/sh\n", 0o644);
    write("text", b"what is this\n", 0o755);
    write("orphan", b"#!/no/such/interpreter\n", 0o755);
    write("script", b"#!/bin/sh\nexit 9\n", 0o755);
    let end = |argv0: &str, path: &str| {
        let mut job = job(&[argv0]);
        job.env = vec![("PATH".into(), path.into())];
        outcome(&job, None).0
    };
    for name in ["no-such-command", "", "/no/such/command", "/bin/sh/x"] {
        assert!(matches!(end(name, "/usr/bin:/bin"), End::NotFound(_)), "{name}");
    }
    for name in ["plain", "text", "orphan", "."] {
        let by_path = end(&at(name), "/bin");
        assert!(matches!(&by_path, End::NotRunnable(why) if why.contains(name)), "{name}: {by_path:?}");
    }
    assert!(matches!(end("plain", &at("")), End::NotRunnable(_)));
    assert!(matches!(end("no-such-command", ""), End::NotFound(_)));
    // The next directory of PATH may have one that runs.
    std::fs::create_dir(at("later")).unwrap();
    write("later/plain", b"#!/bin/sh\nexit 7\n", 0o755);
    assert_eq!(end("plain", &format!("{}:{}", at(""), at("later"))), End::Exited(7));
    assert_eq!(end("script", &at("")), End::Exited(9));
}

#[test]
fn the_command_has_its_environment_directory_and_user() {
    let mut pwd = sh("pwd; echo $A; echo $HOME $USER; id -u; id -G; echo x > /dev/stdout");
    pwd.cwd = "/usr".into();
    pwd.env.push(("A".into(), "b c".into()));
    pwd.user = Some("65534:12".into());
    let (end, out, err) = outcome(&pwd, None);
    let expected = "/usr\nb c\n/nonexistent nobody\n65534\n12\nx\n";
    assert_eq!((end, String::from_utf8_lossy(&out), err), (End::Exited(0), expected.into(), vec![]));
    let mut nowhere = sh("true");
    nowhere.cwd = "/no/such".into();
    assert!(matches!(outcome(&nowhere, None).0, End::Failed(why) if why.contains("enter /no/such")));
    let mut nobody = sh("true");
    nobody.user = Some("no-such-user".into());
    assert!(matches!(outcome(&nobody, None).0, End::Failed(why) if why.contains("no-such-user")));
}

/// Bytes that do not repeat in a window or frame, and their sum (FNV-1a).
struct Noise {
    left: usize,
    state: u64,
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(sum: u64, data: &[u8]) -> u64 {
    data.iter().fold(sum, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

impl Noise {
    fn fill(&mut self, buf: &mut [u8]) -> usize {
        let n = buf.len().min(self.left);
        for byte in &mut buf[..n] {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.state >> 56) as u8;
        }
        self.left -= n;
        n
    }
}

/// A pipe that gives `bytes` of noise, and their sum.
fn noise(bytes: usize) -> (OwnedFd, JoinHandle<u64>) {
    let (from, mut to) = std::io::pipe().unwrap();
    let sum = thread::spawn(move || {
        let (mut noise, mut sum, mut buf) = (Noise { left: bytes, state: 7 }, FNV, vec![0; 50_000]);
        loop {
            let n = noise.fill(&mut buf);
            if n == 0 || to.write_all(&buf[..n]).is_err() {
                return sum;
            }
            sum = fnv(sum, &buf[..n]);
        }
    });
    (from.into(), sum)
}

#[test]
fn much_data_goes_through_unchanged() {
    const SIZE: usize = 64 << 20;
    let (stdin, sum) = noise(SIZE);
    let (mut out, to) = std::io::pipe().unwrap();
    let rig = start(&sh("cat; exit 5"), Streams { stdin: Some(stdin), stdout: to.into(), stderr: dev_null() });
    let (mut came, mut total, mut buf) = (FNV, 0, vec![0; 70_000]);
    loop {
        let n = out.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        came = fnv(came, &buf[..n]);
        total += n;
    }
    assert_eq!((total, came), (SIZE, sum.join().unwrap()));
    assert_eq!(finish(rig), End::Exited(5));
}

#[test]
fn a_flood_on_one_stream_passes_a_stream_that_nobody_reads() {
    let (mut out, to) = std::io::pipe().unwrap();
    let (mut err, to_err) = std::io::pipe().unwrap();
    // Standard output is full for ever in the background; the rest of the script does not wait for it.
    let script = "head -c 3000000 /dev/zero & head -c 8000000 /dev/zero >&2; echo done >&2; exec 2>&-; wait; exit 4";
    let rig = start(&sh(script), Streams { stdin: None, stdout: to.into(), stderr: to_err.into() });
    let mut flood = vec![0; 8_000_005];
    err.read_exact(&mut flood).unwrap();
    assert!(flood.ends_with(b"done\n"));
    // Only now somebody reads it.
    let mut all = Vec::new();
    out.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 3_000_000);
    assert_eq!(finish(rig), End::Exited(4));
}

#[test]
fn a_reader_that_leaves_is_felt_by_the_command() {
    let (mut out, to) = std::io::pipe().unwrap();
    let rig = start(&job(&["yes"]), Streams { stdin: None, stdout: to.into(), stderr: dev_null() });
    out.read_exact(&mut [0; 10]).unwrap();
    drop(out);
    assert_eq!(finish(rig), End::Signalled(141));
}

#[test]
fn a_command_that_wrote_for_nobody_did_not_succeed() {
    let (out, to) = std::io::pipe().unwrap();
    drop(out);
    let rig = start(&sh("echo lost; exit 0"), Streams { stdin: None, stdout: to.into(), stderr: dev_null() });
    assert_eq!(finish(rig), End::Signalled(141));
    let full = || OwnedFd::from(File::options().write(true).open("/dev/full").unwrap());
    for (script, stream) in [("echo lost", "standard output"), ("echo lost >&2", "standard error")] {
        let rig = start(&sh(script), Streams { stdin: None, stdout: full(), stderr: full() });
        let end = finish(rig);
        assert!(matches!(&end, End::Failed(why) if why.contains(stream) && why.contains("No space")), "{end:?}");
    }
    // Who writes nothing has lost nothing.
    let rig = start(&sh("exit 0"), Streams { stdin: None, stdout: full(), stderr: full() });
    assert_eq!(finish(rig), End::Exited(0));
}

#[test]
fn input_ends_when_it_ends() {
    for stdin in [None, Some(dev_null())] {
        assert_eq!(outcome(&sh("cat; echo end"), stdin).1, b"end\n");
    }
    let (from, mut to) = std::io::pipe().unwrap();
    to.write_all(b"half").unwrap();
    drop(to);
    assert_eq!(outcome(&sh("cat; exit 6"), Some(from.into())), (End::Exited(6), b"half".to_vec(), vec![]));
}

#[test]
fn input_that_the_command_does_not_want_is_left_alone() {
    // It closes its input; the session ends though ours never does.
    let (from, mut to) = std::io::pipe().unwrap();
    let (streams, out, _) = collected(Some(from.try_clone().unwrap().into()));
    let rig = start(&sh("exec <&-; echo closed; sleep 0.2; exit 8"), streams);
    assert_eq!(rig.end.recv().unwrap(), End::Exited(8));
    rig.agent.join().unwrap();
    assert_eq!(out.join().unwrap(), b"closed\n");
    // What comes now is for whoever reads next, not for the session.
    to.write_all(b"next").unwrap();
    let mut next = [0; 4];
    File::from(OwnedFd::from(from)).read_exact(&mut next).unwrap();
    assert_eq!(&next, b"next");
}

#[test]
fn a_command_that_reads_no_input_ends_with_much_of_it() {
    let (stdin, sum) = noise(8 << 20);
    assert_eq!(outcome(&sh("exit 2"), Some(stdin)).0, End::Exited(2));
    sum.join().unwrap();
}

#[test]
fn non_blocking_streams_of_somebody_else_lose_nothing_and_stay_so() {
    let (mut out, to) = std::io::pipe().unwrap();
    let (stdin, sum) = noise(1 << 20);
    crate::sys::socket::set_nonblocking(to.as_fd()).unwrap();
    crate::sys::socket::set_nonblocking(stdin.as_fd()).unwrap();
    let rig = start(&job(&["cat"]), Streams { stdin: Some(stdin), stdout: to.into(), stderr: dev_null() });
    let mut all = Vec::new();
    out.read_to_end(&mut all).unwrap();
    assert_eq!((all.len(), fnv(FNV, &all)), (1 << 20, sum.join().unwrap()));
    assert_eq!(finish(rig), End::Exited(0));
}

#[test]
fn what_is_left_in_the_background_is_heard_a_moment_and_killed() {
    let (end, out, _) = outcome(&sh("(sleep 0.1; echo late) & echo first; exit 0"), None);
    assert_eq!((end, out), (End::Exited(0), b"first\nlate\n".to_vec()));
    // It would hold standard output for ten minutes, or flood it for ever.
    assert_eq!(outcome(&sh("sleep 600 & echo $!; exit 1"), None).0, End::Exited(1));
    assert_eq!(outcome(&sh("yes & exit 1"), None).0, End::Exited(1));
}

#[test]
fn signals_reach_the_command() {
    let (mut out, to) = std::io::pipe().unwrap();
    let script = "trap 'echo got; exit 11' USR1; echo ready; while :; do sleep 0.01; done";
    let rig = start(&sh(script), Streams { stdin: None, stdout: to.into(), stderr: dev_null() });
    let mut line = [0; 6];
    out.read_exact(&mut line).unwrap();
    rig.session.signal(libc::SIGUSR1 as u8);
    rig.session.signal(0);
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!((&line, &rest[..]), (b"ready\n", &b"got\n"[..]));
    assert_eq!(finish(rig), End::Exited(11));
}

#[test]
fn a_long_job_arrives() {
    let long = "x".repeat(100_000);
    let mut job = job(&["/bin/sh", "-c", "echo ${#1} ${#2} ${#3}", "sh", &long, &long, &long]);
    job.env.push(("BIG".into(), long.clone().into()));
    assert_eq!(outcome(&job, None).1, b"100000 100000 100000\n");
    let (host, _guest) = UnixStream::pair().unwrap();
    job.argv = vec![long.into(); 60];
    let refused = Session::start(host, &job, collected(None).0, Box::new(|_| ()));
    assert!(refused.err().unwrap().to_string().contains("too long"));
}

#[test]
fn what_the_agent_said_and_when_is_kept() {
    let (streams, _, _) = collected(None);
    let rig = start(&sh("exit 0"), streams);
    assert_eq!(rig.end.recv().unwrap(), End::Exited(0));
    let (times, hello) = (rig.session.times(), rig.session.hello().unwrap());
    assert!(times.hello <= times.started && times.started <= times.ended && times.hello.is_some());
    assert!(times.guest_hello <= times.guest_started && times.guest_started <= times.guest_ended);
    assert_eq!(hello.release, std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
}

#[test]
fn a_stopped_session_says_nothing_more() {
    let (from, _to) = std::io::pipe().unwrap();
    let (streams, out, _) = collected(Some(from.into()));
    let rig = start(&sh("echo up; cat; sleep 600"), streams);
    while rig.session.times().started.is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    drop(rig.session);
    // The callback is dropped uncalled, every thread gives up its stream, and the agent notices.
    assert!(rig.end.recv().is_err());
    out.join().unwrap();
    rig.agent.join().unwrap();
}
