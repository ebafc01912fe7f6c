//! Commands with a terminal.

use super::*;
use crate::sys::pty;

fn on_terminal(script: &str) -> Job {
    let terminal = Terminal { columns: 91, rows: 33, term: "xterm-mine".into() };
    Job { terminal: Some(terminal), ..sh(script) }
}

/// Reads until `text` has come.
fn await_text(from: &mut impl Read, text: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut buf = [0; 1000];
        let n = from.read(&mut buf).unwrap();
        assert!(n > 0, "no `{text}` in `{}`", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buf[..n]);
    }
    String::from_utf8_lossy(&seen).into()
}

#[test]
fn it_is_a_terminal_with_a_size_and_a_type() {
    let (end, out, err) = outcome(&on_terminal("test -t 0 -a -t 1 -a -t 2 && stty size && echo $TERM && tty"), None);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("33 91\r\nxterm-mine\r\n/dev/pts/"), "{text}");
    assert_eq!((end, err), (End::Exited(0), vec![]));
}

#[test]
fn it_is_the_controlling_terminal() {
    let (from, mut to) = std::io::pipe().unwrap();
    let (mut out, stdout) = std::io::pipe().unwrap();
    let streams = Streams { stdin: Some(from.into()), stdout: stdout.into(), stderr: dev_null() };
    let rig = start(&on_terminal("trap 'echo caught; exit 12' INT; echo ready; while :; do sleep 0.01; done"), streams);
    await_text(&mut out, "ready");
    to.write_all(&[3]).unwrap();
    await_text(&mut out, "caught");
    assert_eq!(finish(rig), End::Exited(12));
}

#[test]
fn the_end_of_input_is_ctrl_d() {
    let (from, mut to) = std::io::pipe().unwrap();
    to.write_all(b"line\n").unwrap();
    drop(to);
    let (end, out, _) = outcome(&on_terminal("stty -echo; cat; echo over"), Some(from.into()));
    assert_eq!(end, End::Exited(0));
    assert!(String::from_utf8(out).unwrap().ends_with("line\r\nover\r\n"));
}

/// The host's terminal here is a pseudo terminal, and its size is sent once the command runs.
#[test]
fn the_size_follows_the_hosts_terminal() {
    let (ours, theirs) = pty::open(100, 40).unwrap();
    let script = "trap 'stty size' WINCH; while :; do stty size; sleep 0.05; done";
    let streams = Streams { stdin: None, stdout: theirs, stderr: dev_null() };
    let rig = start(&on_terminal(script), streams);
    let blocking = |mut from: &File| loop {
        let mut buf = [0; 500];
        match from.read(&mut buf) {
            Ok(n) => break String::from_utf8_lossy(&buf[..n]).into_owned(),
            Err(_) => crate::sys::fd::wait_readable([from.as_fd()]).map(drop).unwrap(),
        }
    };
    let mut seen = String::new();
    while !seen.contains("40 100") {
        seen += &blocking(&ours);
    }
    pty::resize(&ours, 120, 50).unwrap();
    while !seen.contains("50 120") {
        // SIGWINCH does the same, for the session that was started last.
        rig.session.resized();
        seen += &blocking(&ours);
    }
    drop(rig.session);
    rig.agent.join().unwrap();
}

#[test]
fn more_output_than_a_window_arrives_to_the_last_byte() {
    let (end, out, _) = outcome(&on_terminal("stty -opost; seq 100000; exit 3"), None);
    assert_eq!(end, End::Exited(3));
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 100_000);
    assert!(text.ends_with("99999\n100000\n"));
}
