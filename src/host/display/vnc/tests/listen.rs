//! The socket that viewers connect to.

use super::super::listen::Vnc;
use super::{Client, Served};
use crate::host::display::Display;
use crate::host::display::vnc::Door;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn a_full_house_turns_away_and_closing_ends_all() {
    let served = Served::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vnc");
    let place = format!("unix:{}", path.display());
    let vnc = Vnc::open(&place.parse().unwrap(), Door::Open, &served.room).unwrap();
    assert_eq!(vnc.entrance().address, Some(place));
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    let mut inside: Vec<_> = (0..16).map(|_| Client::new(connect())).collect();
    assert_eq!(connect().read(&mut [0; 12]).unwrap(), 0, "there is no place");
    // Somebody leaves, and as soon as that is noticed there is a place again.
    inside.remove(3);
    let again = loop {
        let mut stream = connect();
        match stream.read(&mut [0; 12]).unwrap() {
            0 => std::thread::yield_now(),
            read => break (stream, read),
        }
    };
    assert_eq!(again.1, 12);
    drop(vnc);
    assert!(!path.exists());
    for client in &mut inside {
        assert_eq!(client.stream.read(&mut [0; 1]).unwrap_or(0), 0, "nobody is kept");
    }
}
