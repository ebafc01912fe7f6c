use super::*;
use crate::sys::fd::wait_readable;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Stdio;

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).stdin(Stdio::null());
    command
}

#[test]
fn the_child_has_the_descriptor_and_its_end_can_be_waited_for() {
    let (mut from, to) = io::pipe().unwrap();
    let mut child = spawn_tied(&mut shell(&format!("echo hello >/dev/fd/{}", to.as_raw_fd())), to.as_fd()).unwrap();
    drop(to);
    let end = ending(&child).unwrap();
    wait_readable([end.as_fd()]).unwrap();
    assert!(child.wait().unwrap().success());
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
}

#[test]
fn the_child_ends_with_the_thread_that_started_it() {
    let (mut from, to) = io::pipe().unwrap();
    let child = std::thread::spawn(move || spawn_tied(&mut shell("exec sleep 1000"), to.as_fd()).unwrap());
    let mut child = child.join().unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert_eq!(from.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_child_can_be_asked_to_end() {
    let (_from, to) = io::pipe().unwrap();
    let mut child = spawn_tied(&mut shell("exec sleep 1000"), to.as_fd()).unwrap();
    terminate(&child);
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
}
