//! A running kiln with the guest of the display tests, and what comes out of it.

use crate::picture::pixel;
use crate::support::{kiln, stderr};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// After which a test fails instead of waiting on.
const PATIENCE: Duration = Duration::from_secs(120);

/// The guest, built once for all tests.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let base = root.join("src/selftest/guest");
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("display-guest-{}", std::process::id()));
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        rustc.arg(root.join("tests/display/guest.rs")).arg("-o").arg(&out);
        rustc.arg(format!("@{}", base.join("rustc.args").display())).arg("-Copt-level=3");
        rustc.arg(format!("-Clink-arg=-Wl,-T,{}", base.join("linker.ld").display())).arg("-Clink-arg=-Wl,-e,linux64");
        let built = rustc.output().unwrap();
        assert!(built.status.success(), "build the guest: {}", stderr(&built));
        out
    })
}

/// A picture with its size.
pub struct Shot {
    pub width: u32,
    pub height: u32,
    /// 0x00RRGGBB, rows from the top.
    pub pixels: Vec<u32>,
}

impl Shot {
    pub fn new(width: u32, height: u32, pixels: &[u32]) -> Shot {
        Shot { width, height, pixels: pixels.to_vec() }
    }

    /// Of a PNG file.
    pub fn read(path: &Path) -> Shot {
        let file = BufReader::new(fs::File::open(path).unwrap_or_else(|e| panic!("open {}: {e}", path.display())));
        let mut decoder = png::Decoder::new(file);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let step = info.color_type.samples();
        assert!(step >= 3, "a picture in {:?}", info.color_type);
        let pixels = bytes.chunks_exact(step).map(|p| u32::from_be_bytes([0, p[0], p[1], p[2]])).collect();
        Shot { width: info.width, height: info.height, pixels }
    }

    /// How many pixels differ from picture `n`, and the first that does.
    pub fn differs(&self, n: u32) -> Option<String> {
        let at = |i: usize| (i as u32 % self.width, i as u32 / self.width);
        let wrong = self.pixels.iter().enumerate().filter(|(i, p)| pixel(n, at(*i).0, at(*i).1) != **p);
        let (mut count, mut first) = (0, None);
        wrong.for_each(|(i, p)| {
            count += 1;
            first.get_or_insert((at(i), *p, pixel(n, at(i).0, at(i).1)));
        });
        let (place, is, should) = first?;
        Some(format!(
            "{count} pixels of {}x{} are not picture {n}; at {place:?} is {is:06x}, not {should:06x}",
            self.width, self.height
        ))
    }

    /// It is picture `n` of this size, in every pixel.
    pub fn assert(&self, size: (u32, u32), n: u32, what: &str) {
        assert_eq!((self.width, self.height), size, "{what}");
        if let Some(why) = self.differs(n) {
            panic!("{what}: {why}");
        }
    }
}

pub struct Vm {
    child: Child,
    dir: tempfile::TempDir,
    /// What the guest says, and what kiln does.
    lines: Receiver<String>,
    told: Receiver<String>,
    /// All that either has said, for a failure's message.
    heard: Vec<String>,
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line.trim_end().into())))
    });
    receiver
}

impl Vm {
    /// `kiln run --name screen GUEST ARGS --append APPEND`, until the guest says that it is ready.
    pub fn start(args: &[&str], append: &str) -> Vm {
        let dir = tempfile::tempdir().unwrap();
        let mut command = kiln();
        command.arg("run").arg(guest()).args(["--memory", "64M", "--timeout", "300s", "--debug-exit", "0xf4"]);
        command.args(["--serial", "stdio", "--name", "screen", "--append", append]).args(args);
        // Its socket is where no other test looks, and files named in `args` are the test's own.
        command.env("XDG_RUNTIME_DIR", dir.path()).current_dir(dir.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = listen(child.stdout.take().unwrap());
        let told = listen(child.stderr.take().unwrap());
        let mut vm = Vm { child, dir, lines, told, heard: Vec::new() };
        vm.line("ready");
        vm
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn wait(&mut self, told: bool, what: &str, mut wanted: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let from = if told { &self.told } else { &self.lines };
            match from.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(why) => {
                    let ended = why == RecvTimeoutError::Disconnected;
                    self.heard.extend(self.told.try_iter());
                    let how = if ended { "it ended" } else { "in vain" };
                    panic!("waiting for `{what}`: {how}; heard:\n{}", self.heard.join("\n"));
                }
            }
        }
    }

    /// Waits until the guest has said a line that begins so.
    pub fn line(&mut self, begin: &str) -> String {
        self.wait(false, begin, |line| line.starts_with(begin))
    }

    /// Waits until kiln has said on stderr where the screen is; gives what follows `begin` on that line.
    pub fn told(&mut self, begin: &str) -> String {
        let line = self.wait(true, begin, |line| line.contains(begin));
        line.split_once(begin).unwrap().1.split_whitespace().next().unwrap_or_default().to_string()
    }

    /// Everything that is typed reaches the guest as these lines, in this order, and between others.
    pub fn sequence(&mut self, wanted: &[&str]) {
        wanted.iter().for_each(|w| drop(self.wait(false, w, |line| line == *w)));
    }

    /// `kiln VERB screen ARGS`, which must do it.
    pub fn kiln(&self, verb: &str, args: &[&str]) -> String {
        let output = self.try_kiln(verb, args);
        assert!(output.status.success(), "kiln {verb} {args:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn try_kiln(&self, verb: &str, args: &[&str]) -> std::process::Output {
        let mut command = kiln();
        command.env("XDG_RUNTIME_DIR", self.dir()).current_dir(self.dir());
        command.args([verb, "screen"]).args(args).output().unwrap()
    }

    pub fn screenshot(&self) -> Shot {
        self.kiln("screenshot", &["shot.png"]);
        Shot::read(&self.dir().join("shot.png"))
    }

    /// Whether the process is still there, and its threads' voluntary context switches.
    pub fn switches(&mut self) -> u64 {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |path: PathBuf| {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let line = status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).map(String::from);
            line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.map(|t| of(t.unwrap().path())).sum()
    }

    /// KiB of the process's own memory, that of the guest and of its screen left out.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        field("RssAnon:")
    }
}
