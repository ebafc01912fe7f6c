//! The network device, on a link that gives back every frame.

use crate::cpu::Page;
use crate::virtio::EVENT_IDX;
use crate::virtio::net::{MRG_RXBUF, Net};
use crate::{Context, Result, ensure};
use alloc::vec::Vec;

/// A broadcast of ours, with a number and a pattern in it. EtherType 0x88b5 is for experiments (IEEE 802).
fn frame(mac: [u8; 6], number: u32, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(len);
    frame.extend_from_slice(&[0xff; 6]);
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&[0x88, 0xb5]);
    frame.extend_from_slice(&number.to_be_bytes());
    while frame.len() < len {
        frame.push((frame.len() as u32 * 7 + number * 13) as u8);
    }
    frame
}

fn exchange(net: &mut Net, number: u32, len: usize) -> Result {
    let sent = frame(net.mac, number, len);
    net.send(&sent)?;
    net.kick();
    let got = net.receive()?;
    ensure!(got == sent, "a frame of {len} bytes comes back with {} bytes, or changed", got.len());
    while net.in_flight() > 0 {
        net.reclaim(true)?;
    }
    Ok(())
}

const SIZES: [usize; 9] = [60, 64, 65, 127, 128, 590, 1024, 1513, 1514];

pub fn sizes(context: &mut Context) -> Result {
    let mut net = Net::open(context, 0, 32, 2048)?;
    ensure!(net.mac[0] & 1 == 0 && net.mac != [0; 6], "the MAC address is {:x?}", net.mac);
    if let Some(want) = context.option("mac") {
        let mac = net.mac.map(|b| alloc::format!("{b:02x}")).join(":");
        ensure!(mac == want, "the MAC address is {mac}");
    }
    let page = Page::boot();
    let (receive, transmit) = (net.receive.vector, net.transmit.vector);
    let before = (page.count(receive), page.count(transmit));
    for (len, n) in SIZES.into_iter().zip(0..) {
        exchange(&mut net, n, len)?;
    }
    ensure!(crate::pci::interrupted(receive, before.0), "no interrupt of the receive queue");
    ensure!(crate::pci::interrupted(transmit, before.1), "no interrupt of the transmit queue");
    Ok(())
}

/// More frames than a ring has room for, in order, with event indices.
pub fn burst(context: &mut Context) -> Result {
    const FRAMES: u32 = 640;
    const WINDOW: u32 = 32;
    let mut net = Net::open(context, EVENT_IDX, 128, 2048)?;
    let length = |n: u32| 60 + (n as usize * 37) % 1455;
    let (mut sent, mut got) = (0, 0);
    while got < FRAMES {
        while sent < FRAMES && sent - got < WINDOW {
            net.send(&frame(net.mac, sent, length(sent)))?;
            sent += 1;
        }
        net.kick();
        let back = net.receive()?;
        ensure!(back == frame(net.mac, got, length(got)), "frame {got} comes back changed, or out of order");
        got += 1;
    }
    ensure!(!net.arrives(2000), "more frames come back than were sent");
    Ok(())
}

/// Receive buffers smaller than a frame.
pub fn merged(context: &mut Context) -> Result {
    let mut net = Net::open(context, MRG_RXBUF, 64, 256)?;
    ensure!(net.device.has(MRG_RXBUF), "MRG_RXBUF is not offered");
    for (len, n) in SIZES.into_iter().zip(100..) {
        exchange(&mut net, n, len)?;
    }
    Ok(())
}
