//! One monitor with its guest, and what is measured of it.

use crate::picture::pixel;
use crate::rfb::{self, Client};
use crate::{HEIGHT, Vmm, WIDTH};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Seen {
    /// Milliseconds from just before the guest's flush to the last pixel in the client's memory.
    pub latency: Vec<f64>,
    /// KiB of a whole picture.
    pub picture: Vec<f64>,
    /// Percent of one processor for all threads but the vCPU's, at 30 changes a second.
    pub cpu: Vec<f64>,
    /// Pictures that reached the client then, a second, and KiB of each.
    pub rate: Vec<f64>,
    pub change: Vec<f64>,
    /// Voluntary context switches of all threads in a second, with a client that waits and nothing that changes.
    pub wakeups: Vec<f64>,
}

pub struct Vm<'a> {
    vmm: &'a Vmm,
    child: Child,
    /// Lines that the guest says, and when.
    lines: Receiver<(Instant, String)>,
    picture: u32,
}

impl Drop for Vm<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the picture is `n`, as far as every sixteenth pixel both ways and the last ones tell.
fn shows(client: &Client, n: u32) -> bool {
    let at = |x: u32, y: u32| client.pixels[(y * client.width + x) as usize] == pixel(n, x, y);
    let (width, height) = (client.width, client.height);
    let mut grid = (0..height).step_by(16).flat_map(|y| (0..width).step_by(16).map(move |x| (x, y)));
    width == WIDTH && height == HEIGHT && at(width - 1, height - 1) && grid.all(|(x, y)| at(x, y))
}

fn whole(client: &Client, n: u32) -> bool {
    (0..client.height)
        .all(|y| (0..client.width).all(|x| client.pixels[(y * client.width + x) as usize] == pixel(n, x, y)))
}

impl Vm<'_> {
    pub fn start<'a>(vmm: &'a Vmm, append: &str) -> io::Result<Vm<'a>> {
        let _ = fs::remove_file(&vmm.socket);
        let mut command = Command::new(&vmm.words[0]);
        command.args(&vmm.words[1..]).args([vmm.append, append]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        let vm = Vm { vmm, child, lines, picture: 0 };
        vm.line("ready")?;
        Ok(vm)
    }

    /// When the guest said so.
    fn line(&self, wanted: &str) -> io::Result<Instant> {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(30)) {
                Ok((when, line)) if line.trim() == wanted => return Ok(when),
                Ok(_) => {}
                Err(_) => return Err(rfb::broken(&format!("the guest does not say `{wanted}`"))),
            }
        }
    }

    fn client(&self, encoding: i32) -> io::Result<Client> {
        let wire = UnixStream::connect(&self.vmm.socket)?;
        Client::open(
            Box::new(wire),
            &[encoding, rfb::COPY_RECT, rfb::CURSOR, rfb::DESKTOP_SIZE, rfb::LAST_RECT, rfb::EXTENDED_KEY],
        )
    }

    /// The whole picture; an idle while; then some changes, one at a time.
    pub fn wait_and_change(&mut self, encoding: i32, seen: &mut Seen, round: usize) -> io::Result<()> {
        let mut client = self.client(encoding)?;
        client.until(|c| shows(c, self.picture))?;
        seen.picture.push(client.bytes() as f64 / 1024.0);
        std::thread::sleep(Duration::from_millis(500));
        let before = self.switches();
        std::thread::sleep(Duration::from_secs(2));
        seen.wakeups.push((self.switches() - before) as f64 / 2.0);
        for change in 0..15u64 {
            // Changes come when they like, not in step with anybody's clock.
            std::thread::sleep(Duration::from_millis(100 + (change * 37 + round as u64 * 13) % 50));
            client.extended_key(0x61, 0x1e, true)?;
            client.extended_key(0x61, 0x1e, false)?;
            self.picture += 1;
            while !shows(&client, self.picture) {
                if client.next()? {
                    client.ask(true)?;
                }
            }
            let now = Instant::now();
            let flush = self.line(&format!("flush {}", self.picture))?;
            seen.latency.push(now.saturating_duration_since(flush).as_secs_f64() * 1e3);
        }
        assert!(whole(&client, self.picture), "{}: the picture is wrong", self.vmm.name);
        Ok(())
    }

    /// A client that takes what it can get of 30 changes a second.
    pub fn follow(&mut self, encoding: i32, seen: &mut Seen) -> io::Result<()> {
        let mut client = self.client(encoding)?;
        client.until(|c| c.updates > 0)?;
        let (begin, cpu) = (Instant::now(), self.cpu());
        let (bytes, mut pictures, mut last) = (client.bytes(), 0u32, None);
        while begin.elapsed() < Duration::from_secs(4) {
            if !client.next()? {
                continue;
            }
            client.ask(true)?;
            // Every pixel changes each time, so the last one tells.
            let now = client.pixels.last().copied();
            if now != last {
                (pictures, last) = (pictures + 1, now);
            }
        }
        let time = begin.elapsed().as_secs_f64();
        seen.cpu.push((self.cpu() - cpu) / time * 100.0);
        seen.rate.push(f64::from(pictures) / time);
        seen.change.push((client.bytes() - bytes) as f64 / 1024.0 / f64::from(pictures.max(1)));
        Ok(())
    }

    /// A file of each thread, with the thread's name.
    fn threads(&self, file: &str) -> Vec<(String, String)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
        tasks.map(|t| (read(t.path().join("comm")), read(t.path().join(file)))).collect()
    }

    /// Seconds on a processor of all threads but the vCPU's: what the guest's own drawing costs is not the monitor's.
    fn cpu(&self) -> f64 {
        let own = self
            .threads("schedstat")
            .into_iter()
            .filter(|(name, _)| !name.starts_with("vcpu") && !name.starts_with("CPU "));
        own.filter_map(|(_, text)| text.split_whitespace().next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
    }

    fn switches(&self) -> u64 {
        let of = |text: String| {
            let line = text.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).map(String::from);
            line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
        };
        self.threads("status").into_iter().map(|(_, text)| of(text)).sum()
    }
}
