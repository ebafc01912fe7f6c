//! Each test starts this test program again with a pseudo terminal as standard input, where only [`child`] runs.

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// What the child does when it has the raw terminal; unset in an ordinary run.
const PLAN: &str = "KILN_TEST_TERMINAL_PLAN";

struct Trial {
    master: File,
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Trial {
    fn start(plan: &str) -> Trial {
        let (master, path) = open_pty().unwrap();
        let mut cooked = attributes(master.as_raw_fd()).unwrap();
        cooked.c_lflag |= libc::ICANON | libc::ECHO | libc::ISIG | libc::IEXTEN;
        cooked.c_iflag |= libc::ICRNL | libc::IXON;
        cooked.c_oflag |= libc::OPOST | libc::ONLCR;
        set_attributes(master.as_raw_fd(), &cooked).unwrap();
        let slave = File::options().read(true).write(true).open(path).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::term::tests::child", "--nocapture", "--test-threads=1"])
            .env(PLAN, plan)
            .stdin(slave)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own whose parent is in another one of the session: it can be stopped.
            .process_group(0)
            .spawn()
            .unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut trial = Trial { master, child, says };
        trial.expect("raw");
        assert!(trial.is_raw(), "the terminal is raw while `Raw` lives");
        trial
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        while self.says.read_line(&mut line).unwrap() > 0 {
            // The test harness writes something of its own before it.
            if line.trim_end().ends_with(word) {
                return;
            }
            line.clear();
        }
        panic!("the child ended before it said `{word}`");
    }

    /// Lets the child take its next step.
    fn go(&self) {
        (&self.master).write_all(b"\n").unwrap();
    }

    fn is_raw(&self) -> bool {
        let now = attributes(self.master.as_raw_fd()).unwrap();
        let (lines, output) = (now.c_lflag & (libc::ICANON | libc::ECHO | libc::ISIG), now.c_oflag & libc::OPOST);
        assert_eq!(lines == 0, output == 0, "half of the settings are raw");
        lines == 0
    }

    fn send(&self, signal: libc::c_int) {
        // SAFETY: no pointers; the child has not been waited for, so the pid is its.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits until the child stopped.
    fn wait_stopped(&self) {
        let mut status = 0;
        // SAFETY: `status` is ours.
        let pid = unsafe { libc::waitpid(self.child.id() as i32, &raw mut status, libc::WUNTRACED) };
        assert!(pid > 0 && libc::WIFSTOPPED(status), "status {status:#x}");
    }

    /// For what another process does in its own time.
    fn until(&self, raw: bool) {
        for _ in 0..1000 {
            if self.is_raw() == raw {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the terminal never became {}", if raw { "raw" } else { "as it was" });
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: see the top of the file.
#[test]
fn child() {
    let Ok(plan) = std::env::var(PLAN) else { return };
    let terminal = raw().unwrap().expect("standard input is a terminal");
    assert!(raw().is_err(), "raw twice");
    println!("raw");
    let wait = || io::stdin().read_line(&mut String::new()).unwrap();
    wait();
    match plan.as_str() {
        "return" => {
            drop(terminal);
            // SAFETY: nobody else in this process waits for children.
            let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
            println!("children left: {}", pid != -1);
            wait();
        }
        "exit" => std::process::exit(3),
        "panic" => {
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
            println!("panicked");
            wait();
        }
        other => panic!("no plan is called {other}"),
    }
}

#[test]
fn restored_when_dropped_and_the_guard_leaves_no_zombie() {
    let mut trial = Trial::start("return");
    trial.go();
    trial.expect("children left: false");
    assert!(!trial.is_raw());
    trial.go();
    assert!(trial.wait().success());
    assert!(!trial.is_raw());
}

#[test]
fn restored_by_exit() {
    let mut trial = Trial::start("exit");
    trial.go();
    assert_eq!(trial.wait().code(), Some(3));
    assert!(!trial.is_raw());
}

#[test]
fn restored_by_a_panic_before_it_is_reported() {
    let mut trial = Trial::start("panic");
    trial.go();
    trial.expect("panicked");
    assert!(!trial.is_raw());
    trial.go();
    trial.wait();
}

#[test]
fn restored_by_signals_which_still_kill() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        let mut trial = Trial::start("wait");
        trial.send(signal);
        assert_eq!(trial.wait().signal(), Some(signal));
        assert!(!trial.is_raw(), "signal {signal}");
    }
}

#[test]
fn restored_by_the_guard_after_signals_nobody_can_catch() {
    for signal in [libc::SIGKILL, libc::SIGABRT] {
        let mut trial = Trial::start("wait");
        trial.send(signal);
        assert!(trial.wait().signal().is_some());
        trial.until(false);
    }
}

#[test]
fn the_guard_leaves_settings_that_another_process_made() {
    let mut trial = Trial::start("wait");
    let mut others = attributes(trial.master.as_raw_fd()).unwrap();
    others.c_lflag |= libc::ISIG | libc::ICANON;
    others.c_oflag |= libc::OPOST;
    others.c_cc[libc::VINTR] = 7;
    set_attributes(trial.master.as_raw_fd(), &others).unwrap();
    trial.send(libc::SIGKILL);
    trial.wait();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let now = attributes(trial.master.as_raw_fd()).unwrap();
        assert_eq!(now.c_lflag & libc::ECHO, 0, "the guard restored over another's settings");
    }
}

#[test]
fn restored_while_stopped_and_raw_again_when_continued() {
    let mut trial = Trial::start("wait");
    for _ in 0..2 {
        trial.send(libc::SIGTSTP);
        trial.wait_stopped();
        assert!(!trial.is_raw());
        trial.send(libc::SIGCONT);
        trial.until(true);
    }
    // SIGSTOP cannot be caught: the shell makes its own settings, and SIGCONT ours again.
    trial.send(libc::SIGSTOP);
    trial.wait_stopped();
    let mut shell = attributes(trial.master.as_raw_fd()).unwrap();
    shell.c_lflag |= libc::ISIG | libc::ICANON | libc::ECHO;
    shell.c_oflag |= libc::OPOST;
    set_attributes(trial.master.as_raw_fd(), &shell).unwrap();
    trial.send(libc::SIGCONT);
    trial.until(true);
    trial.send(libc::SIGTERM);
    assert_eq!(trial.wait().signal(), Some(libc::SIGTERM));
    assert!(!trial.is_raw());
}

#[test]
fn no_terminal_is_no_error() {
    if std::env::var(PLAN).is_err() && !io::stdin().is_terminal() {
        assert!(raw().unwrap().is_none());
    }
    assert_eq!(size(File::open("/dev/null").unwrap().as_fd()), None);
}
