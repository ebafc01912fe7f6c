//! Finding the channel: the port of a virtio console whose name is `kiln.agent`. Drivers find devices when they find
//! them, so this waits a while, but not for what this kernel cannot have.

use crate::sys::readiness::{self, Watch};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the host calls the port.
const NAME: &str = "kiln.agent";
/// An emulated machine with a debug kernel takes that long.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(10);

/// Opens it. It can be opened only once, so that nobody else in the guest has it as long as we do.
pub fn open() -> Result<File, String> {
    let until = Instant::now() + PATIENCE;
    let path = wait_for(until, || match find(Path::new("/sys")) {
        Some(device) => Some(Ok(Path::new("/dev").join(device))),
        None => missing(Path::new("/sys")).map(Err),
    })
    .unwrap_or_else(|| Err(absent(Path::new("/sys"))))?;
    let shown = path.display();
    // Its node may come a moment later than its name.
    let port = wait_for(until, || match open_node(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        result => Some(result),
    });
    let port = port.unwrap_or_else(|| open_node(&path)).map_err(|e| format!("open {shown}, the port {NAME}: {e}"))?;
    // Until the host has its end open, the port says that it is hung up.
    let connected = wait_for(until, || {
        let mut watches = [Watch::new(port.as_fd(), true, true)];
        readiness::wait(&mut watches, Some(Duration::ZERO)).ok()?;
        (!watches[0].gone()).then_some(())
    });
    connected.map(|()| port).ok_or_else(|| format!("open {shown}, the port {NAME}: the host does not answer"))
}

fn open_node(path: &PathBuf) -> io::Result<File> {
    File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Asks again and again, less and less often.
fn wait_for<T>(until: Instant, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let mut pause = SHORTEST;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

/// The device (vportNpM) of the port.
fn find(sys: &Path) -> Option<PathBuf> {
    let ports = fs::read_dir(sys.join("class/virtio-ports")).ok()?;
    let ours = |port: &fs::DirEntry| fs::read_to_string(port.path().join("name")).is_ok_and(|n| n.trim_end() == NAME);
    ports.flatten().find(ours).map(|port| port.file_name().into())
}

/// Why waiting is in vain: drivers are known once modules are loaded, devices are not.
fn missing(sys: &Path) -> Option<String> {
    let transports = ["bus/pci/drivers/virtio-pci", "bus/platform/drivers/virtio-mmio"];
    if !transports.iter().any(|driver| sys.join(driver).exists()) {
        return Some(
            "find the port to the host: this kernel has no virtio (CONFIG_VIRTIO_PCI or CONFIG_VIRTIO_MMIO)".into(),
        );
    }
    let console = sys.join("bus/virtio/drivers/virtio_console");
    (!console.exists())
        .then(|| "find the port to the host: this kernel has no virtio console (CONFIG_VIRTIO_CONSOLE)".into())
}

/// Why it has not come.
fn absent(sys: &Path) -> String {
    let devices = fs::read_dir(sys.join("bus/virtio/devices")).map_or(0, Iterator::count);
    match devices {
        0 => "find the port to the host: this kernel finds no virtio device (CONFIG_VIRTIO_PCI and CONFIG_PCI, or CONFIG_VIRTIO_MMIO with CONFIG_ACPI)".into(),
        _ => format!("find the port to the host: no virtio console has a port {NAME} (CONFIG_VIRTIO_CONSOLE)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_known_by_its_name() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(find(sys.path()), None);
        for (device, name) in [("vport0p0", ""), ("vport0p1", "org.other\n"), ("vport1p2", "kiln.agent\n")] {
            let port = sys.path().join("class/virtio-ports").join(device);
            fs::create_dir_all(&port).unwrap();
            fs::write(port.join("name"), name).unwrap();
        }
        assert_eq!(find(sys.path()), Some("vport1p2".into()));
    }

    #[test]
    fn what_is_missing_is_named_by_its_option() {
        let sys = tempfile::tempdir().unwrap();
        let have = |path: &str| fs::create_dir_all(sys.path().join(path)).unwrap();
        assert!(missing(sys.path()).unwrap().contains("CONFIG_VIRTIO_MMIO"));
        have("bus/platform/drivers/virtio-mmio");
        assert!(missing(sys.path()).unwrap().contains("CONFIG_VIRTIO_CONSOLE"));
        have("bus/virtio/drivers/virtio_console");
        assert_eq!(missing(sys.path()), None);
        assert!(absent(sys.path()).contains("no virtio device"));
        have("bus/virtio/devices/virtio0");
        assert!(absent(sys.path()).contains("kiln.agent"));
    }
}
