//! The control socket of real machines: found, asked, ended.

mod support;

use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use support::*;

/// Machines of this test, and of no other.
struct Place(tempfile::TempDir);

impl Place {
    fn kiln(&self) -> Command {
        let mut command = kiln();
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("kiln/{name}.sock"))
    }

    /// Runs a guest that prints `up` and stays; returns when it has.
    fn start(&self, args: &[&str]) -> Running {
        self.start_with(&[], args)
    }

    /// The same, which does something before.
    fn start_with(&self, first: &[u8], args: &[&str]) -> Running {
        let code = [first, &print("up\n"), &HALT].concat();
        let path = file(&self.0, "guest.elf", &guest(&code));
        let mut command = self.kiln();
        command.arg("run").arg(path).args(["--memory", "16M", "--timeout", "120s"]).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        Running(child)
    }

    fn ps(&self) -> Vec<Value> {
        let o = self.kiln().args(["ps", "--json"]).output().unwrap();
        assert_eq!(o.status.code(), Some(0), "{}", stderr(&o));
        let all: Vec<Value> = serde_json::from_slice(&o.stdout).unwrap();
        // Those of other tests, in the directory that all share.
        all.into_iter().filter(|vm| self.socket(vm["name"].as_str().unwrap()).exists()).collect()
    }

    fn says(&self, args: &[&str]) -> Output {
        self.kiln().args(args).output().unwrap()
    }
}

struct Running(Child);

impl Running {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn end(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

/// A test that fails leaves no guest behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn place() -> Place {
    Place(scratch())
}

fn post(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nHost: kiln\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_machine_is_listed_while_it_runs_and_ended_through_its_socket() {
    if !have_kvm("a machine is listed") {
        return;
    }
    let place = place();
    let running = place.start(&["--name", "web", "--cpus", "2"]);
    let all = place.ps();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["name"], "web");
    assert_eq!(all[0]["pid"].to_string(), running.pid());
    assert_eq!((&all[0]["state"], &all[0]["cpus"]), (&"running".into(), &2.into()));
    assert_eq!(all[0]["memory"], 16 << 20);
    let table = place.says(&["ps"]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.starts_with("NAME") && text.lines().any(|l| l.starts_with("web") && l.contains("16M")), "{text}");

    let again = place.says(&["run", "/dev/null", "--name", "web"]);
    assert_eq!(again.status.code(), Some(125));
    let answer = post(&place.socket("web"), "/v1/quit");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(running.end(), Some(130));
    assert!(!place.socket("web").exists() && place.ps().is_empty());
}

#[test]
fn it_tells_where_displays_listen() {
    if !have_kvm("where displays listen") {
        return;
    }
    let place = place();
    let socket = place.0.path().join("vnc");
    let socket = socket.display();
    let running = place.start(&["--name", "desk", "--display", &format!("vnc=unix:{socket}"), "--display", "none"]);
    let displays = place.ps().remove(0)["displays"].clone();
    assert_eq!(displays, serde_json::json!([format!("unix:{socket}"), "none"]));
    let table = String::from_utf8(place.says(&["ps"]).stdout).unwrap();
    assert!(table.contains(&format!("unix:{socket} none")), "{table}");
    let link = place.says(&["link", &running.pid()]);
    assert_eq!(link.status.code(), Some(125));
    assert!(stderr(&link).contains("`desk`") && stderr(&link).contains("--display web"), "{}", stderr(&link));
}

#[test]
fn a_name_that_is_taken_is_refused_and_one_by_default_is_the_process() {
    if !have_kvm("a name that is taken") {
        return;
    }
    let place = place();
    let first = place.start(&["--name", "web"]);
    let kernel = place.0.path().join("guest.elf").display().to_string();
    let o = place.says(&["run", &kernel, "--memory", "16M", "--name", "web"]);
    assert_eq!(o.status.code(), Some(125));
    assert!(stderr(&o).contains("--name web") && stderr(&o).contains("choose another"), "{}", stderr(&o));
    let second = place.start(&[]);
    assert!(place.socket(&second.pid()).exists());
    let shot = place.says(&["screenshot", &first.pid(), "-"]);
    assert_eq!(shot.status.code(), Some(125));
    assert!(stderr(&shot).contains("`web`") && stderr(&shot).contains("nothing"), "{}", stderr(&shot));
    let none = place.says(&["screenshot", "wbe", "-"]);
    assert!(stderr(&none).contains("`wbe`") && stderr(&none).contains("web"), "{}", stderr(&none));
}

#[test]
fn a_machine_that_was_killed_leaves_nothing_that_is_in_the_way() {
    if !have_kvm("a machine that was killed") {
        return;
    }
    let place = place();
    drop(place.start(&["--name", "web"]));
    assert!(place.socket("web").exists(), "nobody could remove it");
    assert!(place.ps().is_empty());
    assert!(!place.socket("web").exists());
    drop(place.start(&["--name", "web"]));
    drop(place.start(&["--name", "web"]));
}

#[test]
fn a_place_that_cannot_be_used_stops_only_who_asks_for_a_name() {
    if !have_kvm("a place that cannot be used") {
        return;
    }
    let place = place();
    std::fs::write(place.0.path().join("kiln"), "").unwrap();
    let kernel = file(&place.0, "off.elf", &guest(&out(0xf4, 0))).display().to_string();
    let args = ["run", &kernel, "--memory", "16M", "--debug-exit", "0xf4"];
    let o = place.says(&args);
    assert_eq!((o.status.code(), stderr(&o)), (Some(1), String::new()));
    let o = place.says(&[&args[..], &["--name", "web"]].concat());
    assert_eq!(o.status.code(), Some(125));
    assert!(stderr(&o).contains("no directory"), "{}", stderr(&o));
    assert!(stderr(&place.says(&["ps"])).contains("no directory"));
}

/// The early framebuffer of a machine with nothing but the devices of `--display`.
const FRAMEBUFFER: u32 = 0xc100_0000;
const SCREEN: (u32, u32) = (1280, 800);

/// mov edi, FRAMEBUFFER; mov ecx, pixels; mov eax, colour; rep stosd
fn paint(colour: u32) -> Vec<u8> {
    let word = |op: u8, value: u32| [&[op][..], &value.to_le_bytes()].concat();
    [word(0xbf, FRAMEBUFFER), word(0xb9, SCREEN.0 * SCREEN.1), word(0xb8, colour), vec![0xf3, 0xab]].concat()
}

/// A picture in which only the pixels of the first row count.
fn first_row(red: u8, green: u8, blue: u8) -> Vec<u8> {
    let (mut bytes, pixels) = (Vec::new(), (SCREEN.0 * SCREEN.1) as usize);
    let mut encoder = png::Encoder::new(&mut bytes, SCREEN.0, SCREEN.1);
    encoder.set_color(png::ColorType::Rgba);
    let data: Vec<u8> = (0..pixels).flat_map(|at| [red, green, blue, if at < 1280 { 255 } else { 0 }]).collect();
    encoder.write_header().unwrap().write_image_data(&data).unwrap();
    bytes
}

#[test]
fn a_script_sees_what_the_guest_draws() {
    if !have_kvm("a script sees") {
        return;
    }
    let place = place();
    let right = file(&place.0, "right.png", &first_row(0x12, 0x34, 0x56)).display().to_string();
    let wrong = file(&place.0, "wrong.png", &first_row(0x12, 0x34, 0x57)).display().to_string();
    let shot = place.0.path().join("shot.png").display().to_string();
    let running = place.start_with(&paint(0xff12_3456), &["--name", "desk", "--display", "none"]);
    assert_eq!(place.ps()[0]["screen"]["width"], 1280);
    let o = place.says(&["screenshot", "desk", &shot, "--await-screen", &right]);
    assert_eq!((o.status.code(), stderr(&o)), (Some(0), String::new()));
    let reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&shot).unwrap())).read_info();
    let mut reader = reader.unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels, [0x12, 0x34, 0x56].repeat((SCREEN.0 * SCREEN.1) as usize));

    std::fs::remove_file(&shot).unwrap();
    let o = place.says(&["screenshot", "desk", &shot, "--await-screen", &wrong, "--timeout", "100ms"]);
    assert_eq!(o.status.code(), Some(124));
    assert!(stderr(&o).contains("wrong.png") && stderr(&o).contains("100.00 percent"), "{}", stderr(&o));
    assert!(Path::new(&shot).exists(), "what was there instead is to be looked at");
    let o = place.says(&["screenshot", "desk", "-", "--await-screen", &format!("{wrong},100")]);
    assert_eq!(o.status.code(), Some(0));
    assert!(o.stdout.starts_with(b"\x89PNG"));
    drop(running);
}

#[test]
fn a_guest_is_ended_when_its_screen_is_as_expected() {
    if !have_kvm("a guest is ended") {
        return;
    }
    let place = place();
    let right = file(&place.0, "right.png", &first_row(0x12, 0x34, 0x56)).display().to_string();
    let run = |code: &[u8], args: &[&str]| {
        let kernel = file(&place.0, "paint.elf", &guest(code)).display().to_string();
        let all = ["run", &kernel, "--memory", "16M", "--display", "none", "--await-screen", &right, "--timeout"];
        let o = place.says(&[&all[..], args].concat());
        (o.status.code(), stderr(&o))
    };
    let stays = |colour| [&paint(colour)[..], &HALT].concat();
    assert_eq!(run(&stays(0x12_3456), &["60s"]), (Some(0), String::new()));
    let (status, why) = run(&stays(0x12_3455), &["1s"]);
    assert_eq!((status, why.contains("100.00 percent") && why.contains("--timeout")), (Some(124), true), "{why}");
    let (status, why) = run(&[&out(0xcf9, 6)[..], &HALT].concat(), &["60s", "--reboot", "exit"]);
    assert_eq!((status, why.contains("right.png")), (Some(1), true), "it ended without: {why}");
}

#[test]
fn a_screen_is_waited_for_where_there_is_one() {
    let place = place();
    let o = place.says(&["run", "/dev/null", "--await-screen", "/nowhere/ref.png"]);
    assert_eq!(o.status.code(), Some(125));
    for bad in ["1", "a/b", ""] {
        let o = place.says(&["run", "/dev/null", "--name", bad]);
        assert!(stderr(&o).contains("a name has"), "{bad}: {}", stderr(&o));
    }
}
