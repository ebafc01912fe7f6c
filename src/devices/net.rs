//! Network device (virtio 1.2, 5.1): frames between the driver's queues and a link of the host. Or a card of old machines
//! on the same link.
//!
//! ```text
//! queue 0, 1      receiveq1, transmitq1
//! queue 2, 3      receiveq2, transmitq2, and so on (with several pairs)
//! the last        controlq; queue 2 for a driver that did not negotiate VIRTIO_NET_F_MQ
//! ```

mod receive;

use super::{Built, Kind};
use crate::config::values::Maybe;
use crate::config::{Mac, Switch};
use crate::host::link::{self, HEADER, LARGEST, Link, Offloads, SHORT_HEADER};
use crate::mem::Slice;
use crate::platform::e1000::E1000;
use crate::spec;
use crate::virtio::{Chain, ConfigSpace, Device, Io};
use anyhow::{Context, Result, bail, ensure};
use receive::{Next, Receiver, Rules};
use std::io::ErrorKind;
use std::str::FromStr;
use virtio_bindings::{virtio_config::VIRTIO_F_VERSION_1, virtio_net::*};

spec! {
    pub struct Spec {
        /// Connects it to this tap interface of the host, which is made if there is none.
        tap: Maybe<String> = "",
        /// Connects it to the datagram socket that is open as this number, one frame a message.
        fd: Maybe<i32> = "",
        /// What the guest sends comes back to it.
        loopback: Switch = "off",
        /// The card's address. Without one it follows from the host and the link, the same each time.
        mac: Maybe<Mac> = "",
        /// The card that the guest finds: virtio, or e1000 for a guest without a driver for that.
        model: Model = "virtio",
        /// Pairs of queues, 1 to 16; several for a tap only.
        queues: u16 = "1",
        /// The largest packet that the guest should use, in bytes.
        mtu: Maybe<u16> = "",
    }
}

pub static KIND: Kind = Kind {
    name: "net",
    about: "A network card: on a tap interface, a socket, or looped back.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, _host| {
        let spec = Spec::parse(options)?;
        ensure!((1..=PAIRS).contains(&spec.queues), "`queues={}`: want 1 to {PAIRS}", spec.queues);
        if let Some(mtu) = spec.mtu.0 {
            // virtio 1.2, 5.1.4.1
            ensure!(mtu >= MTU_LEAST, "`mtu={mtu}`: want {MTU_LEAST} to 65535");
        }
        match spec.model {
            Model::Virtio => spec.virtio(),
            Model::E1000 => spec.e1000(),
        }
    },
    sample: "loopback",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Virtio,
    E1000,
}

impl FromStr for Model {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Model, &'static str> {
        match text {
            "virtio" => Ok(Model::Virtio),
            "e1000" => Ok(Model::E1000),
            _ => Err("want virtio or e1000"),
        }
    }
}

impl Spec {
    fn virtio(&self) -> Result<Built> {
        let kind = self.link()?;
        let pairs = usize::from(self.queues);
        let link = link::open(&kind, pairs)?;
        Ok(Built::virtio(Net::new(link, pairs, self.mac(&kind), self.mtu.0)))
    }

    fn e1000(&self) -> Result<Built> {
        ensure!(self.queues == 1, "`queues={}`: an e1000 has one pair", self.queues);
        if let Some(mtu) = self.mtu.0 {
            bail!("`mtu={mtu}`: an e1000 cannot tell the guest");
        }
        let kind = self.link()?;
        let (link, mac) = (link::open(&kind, 1)?, self.mac(&kind));
        Ok(Built::Card(Box::new(move |place| {
            Ok(E1000::new(place.id, mac, link, place.memory, place.intx.clone())?)
        })))
    }

    fn mac(&self, kind: &link::Kind) -> Mac {
        self.mac.0.unwrap_or_else(|| stable_mac(kind))
    }

    fn link(&self) -> Result<link::Kind> {
        let tap = self.tap.0.clone();
        // `--net loopback`: a bare first value is the tap's name.
        let bare = tap.as_deref() == Some("loopback");
        let loopback = (self.loopback.0 || bare).then_some(link::Kind::Loopback);
        let tap = tap.filter(|_| !bare).map(link::Kind::Tap);
        let mut kinds = [tap, self.fd.0.map(link::Kind::Fd), loopback].into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(kind),
            (None, _) => bail!("say what it is connected to: `tap=NAME`, `fd=NUMBER` or `loopback`"),
            (Some(_), Some(_)) => bail!("`tap=`, `fd=` and `loopback` exclude each other"),
        }
    }
}

const PAIRS: u16 = 16;
const MTU_LEAST: u16 = 68;
const QUEUE_SIZE: u16 = 256;
/// Offset of `status` in the configuration space.
const STATUS_AT: usize = 6;

/// What the guest and the link call the same thing: bits for frames sent and for frames received.
const OFFLOADS: &[(Offloads, &[u32], &[u32])] = &[
    (Offloads::CHECKSUM, &[VIRTIO_NET_F_CSUM], &[VIRTIO_NET_F_GUEST_CSUM]),
    (Offloads::TSO4, &[VIRTIO_NET_F_HOST_TSO4], &[VIRTIO_NET_F_GUEST_TSO4]),
    (Offloads::TSO6, &[VIRTIO_NET_F_HOST_TSO6], &[VIRTIO_NET_F_GUEST_TSO6]),
    (Offloads::ECN, &[VIRTIO_NET_F_HOST_ECN], &[VIRTIO_NET_F_GUEST_ECN]),
    (Offloads::UFO, &[VIRTIO_NET_F_HOST_UFO], &[VIRTIO_NET_F_GUEST_UFO]),
    (Offloads::USO, &[VIRTIO_NET_F_HOST_USO], &[VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6]),
];

struct Net {
    link: Box<dyn Link>,
    mac: Mac,
    mtu: Option<u16>,
    /// One for each pair of queues.
    receivers: Vec<Receiver>,
    /// As long as `receivers`; empty while the device does not run.
    tails: Vec<Vec<u8>>,
    /// Pairs that the driver uses.
    active: usize,
    /// Bytes in front of a frame, as driver and link have it.
    header: usize,
    /// The link is there.
    up: bool,
    /// Frames lost since it was built.
    dropped: u64,
    /// The log has an error of sending already.
    complained: bool,
}

impl Net {
    fn new(link: Box<dyn Link>, pairs: usize, mac: Mac, mtu: Option<u16>) -> Net {
        let receivers = std::iter::repeat_with(Receiver::default).take(pairs).collect();
        let tails = Vec::new();
        Net { link, mac, mtu, receivers, tails, active: 1, header: HEADER, up: true, dropped: 0, complained: false }
    }

    fn pairs(&self) -> usize {
        self.receivers.len()
    }

    fn has_control(&self) -> bool {
        self.pairs() > 1 || self.link.offloads() != Offloads::NONE
    }

    /// virtio 1.2, 5.1.2
    fn control_queue(&self, io: &Io) -> Option<usize> {
        let pairs = if io.has(VIRTIO_NET_F_MQ) { self.pairs() } else { 1 };
        io.has(VIRTIO_NET_F_CTRL_VQ).then_some(2 * pairs)
    }

    fn receive(&mut self, pair: usize, io: &mut Io) -> Result<()> {
        let merge = io.has(VIRTIO_NET_F_MRG_RXBUF);
        let large = guest_offloads(io.features) != Offloads::NONE;
        let expect = if large { LARGEST } else { HEADER + 18 + usize::from(self.mtu.unwrap_or(1500).max(1500)) };
        let (Some(receiver), Some(tail)) = (self.receivers.get_mut(pair), self.tails.get_mut(pair)) else {
            return Ok(());
        };
        let Some(queue) = io.queues.get_mut(2 * pair).filter(|q| q.ready()) else { return Ok(()) };
        if !self.up || pair >= self.active {
            return Ok(());
        }
        let rules = Rules { merge, header: self.header, expect };
        let next = receiver.run(pair, self.link.as_mut(), queue, rules, tail, &mut self.dropped)?;
        self.watch(pair, next == Next::Watch, io)?;
        if next == Next::Gone {
            self.up = false;
            for pair in 0..self.pairs() {
                self.watch(pair, false, io)?;
            }
            if io.has(VIRTIO_NET_F_STATUS) {
                io.config.update(STATUS_AT, &0u16.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Watches the link's descriptor, or not: level-triggered, it must not be when nobody can take what is there.
    fn watch(&mut self, pair: usize, wanted: bool, io: &Io) -> Result<()> {
        let (Some(receiver), Some(fd)) = (self.receivers.get_mut(pair), self.link.fd(pair)) else { return Ok(()) };
        match (receiver.watched, wanted) {
            (false, true) => io.watch(fd, pair as u32).context("watch the network")?,
            (true, false) => io.unwatch(fd).context("stop watching the network")?,
            _ => return Ok(()),
        }
        receiver.watched = wanted;
        Ok(())
    }

    fn transmit(&mut self, pair: usize, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(2 * pair + 1) else { return Ok(()) };
        queue.serve(|chain| {
            self.send(pair, &chain.readable);
            Ok(0)
        })
    }

    /// A frame that cannot be sent is lost, as on a wire.
    fn send(&mut self, pair: usize, parts: &[Slice]) {
        let len: usize = parts.iter().map(Slice::len).sum();
        let sent = match len {
            // virtio 1.2, 5.1.6.2: a header, and a frame behind it.
            _ if len <= self.header || len > LARGEST => Err(ErrorKind::InvalidInput.into()),
            _ => self.link.send(pair, parts),
        };
        if let Err(e) = sent {
            self.dropped += 1;
            // A full queue is nothing special.
            if e.kind() != ErrorKind::WouldBlock && !std::mem::replace(&mut self.complained, true) {
                log::warn!("send to the network: {e}; frames that cannot be sent are dropped");
            }
        }
    }

    fn control(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        let features = io.features;
        let Some(queue) = io.queues.get_mut(queue) else { return Ok(()) };
        let mut pairs = None;
        queue.serve(|chain| {
            let ack = match self.command(chain, features, &mut pairs) {
                Some(()) => VIRTIO_NET_OK,
                None => VIRTIO_NET_ERR,
            };
            ensure!(chain.put(&[ack as u8]) == 1, "a control command has no room for its answer");
            Ok(1)
        })?;
        if pairs.is_some() {
            for pair in 0..self.pairs() {
                match pair < self.active {
                    true => self.receive(pair, io)?,
                    false => self.watch(pair, false, io)?,
                }
            }
        }
        Ok(())
    }

    /// Does one command (virtio 1.2, 5.1.6.5); `None`: it was refused. `pairs` is set when their number changed.
    fn command(&mut self, chain: &mut Chain, features: u64, pairs: &mut Option<usize>) -> Option<()> {
        let has = |bit: u32| features >> bit & 1 == 1;
        let [class, command] = chain.take().ok()?;
        match (u32::from(class), u32::from(command)) {
            (VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) if has(VIRTIO_NET_F_MQ) => {
                let n = usize::from(u16::from_le_bytes(chain.take().ok()?));
                (1..=self.pairs()).contains(&n).then_some(())?;
                self.set_pairs(n)?;
                *pairs = Some(n);
                Some(())
            }
            (VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET)
                if has(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) =>
            {
                let wanted = u64::from_le_bytes(chain.take().ok()?);
                (wanted & !(features & guest_bits()) == 0).then_some(())?;
                self.set_offloads(guest_offloads(wanted))
            }
            _ => None,
        }
    }

    fn set_pairs(&mut self, n: usize) -> Option<()> {
        let done = self.link.set_pairs(n).inspect_err(|e| log::warn!("use {n} queues of the network: {e}"));
        done.ok()?;
        self.active = n;
        Some(())
    }

    fn set_offloads(&mut self, guest: Offloads) -> Option<()> {
        let done = self.link.set_offloads(guest);
        done.inspect_err(|e| log::warn!("set the network's offloads: {e}")).ok()
    }
}

impl Device for Net {
    fn id(&self) -> u32 {
        1
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2 * self.pairs() + usize::from(self.has_control())]
    }

    fn features(&self) -> u64 {
        let mut bits = vec![VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, VIRTIO_NET_F_MRG_RXBUF];
        bits.extend(self.mtu.map(|_| VIRTIO_NET_F_MTU));
        if self.has_control() {
            bits.push(VIRTIO_NET_F_CTRL_VQ);
        }
        if self.pairs() > 1 {
            bits.push(VIRTIO_NET_F_MQ);
        }
        let offloads = self.link.offloads();
        if offloads != Offloads::NONE {
            bits.push(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
        }
        for (_, host, guest) in OFFLOADS.iter().filter(|(offload, ..)| offloads.has(*offload)) {
            bits.extend_from_slice(host);
            bits.extend_from_slice(guest);
        }
        bits.iter().fold(0, |all, bit| all | 1 << bit)
    }

    /// struct virtio_net_config (virtio 1.2, 5.1.4).
    fn config(&self) -> Vec<u8> {
        let status = if self.up { VIRTIO_NET_S_LINK_UP as u16 } else { 0 };
        let mut c = self.mac.0.to_vec();
        c.extend(status.to_le_bytes());
        c.extend((self.pairs() as u16).to_le_bytes()); // max_virtqueue_pairs
        c.extend(self.mtu.unwrap_or(0).to_le_bytes());
        c
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.tails = (0..self.pairs()).map(|_| receive::tail()).collect();
        // virtio 1.2, 5.1.6.1: the number of buffers is missing in a header from before version 1, unless buffers are merged.
        let long = io.has(VIRTIO_F_VERSION_1) || io.has(VIRTIO_NET_F_MRG_RXBUF);
        self.header = if long { HEADER } else { SHORT_HEADER };
        if self.up {
            self.link.set_header(self.header).context("set the header's size")?;
            self.link.set_offloads(guest_offloads(io.features)).context("set the network's offloads")?;
        }
        Ok(())
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        if Some(queue) == self.control_queue(io) {
            return self.control(queue, io);
        }
        match queue % 2 {
            0 => self.receive(queue / 2, io),
            _ => self.transmit(queue / 2, io),
        }
    }

    fn fd_ready(&mut self, token: u32, io: &mut Io) -> Result<()> {
        self.receive(token as usize, io)
    }

    /// A driver from before version 1 writes its address here (virtio 1.2, 5.1.4.3).
    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, io: Option<&mut Io>) {
        let inside = at.checked_add(data.len()).is_some_and(|end| end <= STATUS_AT);
        if inside && io.is_some_and(|io| !io.has(VIRTIO_F_VERSION_1)) {
            config.store(at, data);
        }
    }

    fn quiesce(&mut self, io: &mut Io) -> Result<()> {
        for pair in 0..self.pairs() {
            self.watch(pair, false, io)?;
            if let (Some(receiver), Some(queue)) = (self.receivers.get_mut(pair), io.queues.get_mut(2 * pair)) {
                receiver.undo(queue);
            }
        }
        self.tails.clear();
        Ok(())
    }

    fn reset(&mut self) {
        self.receivers.iter_mut().for_each(|receiver| *receiver = Receiver::default());
        self.tails.clear();
        if self.active != 1 {
            self.set_pairs(1);
        }
    }
}

/// What frames for a driver with these feature bits may rely on.
fn guest_offloads(features: u64) -> Offloads {
    let has = |bits: &[u32]| bits.iter().all(|bit| features >> bit & 1 == 1);
    OFFLOADS.iter().filter(|(_, _, guest)| has(guest)).fold(Offloads::NONE, |all, (offload, ..)| all.with(*offload))
}

/// All feature bits about frames received.
fn guest_bits() -> u64 {
    OFFLOADS.iter().flat_map(|(_, _, guest)| *guest).fold(0, |all, bit| all | 1 << bit)
}

/// Locally administered, and the same whenever this host runs a guest on this link: guests know their cards by it.
fn stable_mac(kind: &link::Kind) -> Mac {
    let host = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    // FNV-1a
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = format!("{} {kind}", host.trim()).bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let [a, b, c, d, e, ..] = (hash ^ hash >> 40).to_le_bytes();
    Mac([0x52, a, b, c, d, e])
}

#[cfg(test)]
mod tests;
