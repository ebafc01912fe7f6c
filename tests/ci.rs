//! `kiln ci` with guests of a few instructions, on the host's own /dev/kvm: the table, the reports, the status, Ctrl-C.

mod support;

use std::io::Write;
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use support::*;

/// ACPI S5: SLP_TYP 5, SLP_EN in the PM1a control block.
const S5: u16 = 5 << 10 | 1 << 13;
const PANIC: &str = "[    0.100000] Kernel panic - not syncing: no init <\x1b[31m>\n[    0.200000] ---[ end Kernel panic - not syncing: no init ]---\n";

/// A folder with guests and a kiln.toml; `None` without /dev/kvm.
fn matrix(test: &str, toml: &str) -> Option<tempfile::TempDir> {
    if !have_kvm(test) {
        return None;
    }
    let dir = scratch();
    let guests: [(&str, Vec<Vec<u8>>); 4] = [
        ("off", vec![print("hello\n"), out16(0x604, S5)]),
        ("panic", vec![print(PANIC)]),
        ("login", vec![print("booting\nhost login: ")]),
        ("hang", vec![print("waiting for nothing\n")]),
    ];
    for (name, code) in guests {
        file(&dir, name, &guest(&[code.concat(), HALT.to_vec()].concat()));
    }
    file(&dir, "kiln.toml", format!("[defaults]\nmemory = '16M'\ntimeout = '60s'\n{toml}").as_bytes());
    Some(dir)
}

fn ci(dir: &tempfile::TempDir, args: &[&str]) -> Output {
    kiln().current_dir(dir).arg("ci").args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn read(dir: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(dir.path().join("kiln-ci").join(name)).unwrap()
}

/// Kernel x machine x test, with the verdicts of results.jsonl.
fn verdicts(dir: &tempfile::TempDir) -> Vec<(String, String)> {
    let word = |v: &serde_json::Value| v.as_str().unwrap().to_string();
    let line = |l: &str| {
        let v: serde_json::Value = serde_json::from_str(l).unwrap();
        (word(&v["name"]), word(&v["verdict"]))
    };
    let mut all: Vec<_> = read(dir, "results.jsonl").lines().map(line).collect();
    all.sort();
    all
}

const THREE_BY_TWO: &str = "
[kernels.off]
path = 'off'
[kernels.panic]
path = 'panic'
[kernels.hang]
path = 'hang'
timeout = '500ms'
[machines.one]
[machines.mmio]
transport = 'mmio'
[tests.boots]
retry = 1
";

#[test]
fn a_matrix_with_a_panic_and_a_hang() {
    let Some(dir) = matrix("matrix", THREE_BY_TWO) else { return };
    let o = ci(&dir, &["-j", "3"]);
    let (out, err) = (stdout(&o), stderr(&o));
    assert_eq!(o.status.code(), Some(1), "{out}{err}");
    let want = [
        ("hang/mmio/boots", "failed"),
        ("hang/one/boots", "failed"),
        ("off/mmio/boots", "passed"),
        ("off/one/boots", "passed"),
        ("panic/mmio/boots", "failed"),
        ("panic/one/boots", "failed"),
    ];
    assert_eq!(verdicts(&dir), want.map(|(n, v)| (n.to_string(), v.to_string())), "{err}");
    for part in ["6 boots in ", ": 2 passed, 4 failed; reports in kiln-ci", "Kernel panic - not syncing: no init"] {
        assert!(out.contains(part), "`{part}` is not in: {out}");
    }
    let cells: Vec<Vec<&str>> = out.lines().take(7).map(|l| l.split_whitespace().take(3).collect()).collect();
    assert_eq!(cells[0], ["kernel", "machine", "boots"]);
    assert_eq!(cells[1], ["off", "one", "ok"]);
    assert_eq!(cells[4], ["panic", "mmio", "FAILED"]);
    // Nothing of the guest's reaches the terminal as it was.
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
    assert!(err.lines().count() == 6 && err.contains("ok ") && err.contains("/6 off/one/boots "), "{err}");
    let log = read(&dir, "hang/one/boots.2.log");
    assert!(log.contains(" out  waiting for nothing\n") && log.contains("ended: timeout, status 124"), "{log}");
    let xml = read(&dir, "junit.xml");
    assert_eq!((xml.matches("<failure").count(), xml.matches("<rerunFailure").count()), (4, 4), "{xml}");
    assert!(xml.contains("type=\"timeout\"") && xml.contains("type=\"panic\""), "{xml}");
    let ktap = read(&dir, "results.ktap");
    assert!(ktap.starts_with("KTAP version 1\n1..3\n"), "{ktap}");
}

#[test]
fn what_is_expected_and_what_is_awaited_passes() {
    let toml = "[tests.login]\nawait = 'login: $'\nargs = ['--', 'login']\n\
                [tests.crash]\nexpect = { ends = 'panic', log = 'not syncing' }\nargs = ['--', 'panic']\n\
                [tests.stuck]\nexpect.ends = 'timeout'\ntimeout = '300ms'\nargs = ['--', 'hang']\n\
                [tests.later]\nskip = 'not yet'\n";
    let Some(dir) = matrix("expectations", toml) else { return };
    let o = ci(&dir, &["--json", "--out", "elsewhere"]);
    assert_eq!(o.status.code(), Some(0), "{}{}", stdout(&o), stderr(&o));
    let written = std::fs::read_to_string(dir.path().join("elsewhere/results.jsonl")).unwrap();
    assert_eq!(stdout(&o), written);
    let count = |v: &str| written.matches(&format!("\"test\":\"{v}\",\"verdict\":\"passed\"")).count();
    assert_eq!(["login", "crash", "stuck"].map(count), [1, 1, 1], "{written}");
    assert!(written.contains("\"test\":\"later\",\"verdict\":\"skipped\""), "{written}");
}

#[test]
fn flaky_is_told_apart() {
    let toml = "[tests.t]\nretry = 50\nargs = ['--', 'kernel']\n";
    let Some(dir) = matrix("flaky", toml) else { return };
    // The first child finds a FIFO, which is no kernel; once it has been opened, there is a kernel in its place.
    let path = dir.path().join("kernel");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (good, place) = (dir.path().join("off"), path.clone());
    let feeder = std::thread::spawn(move || {
        // Opened as soon as there is a reader.
        let mut nonsense = std::fs::File::options().write(true).open(&place).unwrap();
        std::fs::rename(good, place).unwrap();
        // The child may have seen that it is no file, and have gone.
        let _ = nonsense.write_all(b"no kernel");
    });
    let o = ci(&dir, &[]);
    feeder.join().unwrap();
    let text = stdout(&o) + &stderr(&o);
    assert_eq!(o.status.code(), Some(0), "{text}");
    assert_eq!(verdicts(&dir), [("default/default/t".to_string(), "flaky".to_string())], "{text}");
    assert!(read(&dir, "junit.xml").contains("<flakyError"), "{text}");
    assert!(text.contains("1 boot in ") && text.contains(": 1 flaky;"), "{text}");
}

#[test]
fn wrong_files_and_options_are_one_line_and_125() {
    let toml = "[kernels.k]\npathh = 'x'\n[tests.t]\ncommand = 'x'";
    let cases: &[(&str, &[&str], &str)] = &[
        (toml, &[], "kiln: kiln.toml:2: kernels.k.pathh: unknown key; there are: path, modules, timeout"),
        ("", &[], "kiln: kiln.toml: there is no test"),
        ("[tests.t]\ncommand='x'", &["--filter", "nothing"], "kiln: --filter nothing: none of 1 boots"),
        ("[tests.t]\ncommand='x'", &["--filter", "("], "kiln: error: invalid value '('"),
        (
            "[tests.t]\ncommand='x'\n[kernels.k]\npath='gone'",
            &[],
            "kiln: kiln.toml:4: kernels.k.path: gone: No such file",
        ),
        ("[tests.t]\ncommand='x'\nmemory='4G'", &["--memory", "1G"], "kiln: default/default/t: needs 4128 MiB"),
        ("[tests.t]\ncommand='x'", &["--out", "/dev/null/x"], "kiln: --out /dev/null/x: "),
        ("[tests.t]\ncommand='x'", &["other.toml"], "kiln: open other.toml: No such file"),
    ];
    for (text, args, want) in cases {
        let dir = scratch();
        file(&dir, "kiln.toml", text.as_bytes());
        let o = ci(&dir, args);
        let err = stderr(&o);
        let want = want.replace("kiln: error: ", "kiln: ");
        assert_eq!((o.status.code(), o.stdout.len()), (Some(125), 0), "{err}");
        assert!(err.starts_with(&want) && err.lines().count() == 1, "{err}\nwant: {want}");
    }
}

#[test]
fn names_and_commands_are_printed_and_nothing_is_run() {
    let dir = scratch();
    file(&dir, "kiln.toml", b"[kernels.k]\npath='b z'\n[tests.t]\ncommand='exit 3'\n[tests.u]\nawait='x'");
    let o = ci(&dir, &["--list"]);
    assert_eq!((o.status.code(), stdout(&o).as_str()), (Some(0), "k/default/t\nk/default/u\n"));
    let o = ci(&dir, &["-n", "--filter", "/u$"]);
    assert_eq!(stdout(&o), "kiln run --cpus 1 --memory 1G --timeout 5m --reboot exit -- 'b z'\n");
    assert!(!dir.path().join("kiln-ci").exists());
}

fn start(dir: &tempfile::TempDir) -> Child {
    let mut command = kiln();
    command.current_dir(dir).args(["ci", "-j", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Returns when both guests have said something.
fn wait_for_guests(dir: &tempfile::TempDir) {
    let log =
        |k: &str| std::fs::read_to_string(dir.path().join(format!("kiln-ci/{k}/default/t.log"))).unwrap_or_default();
    while !(log("a").contains("waiting") && log("b").contains("waiting")) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn children(of: u32) -> Vec<u32> {
    let list = |tid: String| std::fs::read_to_string(format!("/proc/{of}/task/{tid}/children")).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let names = tasks.map(|t| t.unwrap().file_name().into_string().unwrap());
    names.flat_map(|t| list(t).split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<u32>>()).collect()
}

fn lives(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
}

fn signal(name: &str, process: u32) {
    let sent = std::process::Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

const HANGS: &str =
    "[kernels.a]\npath='hang'\n[kernels.b]\npath='hang'\n[kernels.c]\npath='hang'\n[tests.t]\ntimeout='10m'\nretry=3\n";

#[test]
fn ctrl_c_ends_all_guests_and_the_reports_are_written() {
    let Some(dir) = matrix("ctrl-c", HANGS) else { return };
    let ci = start(&dir);
    wait_for_guests(&dir);
    let guests = children(ci.id());
    assert_eq!(guests.len(), 2);
    signal("-INT", ci.id());
    let o = ci.wait_with_output().unwrap();
    let (out, err) = (stdout(&o), stderr(&o));
    assert_eq!(o.status.code(), Some(130), "{out}{err}");
    assert!(guests.iter().all(|g| !lives(*g)), "{guests:?}");
    assert!(out.contains("3 boots in ") && out.contains(": 3 not run; "), "{out}");
    assert_eq!(read(&dir, "junit.xml").matches("<skipped message=\"not run: interrupted\"").count(), 3);
    assert!(verdicts(&dir).iter().all(|(_, v)| v == "not-run"));
    assert!(dir.path().join("kiln-ci/results.ktap").exists());
}

#[test]
fn guests_end_with_a_kiln_that_is_killed() {
    let Some(dir) = matrix("killed", HANGS) else { return };
    let mut ci = start(&dir);
    wait_for_guests(&dir);
    let guests = children(ci.id());
    assert_eq!(guests.len(), 2);
    ci.kill().unwrap();
    ci.wait().unwrap();
    while guests.iter().any(|g| lives(*g)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}
