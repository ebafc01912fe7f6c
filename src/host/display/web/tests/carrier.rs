//! The WebSocket alone.

use super::super::socket::Socket;
use crate::host::display::vnc::Wire;
use crate::host::http::Stream;
use proptest::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// What a browser asks for a WebSocket with.
pub fn upgrade(address: &str) -> String {
    format!(
        "Origin: http://{address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
}

/// A browser that looks.
pub fn browser(address: &str, cookie: &str) -> WebSocket<TcpStream> {
    join(address, "/screen", cookie)
}

/// A browser's WebSocket.
pub fn join(address: &str, path: &str, cookie: &str) -> WebSocket<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{}{cookie}\r\n", upgrade(address)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

/// Both ends of a connection: what a browser has, and the wire.
fn pair(early: Vec<u8>) -> (UnixStream, Socket) {
    let (here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    let stop = Arc::new(crate::sys::eventfd().unwrap());
    (here, Socket::new(Arc::new(Stream::Unix(there)), early, true, stop))
}

/// All that can be read now.
fn read_all(wire: &mut Socket) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 7];
    loop {
        match wire.read(&mut piece) {
            Ok(n @ 1..) => all.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            _ => return all,
        }
    }
}

#[test]
fn who_sends_nothing_often_keeps_nobody_waiting() {
    let (here, mut wire) = pair(Vec::new());
    let mut browser = WebSocket::from_raw_socket(here, Role::Client, None);
    for _ in 0..50 {
        browser.send(Message::binary(&b""[..])).unwrap();
        browser.send(Message::Ping((&b""[..]).into())).unwrap();
    }
    // Each comes back to the caller, who looks whether there is something else to do.
    for _ in 0..100 {
        assert_eq!(wire.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::Interrupted);
    }
    assert_eq!(wire.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn bytes_go_both_ways_whatever_the_messages_are() {
    let (here, mut wire) = pair(Vec::new());
    let mut browser = WebSocket::from_raw_socket(here, Role::Client, Some(WebSocketConfig::default()));
    browser.send(Message::binary(&b"hello "[..])).unwrap();
    browser.send(Message::Ping((&b"?"[..]).into())).unwrap();
    browser.send(Message::binary(&b""[..])).unwrap();
    browser.send(Message::binary(&b"world"[..])).unwrap();
    assert_eq!(read_all(&mut wire), b"hello world");
    assert_eq!(wire.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(wire.write(b"and back").unwrap(), 8);
    wire.flush().unwrap();
    assert_eq!(browser.read().unwrap(), Message::Pong((&b"?"[..]).into()));
    assert_eq!(browser.read().unwrap(), Message::binary(&b"and back"[..]));
    browser.close(None).unwrap();
    assert_eq!(wire.read(&mut [0; 9]).unwrap(), 0);
}

#[test]
fn a_browser_that_reads_nothing_fills_no_memory() {
    let (here, mut wire) = pair(Vec::new());
    let mut taken = 0;
    let data = vec![7; 1 << 20];
    let end = loop {
        match wire.write(&data) {
            Ok(n) => taken += n,
            Err(e) => break e,
        }
        assert!(taken < 16 << 20, "it takes all");
    };
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    // Nothing that was taken is lost.
    let reader = std::thread::spawn(move || {
        let mut browser = WebSocket::from_raw_socket(here, Role::Client, None);
        let mut got = 0;
        while got < taken {
            got += browser.read().unwrap().len();
        }
        got
    });
    while wire.flush().is_err() {
        crate::sys::fd::wait_writable(wire.fd()).unwrap();
    }
    assert_eq!(reader.join().unwrap(), taken);
}

#[test]
fn what_is_no_rfb_ends_the_connection() {
    let refused = |message: &[u8]| {
        let (here, mut wire) = pair(message.to_vec());
        here.shutdown(Shutdown::Write).unwrap();
        wire.read(&mut [0; 9]).err().map(|e| e.kind())
    };
    // Text; a frame without a mask; a reserved opcode; 2^62 bytes.
    for frame in [&b"\x81\x81\0\0\0\0a"[..], b"\x82\x01a", b"\x83\x80\0\0\0\0", b"\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(refused(frame), Some(ErrorKind::InvalidData), "{frame:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(frames in prop::collection::vec((any::<u8>(), any::<u8>(), any::<Vec<u8>>()), 0..12)) {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|(a, b, rest)| [vec![a, b], rest].concat()).collect();
        let (here, mut wire) = pair(Vec::new());
        (&here).write_all(&bytes).unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        prop_assert!(read_all(&mut wire).len() <= bytes.len());
        // Or it is ready to end.
        drop(here);
    }
}
