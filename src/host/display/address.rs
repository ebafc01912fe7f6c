//! Addresses as `--display` takes them: `ADDRESS`, `ADDRESS:PORT`, or `PORT`, which is this host's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address, and the port if one is said. An IPv6 address without a port may stand in brackets, too.
pub fn parse(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    (text.parse().ok().map(|a: SocketAddr| (a.ip(), Some(a.port()))))
        .or_else(|| bare.parse().ok().map(|ip| (ip, None)))
        .or_else(|| text.parse().ok().map(|port| (Ipv4Addr::LOCALHOST.into(), Some(port))))
}
