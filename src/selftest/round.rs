//! One run of the guest, over one transport: its machine, and what is heard from it and seen afterwards.

use super::report::Report;
use super::tap::Heard;
use super::{Fault, GUEST, SelftestArgs, agreed, console, disk};
use crate::arch::layout;
use crate::config::{Config, Device, Options, Payload, Ram, Reboot, Topology, Transport};
use crate::devices;
use crate::machine::{self, Outcome};
use crate::sys::memfd;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

const MAC: &str = "52:54:00:4b:49:4c";
const DEBUG_EXIT: u16 = 0xf4;

/// What the machine is made of on the host's side; its descriptors stay open while the guest runs.
struct Ends {
    kernel: File,
    disk: File,
    /// The guest's end and ours.
    serial: (UnixStream, UnixStream),
    console: (UnixStream, UnixStream),
}

pub fn round<W: Write + Send>(args: &SelftestArgs, transport: Transport, report: &mut Report<W>) -> Result<()> {
    let name = if transport == Transport::Pci { "pci" } else { "mmio" };
    let ends = Ends::new()?;
    if args.plant == Some(Fault::Given) {
        disk::corrupt(&ends.disk, agreed::GIVEN.at + 12345)?;
    }
    let config = config(args, transport, &ends)?;
    let mut heard = Heard::default();
    let (outcome, said) = thread::scope(|scope| {
        let serial = scope.spawn(|| heard.listen(&ends.serial.1, name, report));
        let console = scope.spawn(|| console::converse(&ends.console.1, args.plant == Some(Fault::Answer)));
        let outcome = machine::run(config);
        // The machine may hold its ends for ever; what it has sent is heard nevertheless.
        for end in [&ends.serial.1, &ends.console.1] {
            let _ = end.shutdown(Shutdown::Both);
        }
        let _ = serial.join();
        (outcome, console.join().unwrap_or_default())
    });
    let outcome = outcome?;
    report.test(&format!("{name}: the guest runs to its end"), heard.verdict().and_then(|n| ending(n, &outcome)));
    if args.plant == Some(Fault::Written) {
        disk::corrupt(&ends.disk, agreed::SMALL.at + 54321)?;
    }
    if args.wants("blk") {
        report.test(&format!("{name}: the disk holds what the guest wrote"), disk::check(&ends.disk));
    }
    if args.wants("console") {
        report.test(&format!("{name}: the console carried all and no more"), console::check(&said));
    }
    Ok(())
}

/// The guest says by its exit whether a test failed; which ones did, has been reported by itself.
fn ending(failed: usize, outcome: &Outcome) -> Result<(), String> {
    match outcome {
        Outcome::DebugExit(value) if *value == u32::from(failed > 0) => Ok(()),
        Outcome::TimedOut => Err("--timeout ran out".to_string()),
        Outcome::Fault(text) | Outcome::Failed(text) => Err(text.clone()),
        other => Err(format!("it ended by {other:?}")),
    }
}

impl Ends {
    fn new() -> Result<Ends> {
        let mut kernel = memfd(c"selftest-guest").context("make a file for the self-test guest")?;
        kernel.write_all(GUEST).context("write the self-test guest")?;
        let pair = || UnixStream::pair().context("make a socket pair");
        Ok(Ends { kernel, disk: disk::new()?, serial: pair()?, console: pair()? })
    }
}

fn config(args: &SelftestArgs, transport: Transport, ends: &Ends) -> Result<Config> {
    let devices = vec![
        device("disk", &format!("path={},serial={},queues={}", path(&ends.disk), agreed::SERIAL, disk::QUEUES))?,
        device("net", &format!("loopback,mac={MAC}"))?,
        device("rng", "")?,
        device("console", &format!("fd:{}", ends.console.0.as_raw_fd()))?,
    ];
    let payload = Payload {
        kernel: PathBuf::from(path(&ends.kernel)),
        cmdline: cmdline(args, transport, devices.len())?,
        ..Payload::default()
    };
    Ok(Config {
        name: None,
        payload,
        firmware: None,
        memory: Ram { size: args.memory.0, hugepages: None },
        topology: Topology { sockets: 1, cores: args.cpus, threads: 1 },
        devices,
        displays: Vec::new(),
        keyboard_layout: None,
        transport,
        serial: vec![format!("fd={}", ends.serial.0.as_raw_fd())],
        debug_exit: Some(DEBUG_EXIT),
        reboot: Some(Reboot::Exit),
        timeout: Some(args.timeout.0),
        dump: None,
        gdb: None,
    })
}

fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn device(kind: &str, options: &str) -> Result<Device> {
    let kind = devices::find(kind)?;
    let options = Options::parse(options, kind.positional())?;
    Ok(Device { kind: kind.name, id: format!("{}0", kind.name), options })
}

/// What the guest is told, so that it need not believe what it finds.
fn cmdline(args: &SelftestArgs, transport: Transport, devices: usize) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let mut words = format!("tests={} cpus={} now={now} mac={MAC} disk={}", args.tests, args.cpus, agreed::DISK);
    match transport {
        Transport::Pci => words.push_str(" transport=pci"),
        Transport::Mmio => {
            let windows = (0..).zip(layout::IRQ_VIRTIO_MMIO).take(devices);
            let windows =
                windows.map(|(n, gsi)| format!("{:#x}:{gsi}", layout::VIRTIO_MMIO + n * layout::VIRTIO_MMIO_STEP));
            words.push_str(&format!(" transport=mmio mmio={}", windows.collect::<Vec<_>>().join(",")));
        }
    }
    Ok(words)
}
