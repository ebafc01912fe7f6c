//! Console device (virtio 1.2, 5.3): the guest's hvc0, and named ports for programs to talk through.
//!
//! ```text
//! queue   0 in, 1 out   port 0, the console
//!         2 in, 3 out   control messages, with MULTIPORT
//!         4 in, 5 out   port 1, and so on
//! ```

mod control;

use super::{Built, Kind};
use crate::host::stream::{self, Stream};
use crate::spec;
use crate::sys::{EventFd, eventfd, fd};
use crate::virtio::{ConfigSpace, Device, Io, Queue};
use anyhow::{Context, Result, ensure};
use control::Control;
use std::str::FromStr;
use std::sync::Arc;

spec! {
    pub struct Spec {
        /// What is behind hvc0: stdio, none, file=PATH, pty, unix=PATH, fd=N or session=N.
        stream: String = "stdio",
        /// More ports, /dev/virtio-ports/NAME in the guest: NAME=STREAM, joined by `+`.
        ports: Names = "",
    }
}

pub static KIND: Kind = Kind {
    name: "console",
    about: "Gives the guest a console (hvc0) and named ports.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, host| {
        let spec = Spec::parse(options)?;
        let console = stream::open_console(&spec.stream, "console", &host.notify)
            .with_context(|| format!("stream={}", spec.stream))?;
        let mut ports = vec![Port::new("", console)];
        for (name, stream) in &spec.ports.0 {
            let opened = stream::open(stream, name, &host.notify).with_context(|| format!("port {name}={stream}"))?;
            ports.push(Port::new(name, opened));
        }
        Ok(Built::virtio(Console::new(ports)))
    },
    sample: "none,ports=one=none+two=none",
};

/// Feature bits (virtio 1.2, 5.3.3).
const F_SIZE: u32 = 0;
const F_MULTIPORT: u32 = 1;
const F_EMERG_WRITE: u32 = 2;

/// Where the configuration space has `emerg_wr` (virtio 1.2, 5.3.4).
const EMERG_WR: usize = 8;
const CONTROL_IN: usize = 2;
const CONTROL_OUT: usize = 3;
/// As many as QEMU's device has; guests are used to it.
const MAX_PORTS: usize = 31;
/// Bytes moved at once.
const PIECE: usize = 4096;
/// The most that one request may write: what a stream holds at most for a slow reader.
const LONGEST: usize = 16 << 20;

/// Ports by name, and the stream of each.
#[derive(Debug, Clone, Default)]
pub struct Names(Vec<(String, String)>);

impl FromStr for Names {
    type Err = String;
    fn from_str(text: &str) -> Result<Names, String> {
        let mut names: Vec<(String, String)> = Vec::new();
        for part in text.split('+').filter(|p| !p.is_empty()) {
            let Some((name, stream)) = part.split_once('=') else {
                return Err(format!("want NAME=STREAM, not `{part}`"));
            };
            let fits = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/') && (1..=63).contains(&name.len());
            if !fits {
                return Err(format!("`{name}` is no name for a port: want 1 to 63 printable characters"));
            }
            if names.iter().any(|(n, _)| n == name) {
                return Err(format!("two ports are called `{name}`"));
            }
            names.push((name.to_string(), stream.to_string()));
        }
        if names.len() >= MAX_PORTS {
            return Err(format!("there are at most {} ports", MAX_PORTS - 1));
        }
        Ok(Names(names))
    }
}

pub struct Port {
    name: String,
    stream: Arc<dyn Stream>,
    /// Input that was taken from the stream and not yet given to the driver.
    held: Vec<u8>,
    /// Somebody in the guest has it open; input waits until then.
    open: bool,
    /// A driver that knows of several ports is not told of it.
    hidden: bool,
}

impl Port {
    pub fn new(name: &str, stream: Arc<dyn Stream>) -> Port {
        Port { name: name.to_string(), stream, held: Vec::new(), open: false, hidden: false }
    }
}

pub struct Console {
    /// Number 0 is the console.
    ports: Vec<Port>,
    /// Control messages to the driver; none without MULTIPORT.
    control: Option<Control>,
    /// Columns and rows that the driver was told.
    size: Option<(u16, u16)>,
    /// Streams ring it when there is input, or another size.
    bell: Option<Arc<EventFd>>,
}

/// What a queue is for.
enum Role {
    Receive(usize),
    Transmit(usize),
    Control,
    Unused,
}

impl Console {
    fn new(ports: Vec<Port>) -> Console {
        let size = ports.first().and_then(|p| p.stream.size());
        Console { ports, control: None, size, bell: None }
    }

    /// Without a console: named ports alone.
    pub fn without(mut ports: Vec<Port>) -> Console {
        let console = Port { hidden: true, ..Port::new("", stream::nowhere()) };
        ports.insert(0, console);
        Console::new(ports)
    }

    fn role(&self, queue: usize) -> Role {
        match (queue, &self.control) {
            (0, _) => Role::Receive(0),
            (1, _) => Role::Transmit(0),
            (_, None) => Role::Unused,
            (CONTROL_IN | CONTROL_OUT, _) => Role::Control,
            (n, _) if n % 2 == 0 => Role::Receive(n / 2 - 1),
            (n, _) => Role::Transmit(n / 2 - 1),
        }
    }

    /// Gives the driver what a port's stream has, as far as there are buffers.
    fn receive(&mut self, number: usize, io: &mut Io) -> Result<()> {
        let queue = io.queues.get_mut(if number == 0 { 0 } else { 2 * number + 2 });
        let (Some(port), Some(queue)) = (self.ports.get_mut(number), queue) else { return Ok(()) };
        let mut any = false;
        while port.open && queue.ready() {
            if port.held.is_empty() {
                let mut piece = [0; PIECE];
                let n = port.stream.read(&mut piece);
                port.held.extend(piece.iter().take(n));
            }
            if port.held.is_empty() {
                // The driver need not tell that it has more buffers until one is missed.
                queue.disable_kicks()?;
                break;
            }
            let Some(mut chain) = queue.pop()? else {
                if queue.enable_kicks()? {
                    continue;
                }
                break;
            };
            let n = chain.put(&port.held);
            port.held.drain(..n);
            queue.push(&chain, n as u32)?;
            any = true;
        }
        if any { queue.signal() } else { Ok(()) }
    }

    /// Answers control messages until nothing is left, or the driver has no buffers for the answers.
    fn serve_control(&mut self, io: &mut Io) -> Result<()> {
        let Some(control) = &mut self.control else { return Ok(()) };
        let mut turned = Vec::new();
        loop {
            let size = self.size.filter(|_| io.has(F_SIZE));
            if let Some(queue) = io.queues.get_mut(CONTROL_IN) {
                control.send(queue, size)?;
            }
            let Some(queue) = io.queues.get_mut(CONTROL_OUT) else { break };
            if !control.take(queue, &mut self.ports, &mut turned)? {
                break;
            }
        }
        for number in turned {
            match self.ports.get(number) {
                Some(port) if port.open => self.receive(number, io)?,
                Some(port) => {
                    // What was written before it was closed may still lie in its queue.
                    if let Some(queue) = io.queues.get_mut(2 * number + 3).filter(|q| number > 0 && q.ready()) {
                        transmit(&*port.stream, queue)?;
                    }
                    port.stream.hung_up();
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Tells the driver when the terminal has another size.
    fn resize(&mut self, io: &mut Io) -> Result<()> {
        let now = self.ports.first().and_then(|p| p.stream.size());
        if now.is_none() || now == self.size || !io.has(F_SIZE) {
            return Ok(());
        }
        self.size = now;
        match &mut self.control {
            Some(control) => {
                io.config.store(0, &size_bytes(now));
                control.resized();
                self.serve_control(io)
            }
            None => {
                io.config.update(0, &size_bytes(now));
                Ok(())
            }
        }
    }
}

/// `cols` and `rows` of the configuration space.
fn size_bytes(size: Option<(u16, u16)>) -> [u8; 4] {
    let (cols, rows) = size.unwrap_or_default();
    let ([a, b], [c, d]) = (cols.to_le_bytes(), rows.to_le_bytes());
    [a, b, c, d]
}

/// Writes the driver's output to the stream, which never waits.
fn transmit(stream: &dyn Stream, queue: &mut Queue) -> Result<()> {
    let mut piece = [0; PIECE];
    queue.serve(|chain| {
        ensure!(chain.sizes().0 <= LONGEST, "a request writes more than {LONGEST} bytes");
        loop {
            let n = chain.take_into(&mut piece);
            if n == 0 {
                return Ok(0);
            }
            stream.write(piece.get(..n).unwrap_or_default());
        }
    })
}

impl Device for Console {
    fn id(&self) -> u32 {
        3
    }

    fn queue_sizes(&self) -> Vec<u16> {
        let more = self.ports.len().saturating_sub(1);
        if more == 0 { vec![64; 2] } else { [vec![64, 64, 32, 32], vec![64; 2 * more]].concat() }
    }

    /// A console without named ports needs no control messages, and drivers agree better on how it is resized.
    fn features(&self) -> u64 {
        let multiport = u64::from(self.ports.len() > 1) << F_MULTIPORT;
        u64::from(self.size.is_some()) << F_SIZE | multiport | 1 << F_EMERG_WRITE
    }

    fn config(&self) -> Vec<u8> {
        let ports = self.ports.len() as u32;
        [&size_bytes(self.size)[..], &ports.to_le_bytes(), &[0; 4]].concat()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        let bell = Arc::new(eventfd().context("create an eventfd")?);
        io.watch(fd::of(&bell), 0)?;
        self.control = io.has(F_MULTIPORT).then(Control::default);
        for (number, port) in self.ports.iter_mut().enumerate() {
            // Without control messages nobody says that the console is open.
            port.open = number == 0 && self.control.is_none();
            let bell = bell.clone();
            port.stream.listen(Arc::new(move || {
                // It only fails when it has been rung 2^64 times, and then it is rung.
                let _ = bell.write(1);
            }));
        }
        self.bell = Some(bell);
        // Linux looks at the size only when it is told that it changed.
        self.size = None;
        self.resize(io)
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        match self.role(queue) {
            Role::Receive(port) => self.receive(port, io),
            Role::Transmit(port) => match (self.ports.get(port), io.queues.get_mut(queue)) {
                (Some(port), Some(queue)) => transmit(&*port.stream, queue),
                _ => Ok(()),
            },
            Role::Control => self.serve_control(io),
            Role::Unused => Ok(()),
        }
    }

    fn fd_ready(&mut self, _token: u32, io: &mut Io) -> Result<()> {
        if let Some(bell) = &self.bell {
            let _ = bell.read();
        }
        self.resize(io)?;
        (0..self.ports.len()).try_for_each(|port| self.receive(port, io))
    }

    /// Output of a driver that has no queues yet (virtio 1.2, 5.3.5, F_EMERG_WRITE).
    fn config_written(&mut self, at: usize, data: &[u8], _config: &ConfigSpace, _io: Option<&mut Io>) {
        if let (EMERG_WR, Some(byte), Some(port)) = (at, data.first(), self.ports.first()) {
            port.stream.write(&[*byte]);
        }
    }

    /// Input that was taken from a stream stays: the next driver gets it.
    fn reset(&mut self) {
        self.control = None;
        self.bell = None;
        for port in self.ports.iter_mut().filter(|p| p.open) {
            port.open = false;
            port.stream.hung_up();
        }
    }
}

#[cfg(test)]
mod tests;
