//! Where a debugger finds the guest, as `--gdb` says it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gdb {
    pub at: Listen,
    /// The guest's first instruction waits for the debugger.
    pub wait: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Port 0 is any that is free.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// gdb's own example, and QEMU's.
const PORT: u16 = 1234;

impl FromStr for Gdb {
    type Err = String;

    /// `tcp:PORT` (this machine only), `tcp:ADDRESS:PORT` or `unix:PATH`, then perhaps `,nowait`. Empty: tcp:1234.
    fn from_str(text: &str) -> Result<Gdb, String> {
        let want = || format!("`{text}`: want tcp:PORT, tcp:ADDRESS:PORT or unix:PATH, and perhaps ,nowait after it");
        let (place, wait) = match text.strip_suffix("nowait") {
            Some("") => ("", false),
            Some(rest) if rest.ends_with(',') => (rest.trim_end_matches(','), false),
            _ => (text, true),
        };
        let at = match place.split_once(':') {
            None if place.is_empty() => Listen::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)),
            Some(("unix", path)) if !path.is_empty() => Listen::Unix(PathBuf::from(path)),
            Some(("tcp", rest)) => Listen::Tcp(tcp(rest).ok_or_else(want)?),
            _ => return Err(want()),
        };
        Ok(Gdb { at, wait })
    }
}

fn tcp(text: &str) -> Option<SocketAddr> {
    let Some((address, port)) = text.rsplit_once(':') else {
        return Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), text.parse().ok()?));
    };
    let address = match address {
        "" | "localhost" => Ipv4Addr::LOCALHOST.into(),
        other => other.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(other).parse::<IpAddr>().ok()?,
    };
    Some(SocketAddr::new(address, port.parse().ok()?))
}

#[cfg(test)]
mod tests;
